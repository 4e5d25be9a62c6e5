"""Faults in who may start: policyd-cni, and what answers it."""

from __future__ import annotations

from tests.faults.fault import Fault

ADMISSION, PLUGIN = "policyd/cni/admission.py", "policyd/cni/plugin.sh"
JUDGED, ASKED = "tests/cni/test_admission.py", "tests/cni/test_plugin.py"

STARTING = (
    Fault(
        "a pod starts with the labels of one that had its name before",
        "NP-166",
        ADMISSION,
        "return known.uid == request.uid or",
        "return True or",
        f"{JUDGED}::test_a_pod_may_start_when_the_ruleset_in_force_holds_it",
    ),
    Fault(
        "a pod starts before its second address is in force",
        "NP-166",
        ADMISSION,
        "enforced.uid != known.uid or not wanted <= enforced.addresses",
        "enforced.uid != known.uid or not wanted & enforced.addresses",
        f"{JUDGED}::test_a_pod_may_start_when_the_ruleset_in_force_holds_it",
    ),
    Fault(
        "after a reboot the status of another pod keeps a new pod's address",
        "NP-166",
        "policyd/node/starting.py",
        "elif not pod.host_network and (pod.v4 in taken4 or pod.v6 in taken6):",
        "elif pod.host_network and (pod.v4 in taken4 or pod.v6 in taken6):",
        f"{JUDGED}::test_an_address_is_the_pods_that_had_it_last",
    ),
    Fault(
        "a pod that comes while a ruleset is compiled counts as held by it",
        "NP-048",
        "policyd/agent/reconciler.py",
        "status.pods = built.table, built.owners, self._taken",
        "status.pods = built.table, built.owners, self._store.known_pods()",
        "tests/cni/test_in_force.py::test_a_pod_that_comes_while_a_ruleset_is_made_is_not_in_it",
    ),
    Fault(
        "without an agent pods start",
        "NP-048",
        PLUGIN,
        """'') [ "$unanswered" = pass ] ||""",
        """'') [ "$unanswered" = refuse ] ||""",
        f"{ASKED}::test_without_an_agent_a_pod_is_refused_in_time[dash]",
    ),
    Fault(
        "an answer that is not understood is leave to start",
        "NP-048",
        PLUGIN,
        """    *) fail 999 "policyd-cni: the agent's answer is not understood" ;;\n""",
        "    *) ;;\n",
        f"{ASKED}::test_an_answer_from_nowhere_lets_nobody_through[dash]",
    ),
)
