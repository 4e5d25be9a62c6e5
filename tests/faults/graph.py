"""Faults in what follows changes step by step."""

from __future__ import annotations

from tests.faults.fault import Fault

CEILINGS = "policyd/graph/ceilings.py"
CLAIMS = "policyd/graph/claims.py"
GRAPH_FILE = "policyd/graph/graph.py"
HOSTS = "policyd/graph/hosts.py"
JUDGING = "policyd/graph/judging.py"
LEDGER = "policyd/graph/ledger.py"
ONE_HOST = "compiler/policyd_compiler/one_host.py"
PLACES = "policyd/graph/places.py"
PROFILES = "policyd/graph/profiles.py"
TABLES = "policyd/graph/tables.py"

FOLLOWING = "tests/property/test_graph.py::test_following_is_building"
UNITS = "tests/unit/graph/test_graph.py"

BUILDER = "policyd/agent/builder.py"
STORE = "policyd/object_store.py"
APPLY = "policyd/applier/apply.py"
AGENT = "tests/agent/test_following.py"

GRAPH = (
    Fault(
        "peers that select nobody are told in the order of the pods that there were",
        "DESIGN: a ruleset that follows",
        "policyd/graph/judging.py",
        "(self._idle and self._asked_for_idle != self._places_by_address())",
        "not self._asked_for_idle",
        FOLLOWING,
    ),
    Fault(
        "in a translated mesh a policy that changes is followed as it is written",
        "DESIGN: a ruleset that follows",
        GRAPH_FILE,
        "before, after = (meant(item, self._options) for item in (change.before, change.after))",
        "before, after = change.before, change.after",
        "tests/property/test_graph.py::test_a_mesh_whose_ports_are_translated_is_followed_as_well",
    ),
    Fault(
        "who goes with the namespace is asked for with what the namespace is now",
        "NP-048",
        JUDGING,
        "Profiles(spaces.selected_by, holding.index, counts)",
        "Profiles(spaces.known, holding.index, counts)",
        f"{UNITS}::test_a_pod_that_goes_with_its_namespace_leaves_nothing",
    ),
    Fault(
        "a pod that has what its plugin says is told as it was before",
        "DESIGN: a ruleset that follows",
        STORE,
        "            was = told[key] if key in told else pods.get(key, now)\n",
        "            was = pods.get(key, now)\n",
        "tests/agent/test_store.py::test_while_a_pod_has_what_its_plugin_says_other_pods_may_change_it",
    ),
    Fault(
        "other pods take no address from one that has what its plugin says",
        "NP-166",
        STORE,
        "        for key in dict.fromkeys((*pods, *told, *self._told)):\n",
        "        for key in pods:\n",
        "tests/agent/test_store.py::test_what_became_of_objects_is_reported",
    ),
    Fault(
        "what was desired counts as in force when somebody has changed it",
        "DESIGN: a ruleset that follows",
        APPLY,
        "            self._desired, self._mistrusts = None, True\n            self._held, self._leftovers",
        "            self._mistrusts = True\n            self._held, self._leftovers",
        f"{AGENT}::test_what_somebody_else_does_to_a_set_is_repaired_after_a_change_was_followed",
    ),
    Fault(
        "nobody checks what was followed to",
        "DESIGN: a ruleset that follows",
        BUILDER,
        "        if (followed.table, followed.stats) != (built.table, built.stats):\n",
        "        if False:\n",
        f"{AGENT}::test_a_wrong_ruleset_is_noticed_and_replaced",
    ),
    Fault(
        "who takes an address that somebody has gets it alone",
        "NP-166",
        CLAIMS,
        "        rivals = [pod for place in places for pod in self._claimants(place)]\n",
        "        rivals: list[Pod] = []\n",
        FOLLOWING,
    ),
    Fault(
        "an address that no pod can have is given away",
        "NP-167",
        CLAIMS,
        "            if after is not None and not self._why_impossible(place):\n",
        "            if after is not None:\n",
        FOLLOWING,
    ),
    Fault(
        "of several who claim an address one is enough for a selector",
        "NP-166",
        PROFILES,
        "        selectors = frozenset.intersection(*(profile.selectors for profile in each))\n",
        "        selectors = frozenset.union(*(profile.selectors for profile in each))\n",
        FOLLOWING,
    ),
    Fault(
        "pods of this node are peers and nothing else",
        "DESIGN: a ruleset that follows",
        GRAPH_FILE,
        "        spaces |= judging.move(gone, come)\n",
        "        judging.move(gone, come)\n",
        FOLLOWING,
    ),
    Fault(
        "an edited policy keeps the chains that it had",
        "DESIGN: a ruleset that follows",
        PLACES,
        "                self._known.pop(policy.namespace, None)\n",
        "                pass\n",
        FOLLOWING,
    ),
    Fault(
        "a namespace with other labels has the pods that it had selected",
        "DESIGN: a ruleset that follows",
        GRAPH_FILE,
        "                turned.dirty |= places\n",
        "                pass\n",
        FOLLOWING,
    ),
    Fault(
        "an isolation keeps the families that it had",
        "DESIGN: a ruleset that follows",
        JUDGING,
        "        return tuple(unit.judging.judges) == families_of(endpoints)\n",
        "        return True\n",
        FOLLOWING,
    ),
    Fault(
        "on a bridge isolations are asked for peers of long ago",
        "NP-161",
        JUDGING,
        "        is_asked = self.setting.is_bridged and unit.version != self._holding.version\n",
        "        is_asked = False\n",
        f"{UNITS}::test_on_a_bridge_a_new_pod_is_judged_as_a_sender",
    ),
    Fault(
        "how hosts are numbered makes chains of ports",
        "DESIGN: a ruleset that follows",
        "policyd/graph/units.py",
        "        if not judging.settled:\n",
        "        if False:\n",
        f"{UNITS}::test_large_sets_of_ports_may_share_chains",
    ),
    Fault(
        "a rule that comes to life is in no note",
        "DESIGN: a ruleset that follows",
        HOSTS,
        "            if was_alive != rule.is_alive:\n",
        "            if False:\n",
        FOLLOWING,
    ),
    Fault(
        "a peer that selects nobody any more is not counted",
        "DESIGN: a ruleset that follows",
        HOSTS,
        "                turned.idle = turned.idle or count in (0, by)\n",
        "                turned.idle = turned.idle or count == 1\n",
        FOLLOWING,
    ),
    Fault(
        "the last group counts that a pod is in",
        "DESIGN: a ruleset that follows",
        ONE_HOST,
        "zip(self._opened, grouped, strict=True) if inside), None)",
        "zip(self._opened[::-1], grouped[::-1], strict=True) if inside), None)",
        FOLLOWING,
    ),
    Fault(
        "who may no more than everybody there stands in a set",
        "DESIGN: a ruleset that follows",
        ONE_HOST,
        "asked.unnamed.of_unnamed(address) == ports):\n",
        "False):\n",
        FOLLOWING,
    ),
    Fault(
        "a large set of ports is taken for one that shares nothing",
        "DESIGN: a ruleset that follows",
        ONE_HOST,
        "            if count_runs(ports) >= LARGE:\n",
        "            if False:\n",
        f"{UNITS}::test_large_sets_of_ports_may_share_chains",
    ),
    Fault(
        "a number that no pod had behind a name has a rule",
        "NP-051",
        PROFILES,
        "            unsure.update(place for place, numbers in asking if port.number not in numbers)\n",
        "            unsure.update(place for place, numbers in asking if False)\n",
        f"{UNITS}::test_a_number_that_no_pod_had_behind_a_name_needs_a_rule",
    ),
    Fault(
        "blocks of a rule that names a port are forgotten",
        "NP-056",
        PROFILES,
        "        unsure = {place for port in ports for place in self._by_block.get(port, ())}\n",
        "        unsure: set[int] = set()\n",
        f"{UNITS}::test_a_block_gives_the_addresses_of_who_exposes_a_port",
    ),
    Fault(
        "a set keeps its size, whoever comes",
        "DESIGN: a ruleset that follows",
        TABLES,
        "        return replace(part, elements=tuple(elements), size=capacity(len(elements)))\n",
        "        return replace(part, elements=tuple(elements))\n",
        f"{UNITS}::test_a_set_is_as_large_as_for_a_compilation",
    ),
    Fault(
        "an address goes from one pod to another in two steps",
        "DESIGN: a ruleset that follows",
        "policyd/graph/changes.py",
        "not elsewhere or _addresses(here) & _addresses(elsewhere):",
        "not elsewhere:",
        f"{UNITS}::test_changes_that_belong_together_are_followed_at_once",
    ),
    Fault(
        "a pod counts as known before its rules are in force",
        "DESIGN: when a pod starts",
        "policyd/agent/reconciler.py",
        "            self._note_swap(step.ruleset, applied, step.changes)\n        return await",
        "            self._succeed(step.ruleset, applied, step.changes)\n        return await",
        "tests/agent/test_following.py"
        "::test_pods_of_other_nodes_come_into_force_before_the_pod_that_comes_with_them",
    ),
    Fault(
        "a chain stays that nothing leads to",
        "DESIGN: a ruleset that follows",
        LEDGER,
        "        complete = all(map(self._is_led_to, gone))\n",
        "        complete = True\n",
        f"{UNITS}::test_a_verdict_of_which_there_is_no_chain_has_to_be_compiled",
    ),
    Fault(
        "nobody asks what policies cost meanwhile",
        "DESIGN: a ruleset that follows",
        CEILINGS,
        "            if left < 0:\n                raise",
        "            if False:\n                raise",
        f"{UNITS}::test_policies_that_come_near_their_budget_are_measured",
    ),
)
