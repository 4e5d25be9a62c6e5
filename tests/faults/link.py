"""Faults in tunnels, what belongs to the link, and which interface is whose (NP-162 to NP-164)."""

from __future__ import annotations

from tests.faults.fault import Fault
from tests.faults.interfaces import BRIDGE, COMPILER, DISPATCH, GUARD, GUARDS, SENDS

LINK = f"{COMPILER}/lower/link.py"
PLAN = f"{COMPILER}/plan.py"
ATTACH = "policyd/node/attach.py"
WATCH = "policyd/agent/attachment_watch.py"

ON_LINK = "tests/unit/compiler/test_link.py"
PLANNED = "tests/property/test_plan.py"
DRIFT = "tests/applier/test_drift.py"
ATTACHED = "tests/node/test_attach.py"
WATCHED = "tests/agent/test_attachment_watch.py"
WAYS = "policyd/node/ways.py"
ASKED_AGAIN = f"{WATCHED}::test_routes_are_asked_for_again_where_they_may_be_others"

TUNNELS = (
    Fault(
        "a new pod is put into a ruleset before its interface has been looked for",
        "NP-162",
        "policyd/agent/schedule.py",
        "    if facts.looking and state.burst.urgent:\n",
        "    if facts.looking and False:\n",
        "tests/agent/test_times.py::test_a_new_pod_waits_for_its_interface_but_not_for_long",
    ),
    Fault(
        "a look that began before the pod came counts as the look for it",
        "NP-162",
        "policyd/object_store.py",
        "        return self._is_attached and (self._looks or self._to_look)\n",
        "        return self._is_attached and self._looks\n",
        "tests/agent/test_store.py"
        "::test_interfaces_are_looked_for_from_a_change_of_this_nodes_pods_to_the_end_of_the_look_after_it",
    ),
    Fault(
        "that notifications of links were lost changes nothing",
        "NP-162",
        "policyd/netlink/links.py",
        "        except OSError:\n            return None\n",
        "        except OSError:\n            return frozenset(found)\n",
        f"{WATCHED}::test_links_that_come_and_go_are_heard_of",
    ),
    Fault(
        "a pod whose interface was not notified stays without one",
        "NP-162",
        WATCH,
        "        if all(pod.key in found.found.pods for pod in pods if pod.addresses):\n",
        "        if found:\n",
        f"{WATCHED}::test_only_links_that_were_heard_of_are_read_again",
    ),
    Fault(
        "the route of a pod that waits for one is not asked for again",
        "NP-162",
        WAYS,
        "        if link.name in (attachment.interface, attachment.bridge):\n",
        "        if link.name:\n",
        "tests/node/test_ways.py::test_another_way_is_asked_for_until_it_is_the_pods_own",
    ),
    Fault(
        "a pod that is not bound has the route that it had",
        "NP-162",
        WAYS,
        "    if attachment is None or last.pods.get(pod.key) != pod:\n        return\n",
        "    if attachment is None:\n        pass\n",
        ASKED_AGAIN,
    ),
    Fault(
        "a link with another pod behind it is the one that there was",
        "NP-162",
        WAYS,
        "(before is not None and replace(before, received=link.received) == link)\n",
        "(before is not None and before.name == link.name)\n",
        ASKED_AGAIN,
    ),
    Fault(
        "routes are asked for once and never again",
        "NP-162",
        WATCH,
        "        if now - self._asked_at >= self._every:\n",
        "        if self._asked_at < 0.0:\n",
        ASKED_AGAIN,
    ),
    Fault(
        "tunnels without ports are open to pods",
        "NP-163",
        GUARD,
        "            for tunnel in scene.tunnels():\n",
        "            for tunnel in scene.tunnels()[:1]:\n",
        f"{GUARDS}::test_a_pod_reaches_no_nodes_tunnels[GRE-another node-closed]",
    ),
    Fault(
        "tunnels over IPv6 are open to pods",
        "NP-163",
        GUARD,
        "        addresses = scene.snapshot.network.nodes(family)\n",
        "        addresses = scene.snapshot.network.nodes(4) if family == 4 else ()\n",
        f"{GUARDS}::test_a_pod_reaches_no_nodes_tunnels[VXLAN over IPv6-another node-closed]",
    ),
    Fault(
        "what is of no known state goes into tunnels",
        "NP-163",
        DISPATCH,
        "(not_new((*link, *guard.sends, SPOOFED, ERRORS, *invalid)), *middle)",
        "(not_new((*link, SPOOFED, ERRORS, *invalid, Rule(Accept()))), *middle)",
        f"{GUARDS}::test_a_pod_reaches_no_nodes_tunnels[UDP 4789-another node-closed]",
    ),
    Fault(
        "a pod reaches the tunnel ports of its own node",
        "NP-163",
        GUARD,
        "    for tunnel in scene.tunnels():\n        yield Rule(Drop(), (tunnel,)",
        "    for tunnel in scene.tunnels()[1:]:\n        yield Rule(Drop(), (tunnel,)",
        f"{GUARDS}::test_a_pod_reaches_no_nodes_tunnels[this node's own port-this node-closed]",
    ),
)

