"""How an isolation's peers are laid out in the kernel: which sets it asks, whoever is in them.

A layout follows from what rules say, never from whom they select. So sets keep their names while pods come,
go and change their labels, and only elements change. It means nothing: a packet fares alike under each.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter
from typing import Literal, TypeAlias

from policyd_compiler.names import digest
from policyd_compiler.ports import EVERYTHING, NOTHING, PortSet, union_ports

#: So many groups at most are asked by one chain. Each costs a new connection 1 % to 2 %; each less fills the
#: maps of the chains that name more: with 10 000 pods, 1 000 policies and 100 pods of the node there are
#: 82 700 elements with three, 48 800 with four, 22 800 with five.
MOST_SHARED = 5


@dataclass(frozen=True, slots=True)
class Group:
    """The hosts that one selector selects, in a set that all chains share that name the selector.

    `identity` says what selects. `hosts` is a mask of the snapshot's hosts; rules must name them all. `ports`
    are those that are open to each of them by the rules that name the selector, or anything: who is named by
    others, too, and may use other ports, stands in a map of the chain's own.
    """

    identity: str
    hosts: int
    ports: PortSet


@dataclass(frozen=True, slots=True)
class Layout:
    """Groups in the order in which they are asked, and before them a set or map of the chain's own.

    `identity` says what the rules say; without one, sets are named by their members. `own`: whether peers may
    stand in a set of the chain's own, so that one is asked even while it is empty. `alike`: the ports that
    are open to every peer that a rule names, where that is one and the same; then one set is enough.
    """

    identity: str = ""
    groups: tuple[Group, ...] = ()
    own: bool = False
    alike: PortSet | None = None


NO_LAYOUT = Layout()


@dataclass(frozen=True, slots=True)
class Selected:
    """A selector of a rule: its text, the hosts that it selects now, its number of requirements.

    `wide`: whether it may well select many: a whole namespace, or pods of several.
    """

    text: str
    hosts: int
    requirements: int
    wide: bool


@dataclass(frozen=True)
class Written:
    """A rule that accepts, as far as a layout asks: `anything`, or selectors and the text of its ranges.

    `ports` are those that it names by number; `named` is what it says of ports that its peers name.
    """

    selected: tuple[Selected, ...]
    ranges: str
    anything: bool
    ports: PortSet
    named: str = ""

    def __bool__(self) -> bool:
        """Whether it may ever accept something."""
        return bool(self.anything or self.selected or self.ranges) and bool(self.ports or self.named)

    @cached_property
    def text(self) -> str:
        """All that it says: other for rules that mean something else."""
        peers = "anything" if self.anything else f"{sorted(s.text for s in self.selected)} {self.ranges}"
        return f"{peers} {self.ports!r} {self.named}"


def lay_out(stages: Sequence[Sequence[Written]]) -> Layout:
    """The layout of stages of which each accepts what its rules name, and nothing else."""
    told = [[rule for rule in rules if rule] for rules in stages]
    texts = ["\n".join(sorted({rule.text for rule in rules})) for rules in told]
    identity = digest("\n\n".join(texts).encode())
    rules = [rule for rules in told for rule in rules]
    if len(told) > 1 or any(rule.named for rule in rules):
        # What is open to a peer follows from more than the rules that name it.
        return Layout(identity, own=any(rule.selected or (rule.anything and rule.named) for rule in rules))
    return _of_rules(identity, rules)


#: What a rule does to those of its ports that no rule before it has decided.
Does: TypeAlias = Literal["accept", "deny", "pass"]


@dataclass(frozen=True, slots=True)
class Ordered:
    """A stage in which the order of rules counts: each with what it does to the ports that it names.

    `isolates`: what no rule decides is denied; else it is left to the next stage. `claimant`: of whom.
    """

    rules: tuple[tuple[Does, Written], ...]
    isolates: bool
    claimant: int


def lay_out_ordered(texts: Sequence[str], stages: Sequence[Ordered]) -> Layout:
    """The layout of stages in the order in which they are asked; `texts`: all that they say."""
    rules = [rule for stage in stages for _, rule in stage.rules if rule]
    opened = _decide(stages, None)
    # Whom an earlier rule names is mostly decided there: then who is in several groups is no exception.
    ranks: dict[str, tuple[tuple[int, int, int, str], Selected]] = {}
    for number, stage in enumerate(stages):
        for place, (_, rule) in enumerate(stage.rules):
            for each in rule.selected if rule.ports else ():
                rank = (number, 0 if stage.isolates else place, each.requirements, each.text)
                ranks[each.text] = min(ranks.get(each.text, (rank, each)), (rank, each), key=itemgetter(0))
    ports = {text: _decide(stages, text) for text in ranks}
    named = [each for text, (_, each) in sorted(ranks.items(), key=itemgetter(1)) if ports[text] != opened]
    groups = _groups(named, ports)
    told = {each.text for rule in rules for each in rule.selected}
    alone = len(told) == len(groups) == 1 and not any(rule.ranges or rule.named for rule in rules)
    return Layout(
        digest("\n\n".join(texts).encode()),
        groups,
        own=bool(told or any(rule.named for rule in rules)) and not alone,
    )


def _groups(named: Sequence[Selected], ports: Mapping[str, PortSet]) -> tuple[Group, ...]:
    """The groups of selectors, in their order: of those that may well select many, or of a single one."""
    shared = [each for each in named if each.wide or len(named) == 1][:MOST_SHARED]
    return tuple(Group(each.text, each.hosts, ports[each.text]) for each in shared)


def _decide(stages: Iterable[Ordered], selector: str | None) -> PortSet:
    """What is open to a peer that one selector selects, or none, and that nothing else names."""
    undecided, allowed, claimant = EVERYTHING, NOTHING, 0
    for stage in stages:
        if stage.claimant != claimant:  # what one is allowed, the next must be, too (NP-166)
            undecided, allowed, claimant = allowed | undecided, NOTHING, stage.claimant
        passed = NOTHING
        for action, rule in stage.rules:
            if rule.anything or any(each.text == selector for each in rule.selected):
                here = undecided & rule.ports
                undecided = undecided - here
                allowed = allowed | here if action == "accept" else allowed
                passed = passed | here if action == "pass" else passed
        undecided = passed if stage.isolates else passed | undecided
    return allowed | undecided


def _of_rules(identity: str, rules: list[Written]) -> Layout:
    closed = [rule for rule in rules if not rule.anything]
    opened = union_ports([NOTHING, *(rule.ports for rule in rules if rule.anything)])
    found: dict[str, tuple[Selected, list[PortSet]]] = {}
    for rule in closed:
        for selected in rule.selected:
            found.setdefault(selected.text, (selected, [opened]))[1].append(rule.ports)
    ports = {text: union_ports(many) for text, (_, many) in found.items()}
    # Whoever may use no more than everybody needs no element.
    named = [selected for text, (selected, _) in found.items() if ports[text] != opened]
    groups = _groups(sorted(named, key=lambda s: (s.requirements, s.text)), ports)
    different = {union_ports((rule.ports, opened)) for rule in closed}
    alike = different.pop() if len(different) == 1 else None
    exceptions = alike is None and (len(named) > 1 or any(rule.ranges for rule in closed))
    return Layout(
        identity,
        groups,
        own=bool(named) and (len(groups) < len(named) or exceptions),
        alike=alike,
    )
