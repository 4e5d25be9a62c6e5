"""Faults by which one tenant's policies would reach another's, or lose a rule."""

from __future__ import annotations

from tests.faults.fault import Fault

NAMED = (
    Fault(
        "of rules that use one port name only the first counts",
        "NP-051",
        "policyd/cluster/peers.py",
        "    if len(many) == 1:\n        return many[0]",
        "    if many:\n        return many[0]",
        "tests/unit/cluster/test_named_ports.py::"
        "test_rules_that_use_a_name_are_joined_before_their_peers_are_divided_by_number",
    ),
)

BUDGETS = (
    Fault(
        "what is over the budget when counted is resolved all the same",
        "the budget",
        "policyd/cluster/isolations.py",
        "        self._quarantined |= over.keys()\n",
        "",
        "tests/unit/cluster/test_written.py::"
        "test_a_port_name_for_many_pods_with_another_number_each_is_not_even_resolved",
    ),
    Fault(
        "a policy costs the same for one pod as for many",
        "the budget",
        "policyd/cluster/written.py",
        "            costs[number] += once + times * each\n",
        "            costs[number] += once + each\n",
        "tests/unit/cluster/test_written.py::test_policies_without_rules_cost_what_it_takes_to_note_them",
    ),
    Fault(
        "dividing hosts costs nothing",
        "the budget",
        "compiler/policyd_compiler/budget.py",
        " + classes.steps // STEPS\n",
        "\n",
        "tests/unit/compiler/test_budget.py::test_to_divide_hosts_again_and_again_is_dear",
    ),
    Fault(
        "a reminder is soon enough to say that a node is blind",
        "events",
        "policyd/agent/reporting/node_events.py",
        "            return now - topic.written >= self._pauses.settle\n",
        "            return now - topic.written >= self._pauses.remind\n",
        "tests/agent/test_events.py::test_that_enforcing_is_no_longer_true_is_written_without_a_rest",
    ),
)

TENANTS = (*NAMED, *BUDGETS)