LINKS = (
    Fault(
        "neighbour discovery comes from beyond the link",
        "NP-164",
        LINK,
        "_NEVER_FORWARDED = Match(Field.IP6_HOPLIMIT, numbers(255))",
        "_NEVER_FORWARDED = Match(Field.IP6_HOPLIMIT, numbers(254, 255))",
        f"{ON_LINK}::test_neighbour_discovery_passes_with_the_hop_limit_that_no_router_leaves[135-closed]",
    ),
    Fault(
        "MLD goes to one address",
        "NP-164",
        LINK,
        "Match(Field.IP6_SADDR, Prefix(*source)), _TO_GROUP)",
        "Match(Field.IP6_SADDR, Prefix(*source)))",
        f"{ON_LINK}::test_mld_passes_from_the_link_to_a_group[131-open]",
    ),
    Fault(
        "a routed pod finds no neighbours before it has an address",
        "NP-162",
        GUARD,
        "6: (LINK_LOCAL6, NOWHERE6)}",
        "6: (LINK_LOCAL6,)}",
        f"{GUARDS}::test_what_a_pod_sends_to_its_node[DAD-routed]",
    ),
    Fault(
        "MLD comes from any address",
        "NP-164",
        LINK,
        "            for source in (LINK_LOCAL6, NOWHERE6)\n",
        "            for source in ((0, 0), NOWHERE6)\n",
        f"{ON_LINK}::test_mld_passes_from_the_link_to_a_group[143-open]",
    ),
    Fault(
        "a pod is a router to other pods",
        "NP-164",
        LINK,
        '*((Rule(Drop(), (ROUTERS, *of_pods), comment="a pod is no router"),) if of_pods else ()),\n',
        "",
        f"{ON_LINK}::test_a_pod_is_no_router[134-closed-forward]",
    ),
    Fault(
        "a pod is a router on its bridge",
        "NP-164",
        BRIDGE,
        '            Rule(Drop(), (ROUTERS,), comment="a pod is no router"),\n',
        "",
        f"{SENDS}[a redirect-closed]",
    ),
)

