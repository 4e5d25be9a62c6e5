"""Faults in how objects are named and how one ruleset takes the place of another."""

from __future__ import annotations

from tests.faults.fault import Fault

COMPILER = "compiler/policyd_compiler"
CHAINS = f"{COMPILER}/lower/chains.py"
NAMES = f"{COMPILER}/names.py"
OBJECTS = f"{COMPILER}/lower/objects.py"
PLAN = f"{COMPILER}/plan.py"
APPLYING = "tests/applier/test_apply.py"
PLANS = "tests/property/test_plan.py"
UNIT = "tests/unit/compiler"

NAME_FAULTS = (
    Fault(
        "chains of one policy have one name, whatever is in them",
        "DESIGN: content in names",
        NAMES,
        "for part in (prefix, self._digest(content), hint) if part",
        "for part in (prefix, hint or self._digest(content)) if part",
        f"{PLANS}::test_only_the_commit_touches_what_is_in_use",
    ),
    Fault(
        "a name is given to two contents",
        "NP-042",
        NAMES,
        "            if self._contents[name] == content:\n",
        "            if self._contents[name]:\n",
        "tests/property/test_collisions.py::test_a_collision_changes_no_meaning",
    ),
    Fault(
        "the hash of a name does not see all of its content",
        "DESIGN: content in names",
        NAMES,
        "blake2b(content, digest_size=20)",
        "blake2b(content[:16], digest_size=20)",
        f"{PLANS}::test_only_the_commit_touches_what_is_in_use",
    ),
    Fault(
        "what differs under one name is put beside only if it is more or less than before",
        "DESIGN: content in names",
        f"{COMPILER}/apart.py",
        "not is_same(held[part.name], part)",
        "len(held[part.name].elements) != len(part.elements)",
        "tests/property/test_collisions.py::test_what_changes_under_one_name_is_written",
    ),
    Fault(
        "what leads to a set that is put beside keeps its name",
        "DESIGN: one swap",
        f"{COMPILER}/apart.py",
        "    reached = ruleset.leading_to({id_of(part) for part in changed})",
        "    reached = {id_of(part) for part in changed}",
        f"{UNIT}/test_ruleset.py::test_what_leads_to_a_set_that_changes_is_put_next_to_with_it",
    ),
    Fault(
        "what stands behind a verdict map is nobody's fault",
        "decisions 8",
        f"{COMPILER}/ruleset.py",
        'PartId("chain", v.chain) for v in verdicts',
        'PartId("map", v.chain) for v in verdicts',
        f"{UNIT}/test_owners.py::test_an_object_serves_the_policies_of_every_chain_that_leads_to_it",
    ),
    Fault(
        "a ruleset that stays is counted as another",
        "DESIGN: one swap",
        PLAN,
        "        if not but_for_it.changed:\n",
        "        if False:\n",
        f"{PLANS}::test_a_generation_is_counted_only_with_what_it_counts",
    ),
    Fault(
        "what is not swept yet still counts",
        "DESIGN: roles",
        f"{COMPILER}/roles.py",
        "        if known not in asked:\n",
        "        if False:\n",
        "tests/property/test_roles.py::test_what_is_not_swept_yet_is_for_nothing",
    ),
    Fault(
        "pods are blamed only for what begins with certain letters",
        "decisions 8",
        "policyd/agent/attribution.py",
        '_WORD = re.compile(r"[^\\s@{};,:]+")',
        '_WORD = re.compile(r"\\b(?:in|out|peers)[^\\s@{};,:]*")',
        "tests/agent/test_attribution.py::test_candidates_are_the_policies_of_what_a_statement_names",
    ),
    Fault(
        "a set is kept that is too small",
        "DESIGN: room",
        f"{COMPILER}/room.py",
        "len(part.elements) <= size != part.size",
        "size != part.size",
        "tests/applier/test_elements_in_place.py::test_what_does_not_fit_into_a_set_is_put_alongside[fake]",
    ),
    Fault(
        "a size that somebody else declared stays",
        "DESIGN: drift",
        "policyd/applier/apply.py",
        "            self._desired, self._mistrusts = None, True\n",
        "            self._desired = None\n",
        "tests/applier/test_elements_in_place.py::test_a_size_that_somebody_else_declared_is_not_kept[fake]",
    ),
    Fault(
        "sizes never settle",
        "DESIGN: room",
        "policyd/agent/reconciler.py",
        "self._applier.apply(built.table, exact=exact)",
        "self._applier.apply(built.table)",
        "tests/agent/test_following.py::test_sizes_of_sets_settle_when_it_is_quiet",
    ),
    Fault(
        "chains are made that no packet comes to",
        "DESIGN: roles",
        f"{COMPILER}/lower/dispatch.py",
        "        (not_new((*link, ERRORS, *invalid)), *middle) if from_node else (),\n",
        "        (not_new((*link, ERRORS, *invalid)), *middle),\n",
        "tests/property/test_roles.py::test_the_structure_says_what_each_part_is_for",
    ),
    Fault(
        "a counter stays when nothing counts in it any more",
        "DESIGN: room for counters",
        PLAN,
        "    names = sorted(map(id_of, gone),",
        '    names = sorted((part for part in map(id_of, gone) if part.kind != "counter"),',
        "tests/applier/test_counters.py::test_a_counter_counts_on_through_each_swap",
    ),
    Fault(
        "policies are taken in the order of a hash",
        "L15",
        "policyd/cluster/resolve.py",
        "[state.policies[key] for key in sorted(state.policies)]",
        "[state.policies[key] for key in set(state.policies)]",
        "tests/property/test_bytes.py::test_the_hash_seed_does_not_matter",
    ),
    Fault(
        "rules are noted in the order of their hashes",
        "L15",
        CHAINS,
        "        key=_IN_ORDER,\n    )\n    lines = ",
        "        key=hash,\n    )\n    lines = ",
        "tests/property/test_bytes.py::test_the_hash_seed_does_not_matter",
    ),
    Fault(
        "policies are taken in the order in which they came",
        "L15",
        "policyd/cluster/resolve.py",
        "[state.policies[key] for key in sorted(state.policies)]",
        "list(state.policies.values())",
        "tests/property/test_bytes.py::test_the_order_of_objects_does_not_matter",
    ),
)

