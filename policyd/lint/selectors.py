"""Selectors and rules of a policy in words and by path, and what a misspelt selector may have meant."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import islice
from typing import Final

from policyd.kube.objects import LabelSelector, NetworkPolicy, Peer, PolicyRule, Requirement
from policyd.kube.reading import Path
from policyd.kube.selectors import matches
from policyd.kube.syntax import quote
from policyd.lint.drafts import Change, Subject, items, mapping
from policyd.lint.nearest import near

RULE_SIDES: Final = {"ingress": "from", "egress": "to"}
_BARE = frozenset("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./")


def peers_of(policy: NetworkPolicy) -> Iterator[tuple[Path, Peer]]:
    """The peers of the rules that have an effect, with their paths."""
    for path, rule in rules_of(policy):
        side = RULE_SIDES[str(path[1])]
        yield from (((*path, side, number), peer) for number, peer in enumerate(rule.peers or ()))


def rules_of(policy: NetworkPolicy) -> Iterator[tuple[Path, PolicyRule]]:
    """The rules that have an effect, with their paths."""
    for direction, rules in (("ingress", policy.ingress), ("egress", policy.egress)):
        for number, rule in enumerate(rules or ()):
            yield ("spec", direction, number), rule


def print_selector(selector: LabelSelector) -> str:
    """A selector as people write it: `app=web,tier in (a,b),!old`."""
    return ",".join(map(_print_requirement, selector.requirements)) or "any labels"


def _print_requirement(requirement: Requirement) -> str:
    key, values = bare(requirement.key), requirement.values
    match requirement.operator:
        case "In" if len(values) == 1:
            return f"{key}={bare(values[0])}"
        case "In":
            return f"{key} in ({','.join(map(bare, values))})"
        case "NotIn":
            return f"{key} not in ({','.join(map(bare, values))})"
        case "Exists":
            return key
        case "DoesNotExist":
            return f"!{key}"


def bare(text: str) -> str:
    """A label's key or value as it is, in quotes if it could be misread."""
    return text if text and len(text) <= 80 and _BARE.issuperset(text) else quote(text)


def is_open(selector: LabelSelector) -> bool:
    """Whether a selector names nobody, and at most whom it is not about: it means whoever comes."""
    return all(requirement.operator in ("NotIn", "DoesNotExist") for requirement in selector.requirements)


#: In longer lists of values no slip is looked for, and not among more different sets of labels.
MOST_VALUES = 8
MOST_LABELS = 2000


@dataclass(frozen=True, slots=True)
class Repair:
    """One word of a selector that may be misspelt: in requirement `number`, `old` may have meant `new`."""

    number: int
    part: str
    old: str
    new: str


def repairs(selector: LabelSelector, labels: Iterable[Mapping[str, str]]) -> tuple[Repair, ...]:
    """All ways to fix one word so that the selector matches any of these sets of labels."""
    known = list(islice(labels, MOST_LABELS))
    found: dict[Repair, None] = {}
    for number, requirement in enumerate(selector.requirements):
        if requirement.operator not in ("In", "Exists") or len(requirement.values) > MOST_VALUES:
            continue
        rest = LabelSelector((*selector.requirements[:number], *selector.requirements[number + 1 :]))
        fitting = [each for each in known if matches(rest, each)] if rest.requirements else known
        for repair in _repairs(number, requirement, fitting):
            found[repair] = None
    return tuple(found)


def _repairs(number: int, requirement: Requirement, fitting: list[Mapping[str, str]]) -> Iterator[Repair]:
    key = requirement.key
    if requirement.operator == "In":
        values = sorted({each[key] for each in fitting if key in each})
        for value in requirement.values:
            for meant in near(value, values):
                yield Repair(number, "value", value, meant)
    keys = sorted({k for each in fitting for k in each if _fits(requirement, each.get(k, ""))})
    for meant in near(key, keys):
        yield Repair(number, "key", key, meant)


def _fits(requirement: Requirement, value: str) -> bool:
    return requirement.operator == "Exists" or value in requirement.values


def repair_change(subject: Subject, path: Path, selector: LabelSelector, repair: Repair) -> Change | None:
    """The change of the selector at a path that makes the repair; None if the word stands there twice."""
    requirement = selector.requirements[repair.number]
    raw: object = subject.raw
    for step in path:
        raw = raw[step] if isinstance(raw, list) and isinstance(step, int) else mapping(raw).get(str(step))
    found: list[Change] = []
    key = requirement.key
    labels = mapping(mapping(raw).get("matchLabels"))
    if requirement.operator == "In" and labels.get(key) in requirement.values:
        here: Path = (*path, "matchLabels", key)
        found.append(Change(here, repair.new, "key" if repair.part == "key" else "value"))
    for number, entry in enumerate(items(mapping(raw).get("matchExpressions"))):
        expression = mapping(entry)
        if expression.get("key") != key or expression.get("operator") != requirement.operator:
            continue
        here = (*path, "matchExpressions", number)
        if repair.part == "key":
            found.append(Change((*here, "key"), repair.new))
        else:
            values = items(expression.get("values"))
            found.extend(
                Change((*here, "values", i), repair.new) for i, v in enumerate(values) if v == repair.old
            )
    return found[0] if len(found) == 1 else None


def renamed(selector: LabelSelector, number: int, key: str) -> LabelSelector:
    """The selector with another key in one requirement."""
    changed = replace(selector.requirements[number], key=key)
    return LabelSelector((*selector.requirements[:number], changed, *selector.requirements[number + 1 :]))
