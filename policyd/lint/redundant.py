"""NP301 and NP302: rules that add nothing, as others allow all of it, whatever pods there are.

What rules mean decides, and not how they are written: whom a rule lets through to whom on which ports is a
set of boxes (`boxes.py`), and it adds nothing if the boxes of other rules fill its own. No pod is looked at,
so what is found is true of pods that come later, too. Of two that mean the same the first stays: taking all
that are found away changes nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from policyd.kube.objects import NetworkPolicy, PolicyRule
from policyd.kube.reading import Path
from policyd.lint.boxes import Boxes, Meant
from policyd.lint.drafts import Draft, Subject
from policyd.lint.selectors import rules_of

#: Rules of one namespace and direction that are compared with each other; of more, within policies of fewer.
MOST = 400
#: So many of the rules that cover another one are named.
_NAMED = 3


@dataclass(frozen=True, slots=True)
class Placed:
    """A rule of a policy, with its path."""

    policy: NetworkPolicy
    path: Path
    rule: PolicyRule

    @property
    def key(self) -> tuple[str, str, Path]:
        """Which rule it is."""
        return self.policy.namespace, self.policy.name, self.path

    def __str__(self) -> str:
        return f"{self.path[1]}[{self.path[2]}]"


@dataclass(frozen=True, slots=True)
class Cover:
    """The rules that allow all that one allows; `same`: a single one, and no more than that."""

    rules: tuple[Placed, ...]
    same: bool


def covered_rules(policies: Iterable[NetworkPolicy]) -> Mapping[tuple[str, str, Path], Cover]:
    """Rule → the rules that make it needless, of those that stay."""
    groups: defaultdict[tuple[str, object], list[Placed]] = defaultdict(list)
    for policy in policies:
        for path, rule in rules_of(policy):
            groups[policy.namespace, path[1]].append(Placed(policy, path, rule))
    found: dict[tuple[str, str, Path], Cover] = {}
    for placed in groups.values():
        if len(placed) <= MOST:
            found |= _covered(placed)
            continue
        for own in _by_policy(placed):
            if len(own) <= MOST:
                found |= _covered(own)
    return found


def _by_policy(placed: list[Placed]) -> Iterator[list[Placed]]:
    own: defaultdict[str, list[Placed]] = defaultdict(list)
    for each in placed:
        own[each.policy.name].append(each)
    yield from own.values()


def _covered(placed: list[Placed]) -> dict[tuple[str, str, Path], Cover]:
    boxes = Boxes([Meant(each.policy.namespace, each.policy.pods, each.rule) for each in placed])
    kept = list(range(len(placed)))
    gone: list[int] = []
    # Those that come later go first, so that of twins the first one stays.
    for number in reversed(range(len(placed))):
        others = [other for other in kept if other != number]
        if boxes.is_covered(number, others):
            kept = others
            gone.append(number)
    # Whatever covered a rule and went later is covered by those that stay.
    found = {}
    for number in gone:
        if by := boxes.covering(number, kept):
            same = len(by) == 1 and boxes.is_covered(by[0], [number])
            found[placed[number].key] = Cover(tuple(placed[each] for each in by), same)
    return found


def needless(subject: Subject, covered: Mapping[tuple[str, str, Path], Cover]) -> Iterator[Draft]:
    """NP301: a rule whose work others do; NP302: one that a wider rule of another policy shadows."""
    policy = subject.policy
    if policy is None:
        return
    for path, rule in rules_of(policy):
        cover = covered.get(Placed(policy, path, rule).key)
        if cover is None:
            continue
        shadowed = len(cover.rules) == 1 and not cover.same and cover.rules[0].policy.name != policy.name
        text = f"adds nothing: {_said(policy, cover)}"
        yield Draft("NP302" if shadowed else "NP301", path, text, near=True)


def _said(policy: NetworkPolicy, cover: Cover) -> str:
    """Which rules allow what a rule of a policy does."""
    own = all(other.policy.name == policy.name for other in cover.rules)
    names = [
        str(other) if own else f"{other.policy.namespace}/{other.policy.name} {other}"
        for other in cover.rules
    ]
    if len(names) > 1:
        more = len(names) - _NAMED
        shown = ", ".join(names[:_NAMED] if more > 0 else names[:-1])
        whose = f"{shown} and {f'{more} more' if more > 0 else names[-1]}"
        return f"{whose}{' of the same policy' if own else ''} allow all of it together"
    if own:
        return f"{names[0]} of the same policy allows all of it"
    return f"{names[0]} allows the same" if cover.same else f"{names[0]} allows all of it, and more"
