"""Faults of lint: wrong findings, findings that are missing, and edits that change more than they say."""

from __future__ import annotations

from tests.faults.fault import Fault

PAGE = "docs/lint.md"
PODS = "tests/lint/test_pods.py"
TRAFFIC = "tests/lint/test_traffic.py"
PLACES = "tests/lint/test_places.py"
REDUNDANT = "tests/lint/test_redundant.py"
TIERS = "policyd/lint/tier_rules.py"
OF_TIERS = "tests/lint/test_tiers.py"

LINT = (
    Fault(
        "pods that an operator makes later are taken for missing",
        PAGE,
        "policyd/lint/judge.py",
        'if BY_ID[draft.rule].needs == "objects" and not draft.near and not seen.complete:',
        'if BY_ID[draft.rule].needs == "objects" and draft.near and not seen.complete:',
        f"{PODS}::test_in_a_partial_world_only_near_misses_are_more_than_notes",
    ),
    Fault(
        "two of a series are slips of each other",
        PAGE,
        "policyd/lint/nearest.py",
        '    if _DIGITS.sub("", word) == _DIGITS.sub("", other):  # web-1 and web-2\n        return None\n',
        "",
        f"{PODS}::test_a_near_word_is_a_slip_and_no_other_word",
    ),
    Fault(
        "a name that is known in one of several sets is misspelt all the same",
        PAGE,
        "policyd/lint/nearest.py",
        "        if other == word:\n            return ()\n",
        "        if other == word:\n            continue\n",
        f"{PODS}::test_a_near_word_is_a_slip_and_no_other_word",
    ),
    Fault(
        "a selector that names nobody is told to match nobody",
        PAGE,
        "policyd/lint/selectors.py",
        'return all(requirement.operator in ("NotIn", "DoesNotExist") for',
        'return all(requirement.operator == "DoesNotExist" for',
        f"{PODS}::test_what_mostly_is_elsewhere_and_whoever_comes_are_no_finding",
    ),
    Fault(
        "a namespace that nobody gave has no label",
        PAGE,
        "policyd/lint/pod_rules.py",
        "            if not seen.given.issuperset(named):",
        "            if not named:",
        f"{PODS}::test_without_namespaces_among_the_objects_their_labels_are_not_known",
    ),
    Fault(
        "DNS that another policy allows does not count",
        PAGE,
        "policyd/lint/egress_rules.py",
        "    return wants & ~udp, wants & udp & ~tcp\n",
        "    return wants, wants & udp & ~tcp\n",
        f"{TRAFFIC}::test_dns_by_another_policy_counts",
    ),
    Fault(
        "one receiver that refuses makes half a permission",
        PAGE,
        "policyd/lint/egress_rules.py",
        "        if not isolating or any(_lets_in(p, pod, senders, rule, seen) for p in isolating):\n"
        "            return\n",
        "        if not isolating or any(_lets_in(p, pod, senders, rule, seen) for p in isolating):\n"
        "            continue\n",
        f"{TRAFFIC}::test_half_a_permission_is_found_only_if_all_receivers_refuse",
    ),
    Fault(
        "a rule for some ports covers one for all",
        PAGE,
        "policyd/lint/boxes.py",
        "base: Box = {} if ports is None else {PORTS: ports}",
        "base: Box = {}",
        f"{REDUNDANT}::test_ports",
    ),
    Fault(
        "a wider block covers though its except does not",
        PAGE,
        "policyd/lint/boxes.py",
        "                        mask &= ~self._mask(",
        "                        mask |= 0 & self._mask(",
        f"{REDUNDANT}::test_peers",
    ),
    Fault(
        "a policy for fewer pods covers one for more",
        PAGE,
        "policyd/lint/boxes.py",
        'if not self._bound(base, "subject", meant.subject):',
        'if not self._bound({}, "subject", meant.subject):',
        f"{REDUNDANT}::test_policies_cover_the_pods_of_one_together",
    ),
    Fault(
        "rules that leave a gap between them cover one",
        PAGE,
        "policyd/lint/boxes.py",
        "            if rest := mine & ~mask:\n                left.append(",
        "            if rest := mine & ~mask & ~_OTHER:\n                left.append(",
        f"{REDUNDANT}::test_several_rules_cover_one_together",
    ),
    Fault(
        "an edit is made in an anchor that others refer to",
        PAGE,
        "policyd/lint/fix.py",
        "if changed is None or _differences(_read(file, text), _read(file, changed)) != 1:",
        "if changed is None:",
        f"{PLACES}::test_what_others_refer_to_is_left",
    ),
    Fault(
        "an edit is made wherever its line is",
        PAGE,
        "policyd/lint/fix.py",
        "    if not line.startswith(edit.old, at):\n        return None\n",
        "",
        f"{PLACES}::test_an_edit_whose_text_is_not_there_is_left",
    ),
    Fault(
        "a comment switches off what begins like the rule",
        PAGE,
        "policyd/lint/suppress.py",
        r'_COMMENT = re.compile(rf"(?:^|[ \t])#[ \t]*policyd:[ \t]*ignore[ \t]+({_IDS})(?![0-9A-Za-z])")',
        r'_COMMENT = re.compile(rf"(?:^|[ \t])#[ \t]*policyd:[ \t]*ignore[ \t]+({_IDS})")',
        f"{PLACES}::test_a_comment_switches_a_finding_off",
    ),
    Fault(
        "what a server refuses is no mistake where a comment switches the finding off",
        PAGE,
        "policyd/lint/gather.py",
        'not in (reported if each.severity == "error" else report.places)',
        "not in report.places",
        "tests/cli/test_lint.py::test_a_mistake_that_a_rule_knows_is_a_finding",
    ),
    Fault(
        "the agent looks policies over all the time",
        PAGE,
        "policyd/agent/sparing.py",
        "        if count is not None and count != seen:",
        "        if count is not None:",
        "tests/agent/test_policy_check.py::test_it_looks_when_a_policy_has_changed_and_only_then",
    ),
    Fault(
        "a rule is out of reach if one behind it decides all that it is about",
        "CNP-018",
        TIERS,
        "            return int(self.path[2]) < int(other.path[2])\n",
        "            return int(self.path[2]) != int(other.path[2])\n",
        f"{OF_TIERS}::test_what_nothing_reaches_is_found_by_what_is_written",
    ),
    Fault(
        "all of IPv4 is all there is",
        "CNP-023",
        TIERS,
        "    return whole == {4, 6} or all(",
        "    return bool(whole) or all(",
        f"{OF_TIERS}::test_what_nothing_reaches_is_found_by_what_is_written",
    ),
    Fault(
        "whoever cuts pods off by a label is told that they reach no DNS",
        PAGE,
        TIERS,
        "    if subject is None or subject.pods.requirements:\n",
        "    if subject is None:\n",
        f"{OF_TIERS}::test_a_deny_takes_dns_along_if_nothing_lets_it_pass_before",
    ),
)
