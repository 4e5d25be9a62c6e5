"""Texts → what lint looks at: policies as they are written and as they are understood, and all that was seen.

Files of a directory that hold no Kubernetes objects are counted and skipped; what they may stand for, as a
template does for pods, is remembered. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace

from policyd.errors import Diagnostic
from policyd.kube.decode import decode_manifest
from policyd.kube.decode_type import not_enforced
from policyd.kube.kind import Kinds
from policyd.kube.objects import ClusterNetworkPolicy, KubeObject, NetworkPolicy, Protocol, Source
from policyd.kube.reading import ReadingOptions
from policyd.kube.registry import ASKED, CLUSTER_NETWORK_POLICY, NETWORK_POLICY
from policyd.kube.syntax import printable
from policyd.lint.drafts import Subject
from policyd.lint.finding import Named, Report
from policyd.lint.judge import named
from policyd.lint.label_rules import TEMPLATES, label_maps
from policyd.lint.makers import declared_ports, makes_pods
from policyd.lint.see import see
from policyd.lint.seen import Seen
from policyd.manifests.foreign import is_no_manifest
from policyd.manifests.load import Written, combine, load_manifest, written_objects

_POLICIES = Kinds((NETWORK_POLICY, CLUSTER_NETWORK_POLICY))
#: Reasons why a world is partial that are remembered; more are the same again.
MOST_REASONS = 20


@dataclass(frozen=True, slots=True)
class Input:
    """A text, and whether it was found in a directory, and not named itself."""

    file: str
    content: bytes
    found: bool = False


@dataclass(slots=True)
class Gathered:
    """All that was read. `diagnostics`: mistakes and warnings, without what is a finding."""

    subjects: list[Subject] = field(default_factory=list)
    objects: list[KubeObject] = field(default_factory=list)
    texts: dict[str, bytes] = field(default_factory=dict)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    partial: list[str] = field(default_factory=list)
    numbers: dict[tuple[str, str, str], frozenset[tuple[Protocol, int]]] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)

    def seen(self, world: str | None = None, *, whole: bool = False) -> Seen:
        """What was seen; `world` complete or partial is somebody's word, and counts more."""
        partial = self.partial[:MOST_REASONS]
        if world == "partial" and not partial:
            partial = ["it was said so"]
        return see(self.objects, self.numbers, partial, whole=whole or world == "complete")


def gather(inputs: Iterable[Input], options: ReadingOptions) -> Gathered:
    """Read all inputs, and keep of each what rules ask for.

    Of policies given twice the first one counts. Of other objects all do: what is left of a patch, or of
    another overlay of the same, may be true of the one that comes out.
    """
    gathered = Gathered()
    for each in inputs:
        _gather_one(each, replace(options, foreign_policies="warning"), gathered)
    twins = combine(gathered.objects, ASKED)
    if twins:
        more = f", and {len(twins) - 1} more like this" if len(twins) > 1 else ""
        gathered.diagnostics.append(replace(twins[0], severity="warning", text=f"{twins[0].text}{more}"))
        _leave_out_twins(gathered)
    return gathered


