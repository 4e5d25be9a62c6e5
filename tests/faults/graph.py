"""Faults in what follows pods of other nodes step by step."""

from __future__ import annotations

from tests.faults.fault import Fault

ADDRESSES = "policyd/graph/addresses.py"
CEILINGS = "policyd/graph/ceilings.py"
GRAPH_FILE = "policyd/graph/graph.py"
ONE_HOST = "compiler/policyd_compiler/one_host.py"
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
        "what is no pod is taken for unchanged",
        "DESIGN: a ruleset that follows",
        STORE,
        "            self._more_changed = self._more_changed or before != after\n",
        "",
        "tests/agent/test_store.py::test_what_became_of_pods_is_told_if_nothing_else_changed",
    ),
    Fault(
        "nobody minds pods that have what their plugin says",
        "DESIGN: a ruleset that follows",
        STORE,
        "        more, self._more_changed = self._more_changed, self._is_any_waiting()\n",
        "        more, self._more_changed = self._more_changed, False\n",
        "tests/agent/test_store.py::test_while_a_pod_has_what_its_plugin_says_other_pods_may_change_it",
    ),
    Fault(
        "what was desired counts as in force when somebody has changed it",
        "DESIGN: a ruleset that follows",
        APPLY,
        "            self._desired = None\n            self._held, self._leftovers",
        "            self._held, self._leftovers",
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
        "who takes an address that somebody has is followed",
        "NP-166",
        ADDRESSES,
        "            if self._held[family].setdefault(value, pod) is not pod:\n",
        "            if False:\n",
        FOLLOWING,
    ),
    Fault(
        "an address that no pod can have is followed",
        "NP-167",
        ADDRESSES,
        "            if why_impossible(family, value, self._of_nodes[family]):\n",
        "            if False:\n",
        FOLLOWING,
    ),
    Fault(
        "pods of this node are followed",
        "DESIGN: a ruleset that follows",
        GRAPH_FILE,
        "        if pod.node == self._node:\n",
        "        if False:\n",
        FOLLOWING,
    ),
    Fault(
        "a rule that comes to life is in no note",
        "DESIGN: a ruleset that follows",
        GRAPH_FILE,
        "            if was_alive != rule.is_alive:\n",
        "            if False:\n",
        FOLLOWING,
    ),
    Fault(
        "a peer that selects nobody any more is not counted",
        "DESIGN: a ruleset that follows",
        GRAPH_FILE,
        "            turned.idle = turned.idle or count in (0, by)\n",
        "            turned.idle = turned.idle or count == 1\n",
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
        "a number that no pod had behind a name is followed",
        "NP-051",
        PROFILES,
        "            numbered and self._by_block.isdisjoint(exposing),\n",
        "            self._by_block.isdisjoint(exposing),\n",
        f"{UNITS}::test_a_number_that_no_pod_had_behind_a_name_needs_a_rule",
    ),
    Fault(
        "blocks of a rule that names a port are forgotten",
        "NP-056",
        PROFILES,
        "            numbered and self._by_block.isdisjoint(exposing),\n",
        "            numbered,\n",
        f"{UNITS}::test_a_block_gives_the_addresses_of_who_exposes_a_port",
    ),
    Fault(
        "a set that outgrows its size is followed",
        "DESIGN: a ruleset that follows",
        TABLES,
        "    if capacity(len(elements)) != part.size:\n",
        "    if False:\n",
        f"{UNITS}::test_a_set_that_has_to_be_larger_has_another_name",
    ),
    Fault(
        "a chain stays that nothing leads to",
        "DESIGN: a ruleset that follows",
        TABLES,
        "        if any(not counted[name] and name not in self._fixed for name in gone):\n",
        "        if False:\n",
        f"{UNITS}::test_a_verdict_of_which_there_is_no_chain_has_to_be_compiled",
    ),
    Fault(
        "nobody asks what policies cost meanwhile",
        "DESIGN: a ruleset that follows",
        CEILINGS,
        "            if self._fixed[space] + peers + steps > self._most:\n",
        "            if False:\n",
        f"{UNITS}::test_policies_that_come_near_their_budget_are_measured",
    ),
)
