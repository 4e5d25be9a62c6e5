"""Faults in what the agent's loop does when."""

from __future__ import annotations

from tests.faults.fault import Fault

PACING = "policyd/agent/pacing.py"
SCHEDULE = "policyd/agent/schedule.py"

SURVIVAL = "tests/agent/test_survival.py"
TIMES = "tests/agent/test_times.py"
WHAT_IS_NEXT = "tests/agent/test_schedule.py"

FIRST_CHANGE = (
    "tests/agent/test_following.py"
    "::test_what_follows_is_made_when_it_is_quiet_and_no_change_pays_for_the_compilation_before"
)

TIMING = (
    Fault(
        "changes of others wait until the culprit is known",
        "decisions 14",
        SCHEDULE,
        "if state.burst is None or (hunting is not None and not hunting.enough):",
        "if state.burst is None or hunting is not None:",
        f"{SURVIVAL}::test_changes_of_others_do_not_wait_for_a_long_hunt",
    ),
    Fault(
        "under changes without end leftovers are never removed",
        "DESIGN: how a ruleset replaces another",
        SCHEDULE,
        "at = min(state.ended + intervals.sweep_after, state.sweep_by)",
        "at = state.ended + intervals.sweep_after",
        f"{TIMES}::test_leftovers_are_swept_though_changes_never_end",
    ),
    Fault(
        "every change waits for others, also after a quiet spell",
        "DESIGN: when a change is compiled",
        PACING,
        "return Burst(now, now if alone else now + pacing.settle, urgent)",
        "return Burst(now, now + pacing.settle, urgent)",
        f"{TIMES}::test_the_first_change_after_a_quiet_spell_goes_at_once",
    ),
    Fault(
        "a pod that asked before it was known is noticed with the next ruleset",
        "DESIGN: when a pod starts",
        "policyd/object_store.py",
        "        for call in self.on_local:\n            call()\n",
        "",
        "tests/agent/test_gate.py::test_a_pod_that_asked_before_it_was_known_goes_on_when_it_is",
    ),
    Fault(
        "each pod that has gone costs a ruleset at once",
        "DESIGN: when a change is compiled",
        SCHEDULE,
        "Burst(now, now + pacing.linger, idle=True)",
        "Burst(now, now)",
        f"{TIMES}::test_a_pod_that_has_gone_costs_no_ruleset_where_another_comes",
    ),
    Fault(
        "what is left is removed though packets may have come to it since the wait began",
        "DESIGN: how a ruleset replaces another",
        "policyd/applier/apply.py",
        "        self._grace.bring(transaction.brings)\n",
        "",
        "tests/applier/test_apply.py::test_what_packets_may_have_come_to_while_they_were_waited_for_stays",
    ),
    Fault(
        "pods that the network plugin knows no more stay in force",
        "DESIGN: when a pod starts",
        "policyd/object_store.py",
        "        if after != before:\n",
        "        if after:\n",
        "tests/agent/test_store.py::test_a_pod_that_its_plugin_knows_starts_and_is_missed_by_nobody",
    ),
    Fault(
        "each change of a burst goes at once",
        "DESIGN: when a change is compiled",
        PACING,
        "alone = now - changed >= pacing.quiet and took <= pacing.small",
        "alone = took <= pacing.small",
        f"{TIMES}::test_a_burst_becomes_one_ruleset",
    ),
    Fault(
        "a network plugin's result is known when one looks again",
        "DESIGN: when a change is compiled",
        "policyd/agent/sources/folder.py",
        "        self.changed.set()\n",
        "        pass\n",
        "tests/agent/test_cni_cache.py::test_a_result_is_known_as_soon_as_it_is_written_and_no_time_passes",
    ),
    Fault(
        "the rest that was put off is never made up for",
        "DESIGN: when a change is compiled",
        SCHEDULE,
        "rested = now if alone else now + max(pacing.rest, took + self.owed)",
        "rested = now if alone else now + max(pacing.rest, took)",
        f"{WHAT_IS_NEXT}::test_what_follows_the_first_change_needs_no_rest_but_what_follows_that",
    ),
    Fault(
        "leftovers are as old as the last of them",
        "DESIGN: how a ruleset replaces another",
        SCHEDULE,
        "sweep_by = self.sweep_by if leftovers else now + intervals.sweep_latest",
        "sweep_by = now + intervals.sweep_latest",
        f"{TIMES}::test_leftovers_are_swept_though_changes_never_end",
    ),
    Fault(
        "a new pod waits until leftovers are removed",
        "decisions 14",
        SCHEDULE,
        "        at = max(at, state.sweep_by + intervals.sweep_latest)\n",
        "        pass\n",
        f"{WHAT_IS_NEXT}::test_what_is_done_next[a new pod does not wait for that]",
    ),
    Fault(
        "the first change after a compilation waits as if it were compiled, too",
        "DESIGN: when a change is compiled",
        "policyd/agent/reconciler.py",
        "            began = began if recurs else now\n",
        "",
        FIRST_CHANGE,
    ),
    Fault(
        "what changes are followed with is made when one waits for it",
        "DESIGN: a ruleset that follows",
        SCHEDULE,
        " if facts.unprepared and state.burst is None else None\n",
        " if state.burst is None and False else None\n",
        FIRST_CHANGE,
    ),
)