def _gather_one(each: Input, options: ReadingOptions, gathered: Gathered) -> None:
    objects, diagnostics = load_manifest(each.content, each.file, options, ASKED)
    policies: list[NetworkPolicy] = []
    subjects: list[Subject] = []
    any_object = bool(objects)
    for written in written_objects(each.content, each.file):
        kind, version = written.raw.get("kind"), written.raw.get("apiVersion")
        if not isinstance(kind, str) or not isinstance(version, str):
            continue
        any_object = True
        subject = _subject(written, kind, version, options)
        _note(subject, each.file, gathered)
        if kind in _POLICIES.names or not_enforced(kind, version, ASKED) or _is_misread(subject):
            subjects.append(subject)
        if subject.policy is not None:
            policies.append(subject.policy)
    broken = any(diagnostic.severity == "error" for diagnostic in diagnostics)
    nothing = not any_object and not broken
    if each.found and (nothing or is_no_manifest(each.content, diagnostics, found=len(objects))):
        gathered.skipped.append(each.file)
        if b"{{" in each.content and b"kind:" in each.content:
            gathered.partial.append(f"{each.file} is a template, and may make pods")
        return
    gathered.read.append(each.file)
    gathered.objects.extend(item for item in objects if not isinstance(item, NetworkPolicy))
    gathered.objects.extend(policies)
    gathered.subjects.extend(subjects)
    if subjects:
        gathered.texts[printable(each.file)] = each.content
    # In directories there are patches and the like, which no server would take: only policies matter there.
    if subjects or not each.found or NETWORK_POLICY.name.encode() in each.content:
        gathered.diagnostics.extend(diagnostics)
    if broken:
        gathered.partial.append(f"{each.file} holds what an API server would refuse")


def _subject(written: Written, kind: str, version: str, options: ReadingOptions) -> Subject:
    item = None
    is_ours = (kind, version) == (NETWORK_POLICY.name, NETWORK_POLICY.version)
    if is_ours or kind == CLUSTER_NETWORK_POLICY.name:
        source = Source(written.file, written.document.line(written.prefix))
        item = decode_manifest(written.raw, options, lambda _path: source, _POLICIES).item
    tier = item if isinstance(item, ClusterNetworkPolicy) else None
    policy = item if isinstance(item, NetworkPolicy) else None
    return Subject(
        named(written.raw, options.namespace if tier is None else ""), written.raw, written, policy, tier
    )


def _note(subject: Subject, file: str, gathered: Gathered) -> None:
    """Remember what an object stands for: pods that are made elsewhere, ports that containers declare."""
    reason = makes_pods(subject.raw)
    if reason is not None:
        gathered.partial.append(f"{file}: {reason}")
    name = subject.named
    if name.kind in TEMPLATES or name.kind == "Pod":
        declared = declared_ports(subject.raw)
        if declared:
            gathered.numbers[name.kind, name.namespace, name.name] = declared


def _is_misread(subject: Subject) -> bool:
    return any(not isinstance(v, str | None) for _, labels in label_maps(subject) for v in labels.values())


def _leave_out_twins(gathered: Gathered) -> None:
    seen: set[str] = set()
    kept: list[KubeObject] = []
    for item in gathered.objects:
        if not isinstance(item, NetworkPolicy):
            kept.append(item)
        elif NETWORK_POLICY.key(item) not in seen:
            seen.add(NETWORK_POLICY.key(item))
            kept.append(item)
    first = {id(item) for item in kept}
    gathered.objects = kept
    gathered.subjects = [
        subject if subject.policy is None or id(subject.policy) in first else replace(subject, policy=None)
        for subject in gathered.subjects
    ]


def of_cluster(objects: Iterable[KubeObject]) -> Gathered:
    """Objects of an API server, which were written nowhere, as what was read."""
    gathered = Gathered(objects=list(objects))
    gathered.subjects.extend(
        Subject(
            Named(NETWORK_POLICY.name, item.namespace, item.name), NETWORK_POLICY.encode(item), None, item
        )
        for item in gathered.objects
        if isinstance(item, NetworkPolicy)
    )
    gathered.subjects.extend(
        Subject(Named(CLUSTER_NETWORK_POLICY.name, "", item.name), {}, None, None, item)
        for item in gathered.objects
        if isinstance(item, ClusterNetworkPolicy)
    )
    return gathered


def left_over(diagnostics: Iterable[Diagnostic], report: Report) -> list[Diagnostic]:
    """The diagnostics of which no finding says the same.

    A warning is left out where a rule found something, also if that was switched off; an error only where a
    finding is reported.
    """
    reported = {(f.file, f.line, f.column) for f in report.findings}
    return [
        each
        for each in diagnostics
        if (each.file, each.line, each.column)
        not in (reported if each.severity == "error" else report.places)
    ]
