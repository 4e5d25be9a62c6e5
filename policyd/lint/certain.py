"""The findings that are certain: where what was meant stands among the objects. For `compile` and the agent.

They see pods, and nothing that makes pods: those of a selector that matches nothing may still come. That a
word is one slip from one that is there is a mistake all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from policyd.errors import Diagnostic
from policyd.kube.objects import KubeObject, NetworkPolicy
from policyd.kube.registry import NETWORK_POLICY
from policyd.lint.drafts import Subject
from policyd.lint.finding import Finding, Named, in_order
from policyd.lint.places import Judged, placed
from policyd.lint.pod_rules import peers_match_nobody, selects_nobody
from policyd.lint.port_rules import names_nobody_has
from policyd.lint.see import see
from policyd.lint.suppress import IgnoredLines, ignored_by
from policyd.lint.table import BY_ID

#: The rules that can be certain without workloads and Services.
RULES = ("NP101", "NP102", "NP103", "NP104", "NP106")


def certain_findings(
    objects: Iterable[KubeObject], ignored: Mapping[str, IgnoredLines] = MappingProxyType({})
) -> tuple[Finding, ...]:
    """What is certainly wrong with the policies among these objects, in order.

    Without what an annotation switches off, or a comment: `ignored` are the lines of files that have any.
    """
    seen = see(objects)
    judged = [
        Judged(subject, draft, draft.level or BY_ID[draft.rule].level, certain=True, off=draft.rule in off)
        for policy in seen.policies
        for subject, off in ((_subject(policy), ignored_by(policy.lint_ignore)),)
        for rule in (selects_nobody, peers_match_nobody, names_nobody_has)
        for draft in rule(subject, seen)
        if draft.near
    ]
    return in_order(
        finding
        for finding, off in placed(judged, {})
        if not off and finding.rule not in ignored.get(finding.file, {}).get(finding.line, ())
    )


def _subject(policy: NetworkPolicy) -> Subject:
    return Subject(Named(NETWORK_POLICY.name, policy.namespace, policy.name), {}, None, policy)


def counted(findings: Iterable[Finding]) -> Mapping[str, int]:
    """How many findings there are of each rule that can be certain."""
    found = Counter(finding.rule for finding in findings)
    return {rule: found[rule] for rule in RULES}


def warning(finding: Finding) -> Diagnostic:
    """A finding as a warning of a command that reads manifests."""
    hint = f"; {finding.suggestion.text}" if finding.suggestion else ""
    named = f"{finding.object.kind} {finding.object}: {finding.path}"
    text = f"{named} {finding.message}{hint} (`policyd lint --explain {finding.rule}`)"
    file, line = finding.file or "policyd", finding.line
    return Diagnostic(file, line, 1 if line else 0, "warning", text)
