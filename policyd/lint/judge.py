"""Objects and what was seen of their cluster → findings. The one way in to all rules. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from policyd.kube.objects import Source
from policyd.kube.reading import Path
from policyd.kube.registry import NETWORK_POLICY
from policyd.lint.address_rules import blocks_with_pods, one_family_only
from policyd.lint.block_rules import odd_blocks
from policyd.lint.choice import DEFAULT, Choice
from policyd.lint.drafts import Draft, Subject, mapping
from policyd.lint.egress_rules import half_open, no_names
from policyd.lint.finding import Finding, Level, Named, Report, in_order
from policyd.lint.label_rules import misread_labels
from policyd.lint.open_rules import no_baseline, open_to_all
from policyd.lint.places import Judged, placed
from policyd.lint.pod_rules import and_meant, peers_match_nobody, selects_nobody
from policyd.lint.port_rules import names_nobody_has, service_ports
from policyd.lint.redundant import Cover, covered_rules, needless
from policyd.lint.seen import Seen
from policyd.lint.suppress import ignored_in, ignored_lines
from policyd.lint.table import BY_ID
from policyd.lint.text_rules import of_another_engine, only_tcp, without_effect
from policyd.lint.tier_rules import tiers

_ALONE: Final[tuple[Callable[[Subject], Iterator[Draft]], ...]] = (
    without_effect,
    odd_blocks,
    only_tcp,
    misread_labels,
    of_another_engine,
    open_to_all,
)
_AMONG: Final[tuple[Callable[[Subject, Seen], Iterator[Draft]], ...]] = (
    and_meant,
    selects_nobody,
    peers_match_nobody,
    names_nobody_has,
    service_ports,
    blocks_with_pods,
    one_family_only,
    no_names,
    half_open,
    tiers,
)


def judge(
    subjects: Sequence[Subject],
    seen: Seen,
    texts: Mapping[str, bytes],
    choice: Choice = DEFAULT,
    skipped: int = 0,
) -> Report:
    """All findings of the rules that are chosen.

    `texts` are the files that objects were written in: comments in them switch findings off, and edits are
    made in them.
    """
    covered = covered_rules(seen.policies)
    judged = [
        Judged(subject, draft, _level(draft, seen), _is_certain(draft, seen), draft.rule in off)
        for subject in subjects
        for off in (ignored_in(subject.raw),)
        for draft in _drafts(subject, seen, covered)
        if choice.has(draft.rule)
    ]
    found = list(placed(judged, {file: text.decode(errors="replace") for file, text in texts.items()}))
    if choice.has("NP203"):
        found.extend((_of_namespace(*each), False) for each in no_baseline(seen))
    lines = {file: ignored_lines(text) for file, text in texts.items()}
    kept = in_order(
        f
        for f, off in found
        if not (off or choice.ignores(f.rule) or f.rule in lines.get(f.file, {}).get(f.line, ()))
    )
    every = {f for f, _ in found}
    return Report(
        "complete" if seen.complete else "partial",
        kept,
        sum(
            subject.tier is not None or subject.raw.get("apiVersion") == NETWORK_POLICY.version
            for subject in subjects
        ),
        skipped,
        len(every) - len(kept),
        seen.partial,
        frozenset((f.file, f.line, f.column) for f in every),
    )


def _drafts(subject: Subject, seen: Seen, covered: Mapping[tuple[str, str, Path], Cover]) -> Iterator[Draft]:
    for alone in _ALONE:
        yield from alone(subject)
    for among in _AMONG:
        yield from among(subject, seen)
    yield from needless(subject, covered)


def _level(draft: Draft, seen: Seen) -> Level:
    """The level of a finding: at most a note if pods that were not seen may make it wrong."""
    level = draft.level or BY_ID[draft.rule].level
    if BY_ID[draft.rule].needs == "objects" and not draft.near and not seen.complete:
        return "note"
    return level


def _is_certain(draft: Draft, seen: Seen) -> bool:
    return draft.near or seen.whole or BY_ID[draft.rule].needs == "text"


def _of_namespace(name: str, source: Source | None, message: str) -> Finding:
    file, line = (source.file, source.line) if source else ("", 0)
    level = BY_ID["NP203"].level
    return Finding("NP203", level, file, line, min(line, 1), Named("Namespace", "", name), "", message)


def named(raw: Mapping[str, object], namespace: str) -> Named:
    """What a raw object is, as far as it says; `namespace` is for one that names none."""
    metadata = mapping(raw.get("metadata"))
    kind, name, own = raw.get("kind"), metadata.get("name"), metadata.get("namespace")
    return Named(
        kind if isinstance(kind, str) else "",
        own if isinstance(own, str) and own else namespace,
        name if isinstance(name, str) else "",
    )
