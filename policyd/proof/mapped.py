"""What maps say of the pods of one family, chain by chain, compared with what policies mean for them."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from policyd.proof.cluster import Direction
from policyd.proof.hooks import EGRESS, EGRESS_ANSWERS, INGRESS, INGRESS_ANSWERS
from policyd.proof.line import mask_of
from policyd.proof.meaning import Isolation, Meaning
from policyd.proof.result import Says
from policyd.proof.space import ASKED, ASKING, FROM_NODE, RECEIVER, SENDER, WITH_PORTS, Box, Space
from policyd.proof.stages import Allowed
from policyd.proof.walk import Outcome, Rules, Walker, is_last
from policyd_compiler.nft.ast import Drop, Goto, Jump, VerdictMap
from policyd_compiler.nft.packet import HookName

#: Which side is the pod that is asked, which the peer, in which direction, and whether the packet answers.
KINDS: Mapping[str, tuple[int, int, Direction, bool]] = {
    EGRESS: (SENDER, RECEIVER, "egress", False),
    INGRESS: (RECEIVER, SENDER, "ingress", False),
    INGRESS_ANSWERS: (SENDER, RECEIVER, "ingress", True),
    EGRESS_ANSWERS: (RECEIVER, SENDER, "egress", True),
}


class Doubt(NamedTuple):
    """A box of which the ruleset says something else than the policies.

    `hook` is empty where it is about what a map says of pods, by `kind`; then the box is in the space of the
    policies, and says nothing of interfaces and of conntrack.
    """

    hook: HookName | str
    box: Box
    ruleset: Says
    chain: str
    rule: int
    kind: str


@dataclass
class Mapped:
    """The chains that maps name, in the space of the policies; `apart`: the kinds of packets met so far."""

    meaning: Meaning
    space: Space
    chains: Rules
    apart: int = 0
    _summaries: dict[str, list[Outcome]] = field(default_factory=dict)

    def kind_of(self, part: VerdictMap, side: int) -> tuple[str, tuple[Doubt, ...]]:
        """What a map says of the addresses on a side, and where it says something else.

        The kind of which all is as it should be, or else the likeliest.
        """
        kinds = likely(part, side)
        doubts = [tuple(self.doubts(part, kinds[0]))]
        if doubts[0]:
            doubts.append(tuple(self.doubts(part, kinds[1])))
        return min(zip(kinds, doubts, strict=False), key=lambda found: bool(found[1]))

    def doubts(self, part: VerdictMap, kind: str, among: Container[object] | None = None) -> Iterator[Doubt]:
        """Where a map says of a pod what its policies do not; of all its keys, or of those `among` them."""
        own, _, direction, _ = KINDS[kind]
        of_chains: dict[str, dict[Isolation | None, list[int]]] = {}
        for key, verdict in part.elements:
            if among is not None and key not in among:
                continue
            if isinstance(key, int) and isinstance(verdict, Jump | Goto | Drop):
                isolation = self.meaning.isolation(direction, key) if key in self._local else None
                chain = "" if isinstance(verdict, Drop) else str(verdict.chain)
                of_chains.setdefault(chain, {}).setdefault(isolation, []).append(key)
        space, jumps = self.space, not is_last(part)
        everything = ((space.addresses.full, space.asked.full),)
        for chain, isolations in of_chains.items():
            outcomes = self._summary(chain)
            for isolation, keys in isolations.items():
                allowed = everything if isolation is None else isolation.allowed
                mask = mask_of((space.addresses.bit(key) for key in keys), space.addresses.count)
                for outcome in outcomes:
                    if outcome.box[own] & mask:
                        yield from self._compare_outcome(outcome, kind, mask, allowed, jumps=jumps)

    @cached_property
    def _local(self) -> frozenset[int]:
        return frozenset(self.meaning.cluster.local[self.space.family])

    def _summary(self, chain: str) -> list[Outcome]:
        """What a chain does with every packet; without a name: drop it."""
        if not chain:
            return [Outcome(self.space.full, "drop", frozenset(), "", -1)]
        found = self._summaries.get(chain)
        if found is None:
            found = self._summaries[chain] = Walker(self.chains).run(chain, self.space.full)
            self.apart += len(found)
        return found

    def _compare_outcome(
        self, outcome: Outcome, kind: str, keys: int, allowed: Allowed, *, jumps: bool
    ) -> Iterator[Doubt]:
        """What a chain does with some packets of the pods `keys`, and should not."""
        peer, answers = KINDS[kind][1], KINDS[kind][3]
        box, does, everybody = outcome.box, verdict_of(outcome), self.meaning.pods
        if jumps and outcome.verdict == "accept":  # whoever else is to be asked is not
            yield self._doubt(outcome, kind, keys, (box[peer], box[ASKED]))
            return
        # Whoever sends with an address of the node: nothing (NP-145); no pod does.
        forged = box[peer] & ~everybody if kind == INGRESS and box[FROM_NODE] & 2 else 0
        if forged and does == "allow":
            yield self._doubt(outcome, kind, keys, (forged, box[ASKED]), forged=True)
        if kind == INGRESS and not box[FROM_NODE] & 1:
            return
        rest = box[peer]
        for peers, ports in allowed:
            if shared := rest & peers:
                rest &= ~shared
                if bad := self._bad(box, ports, does, answers=answers):
                    yield self._doubt(outcome, kind, keys, (shared, bad))
        if rest and does == "allow":
            yield self._doubt(outcome, kind, keys, (rest, box[ASKED]))

    def _bad(self, box: Box, ports: int, does: Says, *, answers: bool) -> int:
        """The ports of a box of which it does something else; those that are answered from with `answers`."""
        asked = self.space.asked
        wrong = asked.full & ~ports if does == "allow" else ports
        if not answers:
            return box[ASKED] & wrong
        found = box[ASKED] & asked.others & wrong
        for protocol in WITH_PORTS:
            if box[ASKED] & asked.of(protocol):
                found |= asked.of(protocol, asked.ports_of(wrong, protocol) & box[ASKING])
        return found

    def _doubt(
        self, outcome: Outcome, kind: str, keys: int, which: tuple[int, int], *, forged: bool = False
    ) -> Doubt:
        """A doubt in the space of the policies: `which` peers and ports, and whether the node sends."""
        own, peer = KINDS[kind][:2]
        box = list(outcome.box)
        box[own] &= keys
        box[peer], box[ASKED] = which
        if kind == INGRESS:
            box[FROM_NODE] = 2 if forged or not box[FROM_NODE] & 1 else 1
        return Doubt("", tuple(box), verdict_of(outcome), outcome.chain, outcome.rule, kind)


def likely(part: VerdictMap, side: int) -> list[str]:
    """What a map may say of the addresses on a side, first what its name says."""
    answering = "answers" in part.name
    kinds = (kind for kind, (own, *_) in KINDS.items() if own == side)
    return sorted(kinds, key=lambda kind: KINDS[kind][3] != answering)


def verdict_of(outcome: Outcome) -> Says:
    """What becomes of packets in the end."""
    return "drop" if outcome.verdict == "drop" else "allow"
