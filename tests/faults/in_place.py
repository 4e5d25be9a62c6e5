"""Faults in the order in which elements are changed in place."""

from __future__ import annotations

from tests.faults.fault import Fault

AROUND = "compiler/policyd_compiler/around.py"
ALLOWANCE = "compiler/policyd_compiler/allowance.py"
DELTA = "compiler/policyd_compiler/delta.py"
SCHEDULE = "compiler/policyd_compiler/schedule.py"
SIM = "compiler/policyd_compiler/sim.py"
TURNS = "compiler/policyd_compiler/turns.py"
WALKS = "compiler/policyd_compiler/walks.py"

AROUNDS = "tests/property/test_around.py"
ORDERS = "tests/unit/compiler/test_delta.py"

IN_PLACE = (
    Fault(
        "what widens for a packet comes with what narrows for it",
        "DESIGN: elements in place",
        SCHEDULE,
        "            yield first, second, True\n",
        "            yield first, second, False\n",
        f"{ORDERS}::test_what_narrows_early_comes_before_what_widens_late",
    ),
    Fault(
        "elements are written before the chains that they lead to",
        "DESIGN: elements in place",
        "policyd/applier/apply.py",
        '            if step.kind == "commit" and first is not None:\n',
        '            if step.kind in ("stage", "commit") and first is not None:\n',
        "tests/applier/test_elements_in_place.py"
        "::test_a_lesser_verdict_of_which_there_is_no_chain_yet_is_written_before_the_swap",
    ),
    Fault(
        "elements count as written where no commit comes for them",
        "DESIGN: elements in place",
        "policyd/applier/apply.py",
        "        if first is not None:  # what else differs is in force, by other names\n",
        "        if False:\n",
        "tests/applier/test_histories.py::test_a_history_is_followed_in_the_kernel[fake-8038]",
    ),
    Fault(
        "only packets of which one end changes are thought of",
        "DESIGN: elements in place",
        SCHEDULE,
        "        edges = set(self._between_ends(readings, effects))\n",
        "        edges = set[_Edge]()\n",
        f"{ORDERS}::test_what_narrows_early_comes_before_what_widens_late",
    ),
    Fault(
        "nobody thinks of strays, which meet two judges of one pod",
        "NP-165",
        SCHEDULE,
        "if effects.apart(reading, place))",
        "if not reading)",
        f"{ORDERS}::test_of_a_stray_egress_is_asked_before_ingress_too",
    ),
    Fault(
        "who moves leaves one set when entering the other",
        "DESIGN: elements in place",
        TURNS,
        "    last = max(steps.values()) + (0 < len(losing) < len(group))\n",
        "    last = max(steps.values())\n",
        f"{ORDERS}::test_who_moves_to_a_set_that_is_asked_earlier_is_in_both_for_a_while",
    ),
    Fault(
        "who enters two sets enters them at once whatever these say",
        "DESIGN: elements in place",
        TURNS,
        "all(t.before is None and t.after == first.after for t in of)",
        "all(t.before is None for t in of)",
        f"{ORDERS}::test_who_enters_two_sets_enters_the_one_first_that_counts",
    ),
    Fault(
        "data of a key is replaced where a look-up can miss it",
        "DESIGN: elements in place",
        DELTA,
        "op.before is not None and op.after is not None and not self._replaces",
        "False",
        f"{ORDERS}::test_data_is_replaced_only_where_no_look_up_can_miss_it",
    ),
    Fault(
        "a set is filled beyond its size",
        "DESIGN: elements in place",
        DELTA,
        "                if 0 < self.walks.declared[name].size < counts[name]:\n",
        "                if False:\n",
        f"{ORDERS}::test_a_set_is_never_fuller_than_it_says",
    ),
    Fault(
        "a set that a base chain asks is changed in place",
        "DESIGN: elements in place",
        WALKS,
        "            if chain.name not in self._judges:\n",
        "            if False:\n",
        f"{ORDERS}::test_what_is_asked_for_more_than_peers_stays",
    ),
    Fault(
        "a delta does not wait for the one before it",
        "DESIGN: elements in place",
        DELTA,
        "self.touched.isdisjoint(earlier.touched) and not (self.ends and earlier.ends)",
        "True",
        f"{ORDERS}::test_an_address_that_changed_a_moment_ago_waits",
    ),
    Fault(
        "ports that overlap are taken for ports within",
        "DESIGN: elements in place",
        ALLOWANCE,
        "low <= first and last <= high",
        "low <= last and first <= high",
        "tests/unit/compiler/test_allowance.py::test_verdicts_are_compared_by_what_they_let_pass",
    ),
    Fault(
        "a simulated transaction meets a packet one look-up late",
        "DESIGN: split walks",
        SIM,
        "self._lookups > self._switch",
        "self._lookups > self._switch + 1",
        "tests/unit/compiler/test_sim.py::test_a_transaction_meets_a_packet_between_two_look_ups",
    ),
    Fault(
        "what widens is written before the swap",
        "DESIGN: elements in place",
        AROUND,
        "if not (effect.widens if when",
        "if not (effect.narrows if when",
        f"{AROUNDS}::test_no_packet_meets_what_neither_ruleset_says",
    ),
    Fault(
        "a pod's own chains may ask for what lags",
        "DESIGN: elements in place",
        AROUND,
        "or _concerns(order.walks, moved, changes):",
        "or not moved:",
        f"{AROUNDS}::test_pods_that_come_together_and_are_peers_of_each_other_are_put_alongside",
    ),
    Fault(
        "packets that walk chains of before a swap are not waited for",
        "DESIGN: elements in place",
        "policyd/applier/apply.py",
        "                self._elements.swapped()\n",
        "                pass\n",
        "tests/applier/test_elements_in_place.py::test_what_packets_may_still_be_in_is_waited_for[fake]",
    ),
    Fault(
        "an address may change again while packets walk",
        "DESIGN: elements in place",
        "policyd/applier/in_place.py",
        "earlier is not None and delta.may_follow(earlier)",
        "earlier is not None",
        "tests/applier/test_elements_in_place.py::test_what_packets_may_still_be_in_is_waited_for[fake]",
    ),
    Fault(
        "the same sets are compared each time",
        "verification",
        "policyd/applier/pieces.py",
        "            self._last = (family, part.name)\n",
        "",
        "tests/applier/test_pieces.py::test_an_element_that_is_gone_is_noticed_in_its_turn[inet]",
    ),
    Fault(
        "what rulesets before have left is forgotten where elements alone are written after reading back",
        "DESIGN: how a ruleset replaces another",
        "policyd/applier/apply.py",
        "        self._leftovers = holds_more(held, wanted)\n",
        "",
        "tests/applier/test_elements_in_place.py"
        "::test_what_was_not_swept_is_known_again_where_only_elements_are_written[fake-a repair]",
    ),
)