SWAPS = (
    Fault(
        "a change replaces the whole table",
        "DESIGN: one swap",
        PLAN,
        "if actual is None or not _alike(actual, desired):\n        gone = ",
        "if actual is None or actual != desired:\n        gone = ",
        f"{PLANS}::test_only_the_commit_touches_what_is_in_use",
    ),
    Fault(
        "a change of the dispatch maps happens in place",
        "DESIGN: one swap",
        OBJECTS,
        '"\\n".join(verdict_texts(part)).encode()\n'
        "        claimed, new = self._names.of_content(prefix, content)\n        name = SetName(claimed)\n",
        '"\\n".join(verdict_texts(part)).encode()\n'
        "        claimed, new = self._names.of_content(prefix, content)\n"
        '        name = SetName(claimed if "-" in prefix else prefix)\n',
        "tests/kernel/test_swap.py::test_no_packet_leaks_and_none_is_lost_while_rulesets_are_swapped[routed]",
    ),
    Fault(
        "what is in use is swept before the commit",
        "DESIGN: one swap",
        PLAN,
        '_KINDS: tuple[StepKind, ...] = ("stage", "commit", "sweep", "sweep")',
        '_KINDS: tuple[StepKind, ...] = ("stage", "sweep", "commit", "sweep")',
        f"{PLANS}::test_plans_arrive",
    ),
    Fault(
        "maps that nothing asks any more are left over",
        "DESIGN: one swap",
        PLAN,
        "    names = sorted(map(id_of, gone),",
        '    names = sorted((part for part in map(id_of, gone) if part.kind != "map"),',
        f"{APPLYING}::test_the_first_apply_and_every_later_one_arrive[fake]",
    ),
)

NAMING = (*NAME_FAULTS, *SWAPS)
