"""What the rules of all tiers decide together, for a peer that some of them match. On port masks.

What rules do to the ports that no rule before them has decided is an effect: accept these, deny these, pass
these on to the next tier. Two effects in turn are an effect again, so the rules of a stage are the leaves of
a tree, and where one rule comes or goes only the nodes above it are computed again.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

from policyd_compiler.ir import Action, Isolation
from policyd_compiler.lower.port_masks import PortMasks
from policyd_compiler.ports import PortSet

#: Masks of the ports that are accepted, denied, passed; disjoint.
Effect: TypeAlias = tuple[int, int, int]
NO_EFFECT: Effect = (0, 0, 0)


def then(first: Effect, second: Effect) -> Effect:
    """One effect, and the other on what it left undecided."""
    if first == NO_EFFECT:
        return second
    if second == NO_EFFECT:
        return first
    left = ~(first[0] | first[1] | first[2])
    return first[0] | second[0] & left, first[1] | second[1] & left, first[2] | second[2] & left


def effect_of(action: Action, ports: int) -> Effect:
    """What one rule does."""
    match action:
        case Action.ACCEPT:
            return ports, 0, 0
        case Action.DENY:
            return 0, ports, 0
        case Action.PASS:
            return 0, 0, ports


def ports_of(isolation: Isolation) -> set[PortSet]:
    """Every set of ports that a rule of the isolation, or its layout, names."""
    layout = isolation.layout
    return {
        *(rule.ports for stage in isolation.stages for rule in stage.rules),
        *(group.ports for group in layout.groups),
        *(() if layout.alike is None else (layout.alike,)),
    }


class Decider:
    """The rules of an isolation, numbered through all stages; says which ports are open in the end."""

    def __init__(self, isolation: Isolation, masks: PortMasks | None = None) -> None:
        """`masks` must know the ports of every rule; without them, the isolation has its own."""
        self.isolation = isolation
        self.rules = tuple(rule for stage in isolation.stages for rule in stage.rules)
        self.masks = masks or PortMasks(ports_of(isolation))
        self.stages = isolation.stages
        self.effects = tuple(effect_of(rule.action, self.masks.mask(rule.ports)) for rule in self.rules)
        #: For each rule its stage, and its number there.
        self.places = tuple((s, n) for s, stage in enumerate(self.stages) for n in range(len(stage.rules)))

    def decide(self, matching: Iterable[int]) -> int:
        """The ports that are open to a peer that exactly these rules match, given in ascending order."""
        effects = [NO_EFFECT] * len(self.stages)
        for number in matching:
            stage, _ = self.places[number]
            effects[stage] = then(effects[stage], self.effects[number])
        return self.combine(effects)

    def combine(self, effects: Iterable[Effect]) -> int:
        """The ports that are open after each stage has had its effect."""
        undecided, allowed, claimant = self.masks.everything, 0, 0
        for stage, (accepted, denied, passed) in zip(self.stages, effects, strict=True):
            if stage.claimant != claimant:  # what one is allowed, the next must be, too (NP-166)
                undecided, allowed, claimant = allowed | undecided, 0, stage.claimant
            allowed |= undecided & accepted
            on = undecided & passed
            rest = undecided & ~(accepted | denied | passed)
            undecided = on if stage.otherwise is Action.DENY else on | rest
        return allowed | undecided


class Watch:
    """The decision for a set of rules that changes by one at a time, in steps that grow with log(rules)."""

    def __init__(self, decider: Decider, matching: Iterable[int]) -> None:
        self._decider = decider
        self._trees = tuple(_Tree(len(stage.rules)) for stage in decider.stages)
        for number in matching:
            self.flip(number)

    def flip(self, number: int) -> None:
        """A rule that matched matches no more, or one that did not does now."""
        stage, leaf = self._decider.places[number]
        self._trees[stage].flip(leaf, self._decider.effects[number])

    def decide(self) -> int:
        """The ports that are open now."""
        return self._decider.combine(tree.root for tree in self._trees)


class _Tree:
    """Effects in order, and what they are together; an effect is there or is not."""

    def __init__(self, size: int) -> None:
        self._first_leaf = 1 << max(0, size - 1).bit_length()
        self._nodes = [NO_EFFECT] * (2 * self._first_leaf)

    @property
    def root(self) -> Effect:
        """What all of them do together."""
        return self._nodes[1]

    def flip(self, leaf: int, effect: Effect) -> None:
        """Put the effect at its leaf, or take it away."""
        nodes, at = self._nodes, self._first_leaf + leaf
        nodes[at] = effect if nodes[at] == NO_EFFECT else NO_EFFECT
        while at > 1:
            beside = nodes[at ^ 1]
            here = nodes[at]
            if beside != NO_EFFECT:
                here = then(beside, here) if at & 1 else then(here, beside)
            at >>= 1
            nodes[at] = here
