"""The findings that are certain: where what was meant stands among the objects. For `compile` and the agent.

They see pods, and nothing that makes pods: those of a selector that matches nothing may still come. That a
word is one slip from one that is there is a mistake all the same.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping

from policyd.errors import Diagnostic
from policyd.kube.objects import KubeObject, NetworkPolicy
from policyd.kube.registry import NETWORK_POLICY
from policyd.lint.drafts import Subject
from policyd.lint.finding import Finding, Named, in_order
from policyd.lint.places import Judged, placed
from policyd.lint.pod_rules import peers_match_nobody, selects_nobody
from policyd.lint.port_rules import names_nobody_has
from policyd.lint.see import see
from policyd.lint.table import BY_ID

#: The rules that can be certain without workloads and Services.
RULES = ("NP101", "NP102", "NP103", "NP104", "NP106")


def certain_findings(objects: Iterable[KubeObject]) -> tuple[Finding, ...]:
    """What is certainly wrong with the policies among these objects, in order."""
    seen = see(objects)
    judged = [
        Judged(subject, draft, draft.level or BY_ID[draft.rule].level, certain=True, off=False)
        for policy in seen.policies
        for subject in (_subject(policy),)
        for rule in (selects_nobody, peers_match_nobody, names_nobody_has)
        for draft in rule(subject, seen)
        if draft.near
    ]
    return in_order(finding for finding, _ in placed(judged, {}))


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
