"""What the hooks of a ruleset do with packets of one family, compared with what they must do."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from policyd.proof.hooks import INGRESS, Expected
from policyd.proof.mapped import Doubt, verdict_of
from policyd.proof.space import FROM_NODE, Box, common
from policyd.proof.walk import Chains, Outcome, Walker, of_table
from policyd_compiler.nft.ast import Table, VerdictMap
from policyd_compiler.nft.packet import HookName

HOOKS: tuple[HookName, ...] = ("forward", "input", "output")


class Unlike(NamedTuple):
    """Packets for which one side asks policies, and the other lets them pass: the ruleset if it `asks`."""

    hook: HookName
    box: Box
    kind: str
    asks: bool
    chain: str
    rule: int


@dataclass(frozen=True)
class AtHooks:
    """The hooks of a table, and what is expected of them."""

    expected: Expected
    table: Table

    @cached_property
    def _near(self) -> Chains:
        return of_table(self.expected.space, self.table, asking=True)

    @cached_property
    def _walked(self) -> Mapping[HookName, list[Outcome]]:
        at = {c.hook.hook: str(c.name) for c in self.table.chains if c.hook is not None}
        found = {}
        for hook in HOOKS:
            box = self._packets(hook)
            found[hook] = Walker(self._near).run(at[hook], box) if hook in at else [_passing(box)]
        return found

    @property
    def asked(self) -> Mapping[str, int]:
        """The maps that say what becomes of addresses, each with the side of its key. Raises Unprovable."""
        return self._near.asked if self._walked else {}

    @property
    def maps(self) -> Mapping[str, VerdictMap]:
        """The maps by name."""
        return self._near.maps

    @property
    def apart(self) -> int:
        """How many kinds of packets the hooks tell apart."""
        return sum(map(len, self._walked.values()))

    def doubts(self, kinds: Mapping[str, str]) -> Iterator[Doubt | Unlike]:
        """Where hooks do something else than they must; `kinds` is what each map says."""
        for hook, outcomes in self._walked.items():
            expected = Walker(self.expected).run(hook, self._packets(hook))
            for one in outcomes:
                asked = frozenset(kinds[name] for name in one.asks)
                for other in expected:
                    box = common(one.box, other.box)
                    if box is not None and other.verdict != "open":
                        yield from _compare(hook, box, one, other, asked)

    def _packets(self, hook: HookName) -> Box:
        """The packets that a hook can meet: with an interface on each side that is not the node."""
        space = self.expected.space
        some = space.by(range(len(space.links) - 1))
        none = space.by((len(space.links) - 1,))
        sender = none if hook == "output" else some
        receiver = none if hook == "input" else some
        return (sender, receiver, *space.full[2:])


def _compare(
    hook: HookName, box: Box, one: Outcome, other: Outcome, asked: frozenset[str]
) -> Iterator[Doubt | Unlike]:
    """What both do with the packets of a box."""
    does, should = verdict_of(one), verdict_of(other)
    if INGRESS in other.asks and box[FROM_NODE] & 2:
        # It is dropped, whatever policies say (NP-145). What maps do with it is compared apart.
        if does == "allow" and INGRESS not in asked:
            yield Doubt(hook, _from_node(box, 2), "allow", one.chain, one.rule, "")
        if not box[FROM_NODE] & 1:
            return
        box = _from_node(box, 1)
    if does != should:
        yield Doubt(hook, box, does, one.chain, one.rule, "")
    elif does == "allow":
        for kind in sorted(asked ^ other.asks):
            yield Unlike(hook, box, kind, kind in asked, one.chain, one.rule)


def _passing(box: Box) -> Outcome:
    """What becomes of packets at a hook without a chain."""
    return Outcome(box, "back", frozenset(), "", -1)


def _from_node(box: Box, bits: int) -> Box:
    """What of a box has an address of the node as its source (2), or has none (1)."""
    return (*box[:FROM_NODE], box[FROM_NODE] & bits, *box[FROM_NODE + 1 :])
