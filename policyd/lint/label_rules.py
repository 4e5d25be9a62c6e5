"""NP005: labels that YAML takes for something else than the text that was meant."""

from __future__ import annotations

import re
from collections.abc import Iterator

from policyd.kube.decode_policy import TYPES
from policyd.kube.reading import Path, kind_of
from policyd.lint.drafts import Change, Draft, Subject, items, mapping
from policyd.lint.selectors import RULE_SIDES

#: Kinds whose labels are of pods, beside Pod itself: the path of their pod template.
TEMPLATES: dict[str, Path] = {
    **dict.fromkeys(
        ("Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController", "Job"),
        ("spec", "template"),
    ),
    "CronJob": ("spec", "jobTemplate", "spec", "template"),
}
_METADATA = ("Pod", "Namespace")


def misread_labels(subject: Subject) -> Iterator[Draft]:
    """Values of labels that are no text: an API server refuses them."""
    for path, raw in _label_values(subject):
        if raw is None:
            yield Draft(
                "NP005", path, 'is empty, which means the label with the value ""', hint="write what is meant"
            )
        elif not isinstance(raw, str | dict | list):
            yield Draft(
                "NP005",
                path,
                f"is {kind_of(raw)} to YAML, and a label must be text: the API server refuses it",
                "error",
                hint="put it in quotes",
                change=Change(path, _QUOTED),
            )


#: A change that puts quotes around what is written there.
_QUOTED = "\0quoted"


def is_quoting(change: Change) -> bool:
    """Whether a change puts quotes around a scalar, whatever it is."""
    return change.new == _QUOTED


_OTHERWISE = re.compile(r"[0-9]{4}-[0-9]{1,2}-[0-9]{1,2}|[-+]?[0-9][0-9_]*_[0-9_]*|0o[0-7]+|0b[01]+")


def reads_otherwise(plain: str) -> str | None:
    """What other readers of YAML make of a plain scalar that kubectl takes as text; None if the same."""
    if not _OTHERWISE.fullmatch(plain):
        return None
    return "a date" if plain.count("-") == 2 else "a number"


def _label_values(subject: Subject) -> Iterator[tuple[Path, object]]:
    for path, labels in label_maps(subject):
        for key, value in labels.items():
            yield (*path, key), value
    for path in _selectors(subject):
        for number, entry in enumerate(items(mapping(at(subject.raw, path)).get("matchExpressions"))):
            for place, value in enumerate(items(mapping(entry).get("values"))):
                yield (*path, "matchExpressions", number, "values", place), value


def label_maps(subject: Subject) -> Iterator[tuple[Path, dict[str, object]]]:
    """Every mapping of labels in an object that decides what policies select, with its path."""
    kind = subject.named.kind
    paths: list[Path] = [(*path, "matchLabels") for path in _selectors(subject)]
    if kind in _METADATA:
        paths.append(("metadata", "labels"))
    if kind in TEMPLATES:
        paths.append((*TEMPLATES[kind], "metadata", "labels"))
    for path in paths:
        labels = dict(mapping(at(subject.raw, path)))
        if labels:
            yield path, labels


def _selectors(subject: Subject) -> Iterator[Path]:
    if subject.named.kind != "NetworkPolicy":
        return
    yield ("spec", "podSelector")
    for direction in TYPES.values():
        for number, rule in enumerate(items(subject.spec.get(direction))):
            side = RULE_SIDES[direction]
            for place, _ in enumerate(items(mapping(rule).get(side))):
                peer: Path = ("spec", direction, number, side, place)
                yield (*peer, "podSelector")
                yield (*peer, "namespaceSelector")


def at(raw: object, path: Path) -> object:
    """The raw value at a path; None if there is none."""
    for step in path:
        if isinstance(raw, list) and isinstance(step, int):
            raw = raw[step] if step < len(raw) else None
        elif isinstance(raw, dict):
            raw = raw.get(step)
        else:
            return None
    return raw
