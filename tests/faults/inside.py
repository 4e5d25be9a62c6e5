"""Faults in the placement pod: a ruleset cut for the network namespace of one pod."""

from __future__ import annotations

from tests.faults.fault import Fault

FOR_POD = "compiler/policyd_compiler/for_pod.py"
SERVED = "compiler/policyd_compiler/served.py"
ENDING = "policyd/agent/connections/inside.py"
LAWS = "tests/property/test_for_pod.py"
ORACLE = f"{LAWS}::test_the_namespaces_of_both_ends_do_what_the_oracle_says"
STRAYS = f"{LAWS}::test_what_opens_no_connection_is_judged_as_the_node_judges_it"
CARRIED = f"{LAWS}::test_what_a_mesh_carries_inside_is_judged_as_if_it_came_and_went_by_itself"
SERVICES = "tests/property/test_served.py"
TAKEN = f"{SERVICES}::test_who_is_behind_a_service_and_no_peer_any_more_takes_it_along"
IN_MESH = "tests/networks/test_mesh.py"
IN_A_MESH = "tests/agent/test_revoke.py::test_in_a_mesh_a_connection_is_judged_by_the_port_that_was_asked_for"

INSIDE = (
    Fault(
        "in a pod's namespace its egress is judged as ingress",
        "NP-001",
        "compiler/policyd_compiler/leads.py",
        'if (side == "saddr") == (what == "asking") else "ingress"',
        'if (side == "saddr") != (what == "asking") else "ingress"',
        ORACLE,
    ),
    Fault(
        "in a pod's namespace strays are judged as they go only",
        "NP-165",
        FOR_POD,
        '            *view.strays("ingress", "saddr"),\n',
        "",
        STRAYS,
    ),
    Fault(
        "the node does not reach its pods on networks that it does not see",
        "NP-090",
        FOR_POD,
        "*((*strays, *from_node) if self._is_strict else (*from_node, *strays)),",
        "*strays,",
        f"{LAWS}::test_the_node_reaches_an_isolated_pod_and_nobody_else_does",
    ),
    Fault(
        "in its namespace a pod sends with any address",
        "NP-162",
        FOR_POD,
        "            *view.forged(),\n",
        "",
        f"{LAWS}::test_what_a_node_rewrites_is_judged_by_the_node",
    ),
    Fault(
        "in a pod's namespace packets are judged when a mesh has redirected them",
        "NP-061",
        FOR_POD,
        "COMING, GOING = -110, 110",
        "COMING, GOING = -90, 110",
        f"{IN_MESH}::test_sidecars_on_a_network_that_the_node_does_not_see",
    ),
    Fault(
        "probes of a pod in Istio's ambient mesh are judged",
        "NP-090",
        FOR_POD,
        "own.update(view.probes.get(family, ()), returned.get(family, ()))",
        "own.update(returned.get(family, ()))",
        f"{IN_MESH}::test_probes_of_ambient_pods_pass_with_the_source_that_istio_gives_them",
    ),
    Fault(
        "whether a pod is in a mesh is asked once",
        "NP-090",
        "policyd/agent/pod_table.py",
        "            self._probes, self.in_force = probes, None\n",
        "            pass\n",
        f"{IN_MESH}::test_a_pod_that_enters_the_mesh_later_is_probed_as_well",
    ),
    Fault(
        "in a translated mesh what ztunnel hands over is not judged",
        "NP-061",
        FOR_POD,
        'yield Chain(ChainName("input"), rules, Hook("input", HANDED))',
        "pass",
        CARRIED,
    ),
    Fault(
        "in a translated mesh what ztunnel takes is not judged",
        "NP-061",
        FOR_POD,
        'yield Chain(ChainName("output"), rules, Hook("output", COMING))',
        "pass",
        CARRIED,
    ),
    Fault(
        "in a translated mesh blocks of addresses get to its port",
        "NP-061",
        "policyd/cluster/ambient.py",
        "        return (_EVERY_POD,)\n    return tuple(peer for peer in peers if isinstance(peer, PodPeer))",
        "        return (_EVERY_POD,)\n    return peers",
        "tests/unit/cluster/test_ambient.py::test_the_meshs_port_is_open_to_pods_that_may_use_another",
    ),
    Fault(
        "in a translated mesh a Deny of one port closes all of them",
        "NP-061",
        "policyd/cluster/ambient.py",
        'if rule.action == "Deny" or rule.ports is None',
        "if rule.ports is None",
        "tests/unit/cluster/test_ambient.py::test_tiers_open_the_meshs_port_in_their_order",
    ),
    Fault(
        "what a mesh redirects in a pod is never ended",
        "NP-122",
        ENDING,
        "        if simulator is not None\n",
        "        if simulator is not None and not flow.dnat\n",
        IN_A_MESH,
    ),
    Fault(
        "what a mesh redirects in a pod is ended by its proxy's port",
        "NP-122",
        ENDING,
        "address, port = asked_for(flow)",
        "address, port = asked_for(flow)[0], flow.port",
        IN_A_MESH,
    ),
    Fault(
        "a Service may be asked if one of those behind it may",
        "DESIGN: services",
        SERVED,
        "            and all(self",
        "            and any(self",
        SERVICES,
    ),
    Fault(
        "a Service with nothing behind it may be asked where a block holds its address",
        "DESIGN: services",
        SERVED,
        "(port.protocol, port.number): bool(port.backends)\n            and all(",
        "(port.protocol, port.number): all(",
        SERVICES,
    ),
    Fault(
        "a Service whose address a block holds may be asked, whatever is behind it",
        "DESIGN: services",
        SERVED,
        "            return None\n        return _ports(",
        "            return None\n        return None if not any(wanted.values()) else _ports(",
        SERVICES,
    ),
    Fault(
        "what was known of an address stays, though a set holds it no more",
        "DESIGN: services",
        SERVED,
        " if address not in changed}",
        "}",
        f"{SERVICES}::test_what_is_known_of_an_address_goes_when_what_names_it_says_something_else",
    ),
    Fault(
        "what Services lead to concerns no pod",
        "DESIGN: services",
        FOR_POD,
        "            or [*self.before.exceptions(addresses)] != [*self.after.exceptions(addresses)]\n",
        "",
        TAKEN,
    ),
    Fault(
        "pods' rules are in force before Services are known",
        "DESIGN: services",
        "policyd/agent/pod_rules.py",
        "if self._status.table is None or self._waits_for_services:",
        "if self._status.table is None:",
        "tests/agent/test_pod_rules.py",
    ),
    Fault(
        "a Service leads to ports of any name",
        "DESIGN: services",
        "policyd/cluster/served.py",
        "if (each.name, each.protocol) == (port.name, port.protocol)",
        "if each.protocol == port.protocol",
        "tests/unit/cluster/test_served.py",
    ),
    Fault(
        "what a pod sends itself through its Service is judged as a stranger's on such a network",
        "NP-096",
        FOR_POD,
        'returned = self.around.returns if self._options.hairpin == "allow" else {}',
        'returned = self.around.returns if self._options.hairpin == "evaluate" else {}',
        f"{LAWS}::test_what_a_pod_sends_itself_through_its_service_comes_back",
    ),
    Fault(
        "what is said of Services while they are put together is lost",
        "DESIGN: services",
        "policyd/agent/known_services.py",
        "if known is None or known[0] != said:",
        "if known is None:",
        "tests/agent/test_known_services.py",
    ),
)