ATTACHING = (
    Fault(
        "a hardware address of InfiniBand goes to the kernel as one of Ethernet",
        "NP-162",
        "policyd/node/cni_result.py",
        "if len(said) == _MAC_BYTES else None",
        "if said else None",
        f"{WATCHED}::test_a_hardware_address_that_no_bridge_learns_is_none[02:00:00:00:00]",
    ),
    Fault(
        "of two pods that one interface fits the first gets it",
        "NP-162",
        ATTACH,
        "                if rivals == [key]:\n",
        "                if key in rivals:\n",
        f"{ATTACHED}::test_two_pods_with_one_candidate_get_nothing",
    ),
    Fault(
        "who takes an address takes the interface of whom it had",
        "NP-162",
        ATTACH,
        "        if index is not None:\n            found[pod.key] = by_index[index]\n",
        "        if index is not None and pod.addresses & peers[index].addresses:\n"
        "            found[pod.key] = by_index[index]\n",
        f"{ATTACHED}::test_a_pod_that_drops_its_own_address_for_a_siblings_takes_nothing",
    ),
    Fault(
        "the link to a gateway is the pod's",
        "NP-162",
        ATTACH,
        "    if len(links) != 1 or any(way.gateway for way in ways):\n",
        "    if len(links) != 1:\n",
        f"{ATTACHED}::test_a_host_route_over_a_veth_binds_and_one_over_hardware_or_a_gateway_does_not",
    ),
    Fault(
        "containers on other bridges are pods",
        "NP-107",
        ATTACH,
        "or (link.master in hanging and link.kind",
        "or (link.master and link.kind",
        f"{ATTACHED}::test_the_plugins_result_names_the_port_and_its_bridge",
    ),
    Fault(
        "a pod that takes a sibling's hardware address has it",
        "NP-162",
        ATTACH,
        "    said = known if known is not None or peer is None else peer.mac\n",
        "    said = known if peer is None else peer.mac\n",
        f"{ATTACHED}::test_a_pods_end_is_believed_about_its_hardware_address_once",
    ),
    Fault(
        "what cannot be read is taken as not there",
        "NP-162",
        WATCH,
        "            self._store.attach(self._store.attachments, complete=complete)\n",
        "            self._store.attach(Attachments(), complete=complete)\n",
        f"{WATCHED}::test_what_was_known_stays_while_links_cannot_be_read",
    ),
)

PLANS = (
    Fault(
        "a table beside is at work before the one that it belongs to",
        "DESIGN: one swap",
        PLAN,
        "            return [_ADDED, *stage], commit, [], []\n",
        "            return [_ADDED, *stage, *commit], [], [], []\n",
        f"{PLANNED}::test_both_families_change_in_one_transaction",
    ),
    Fault(
        "a table beside goes before the one that does without it",
        "DESIGN: one swap",
        PLAN,
        "            return [], [_REMOVED], [], []\n",
        "            return [_REMOVED], [], [], []\n",
        f"{PLANNED}::test_both_families_change_in_one_transaction",
    ),
    Fault(
        "somebody else's table beside is filled up",
        "DESIGN: drift",
        PLAN,
        "            return [], [_REMOVED, _ADDED, *stage, *commit], [], []\n",
        "            return [], [_ADDED, *stage, *commit], [], []\n",
        f"{PLANNED}::test_plans_arrive_from_what_others_left",
    ),
    Fault(
        "a replacement leaves a bridge table that nobody wants",
        "DESIGN: drift",
        PLAN,
        "if actual is not None and actual.bridge and desired.bridge is None else ()",
        "if actual is None and desired.bridge is None else ()",
        "tests/applier/test_beside.py::test_a_replacement_takes_away_what_nobody_wants[fake]",
    ),
    Fault(
        "changes of a table beside are not seen",
        "DESIGN: drift",
        PLAN,
        "for text in differences(held_beside, wanted_beside))",
        "for text in differences(wanted_beside, wanted_beside))",
        f"{DRIFT}::test_a_change_next_to_is_reported_and_repaired[an element less-program]",
    ),
    Fault(
        "a bridge table that is gone is not missed",
        "DESIGN: drift",
        PLAN,
        '            found.append(f"table bridge {name} is gone")\n',
        "            pass\n",
        f"{DRIFT}::test_a_change_next_to_is_reported_and_repaired[no table-program]",
    ),
    Fault(
        "leftovers beside are taken for somebody's change",
        "DESIGN: drift",
        PLAN,
        "        beside = _leaves(actual.bridge, beside)\n",
        "        pass\n",
        f"{DRIFT}::test_what_is_not_swept_next_to_is_no_change[program]",
    ),
    Fault(
        "the generation takes the place of what a rule says of itself",
        "DESIGN: one swap",
        f"{COMPILER}/nft/stamp.py",
        "(_with_comment(table, _note(comment)), int(found[1]))",
        '(_with_comment(table, ""), int(found[1]))',
        f"{PLANNED}::test_a_generation_is_read_back",
    ),
)

LINK_FAULTS = (*TUNNELS, *LINKS, *ATTACHING, *PLANS)
