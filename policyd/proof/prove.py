"""A node's ruleset and its policies, compared for all packets. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, TypeAlias

from policyd.cluster.ambient import for_mesh
from policyd.cluster.state import ClusterState
from policyd.proof.cluster import DIRECTIONS, FAMILIES, Cluster, Direction
from policyd.proof.ground import Ground, lay, ports_line
from policyd.proof.hooks import (
    EGRESS,
    EGRESS_ANSWERS,
    INGRESS,
    INGRESS_ANSWERS,
    Expected,
    Scene,
)
from policyd.proof.line import mask_of
from policyd.proof.meaning import Isolation, Meaning
from policyd.proof.result import Difference, Proof
from policyd.proof.space import (
    ASKED,
    ASKING,
    FROM_NODE,
    RECEIVER,
    SENDER,
    WITH_PORTS,
    Box,
    Unprovable,
    common,
)
from policyd.proof.stages import Allowed
from policyd.proof.walk import Chains, Outcome, Walker, is_last, of_table
from policyd.proof.witness import Doubt, Witnesses
from policyd_compiler.nft.ast import Drop, Goto, Jump, Table, VerdictMap
from policyd_compiler.nft.json_parser import FOREIGN_RULE
from policyd_compiler.nft.keys import Family
from policyd_compiler.nft.packet import HookName
from policyd_compiler.options import Options

HOOKS: tuple[HookName, ...] = ("forward", "input", "output")
#: Where the hooks' chains must lie: behind DNAT and before SNAT; behind IPVS, for what goes to the node.
_PRIORITIES: Mapping[HookName, tuple[int, int]] = {
    "forward": (-99, 99),
    "output": (-99, 99),
    "input": (100, 1 << 31),
}
#: Which side is the pod that is asked, which the peer, in which direction, and whether the packet answers.
_KINDS: Mapping[str, tuple[int, int, Direction, bool]] = {
    EGRESS: (SENDER, RECEIVER, "egress", False),
    INGRESS: (RECEIVER, SENDER, "ingress", False),
    INGRESS_ANSWERS: (SENDER, RECEIVER, "ingress", True),
    EGRESS_ANSWERS: (RECEIVER, SENDER, "egress", True),
}
#: So many different packets are shown, each of another rule.
MOST_DIFFERENCES = 10
_NOT_COVERED = (
    "connections that conntrack knows are judged when they begin, and their packets pass",
    "what conntrack, routes and interfaces say of a packet is taken as the kernel has it",
)
_BRIDGE = "table bridge {}: what ports of a bridge send each other"

Says: TypeAlias = Literal["allow", "drop"]


def prove(
    state: ClusterState,
    node: str,
    options: Options,
    table: Table | None,
    closed: Iterable[str] = (),
) -> Proof:
    """Compare the ruleset of a node with what the policies of a cluster mean for it.

    Policies in `closed` are quarantined: they isolate and allow nothing. A table that is None lets all pass.
    """
    cluster = Cluster(for_mesh(state, options), node, frozenset(closed))
    held = table if table is not None else Table(options.table)
    endpoints = {pod for of in FAMILIES for a in cluster.local[of] for pod in cluster.claims[of][a]}
    covered = _NOT_COVERED if held.bridge is None else (*_NOT_COVERED, _BRIDGE.format(held.name))
    base = Proof(node, held.name, len(endpoints), len(held.chains), 0, not_covered=covered)
    try:
        _check_form(held)
        comparison = _Comparison(cluster, options, held)
        differences = comparison.differences()
    except Unprovable as error:
        return Proof(**{**vars(base), "unprovable": (str(error),)})
    unclear = () if differences else tuple(sorted(set(comparison.unclear.values())))
    return Proof(
        **{**vars(base), "differences": differences, "unprovable": unclear, "apart": comparison.apart}
    )


def _check_form(table: Table) -> None:
    """What no walk can follow. Raises Unprovable."""
    for chain in table.chains:
        for number, rule in enumerate(chain.rules, start=1):
            if rule.comment.startswith(FOREIGN_RULE):
                raise Unprovable(f"chain {chain.name}, rule {number}: {rule.comment}")
        if chain.hook is None:
            continue
        hook = chain.hook.hook
        if hook not in _PRIORITIES:
            raise Unprovable(f"a chain at the hook {hook}: {chain.name}")
        low, high = _PRIORITIES[hook]
        if not low <= chain.hook.priority <= high:
            raise Unprovable(f"chain {chain.name} has the priority {chain.hook.priority}")
    at = [chain.hook.hook for chain in table.chains if chain.hook is not None]
    if twice := sorted({hook for hook in at if at.count(hook) > 1}):
        raise Unprovable(f"several chains at the hook {twice[0]}")


@dataclass
class _Comparison:
    """All that one proof works out."""

    cluster: Cluster
    options: Options
    table: Table
    apart: int = 0
    found: dict[tuple[object, ...], Difference] = field(default_factory=dict)
    #: Where no packet was found that shows what boxes say.
    unclear: dict[tuple[object, ...], str] = field(default_factory=dict)

    @cached_property
    def scene(self) -> Scene:
        """What the hooks depend on; which needs to know who is isolated."""
        isolated: dict[tuple[str, Family], tuple[int, ...]] = {
            (direction, family): tuple(
                address
                for address in self.cluster.local[family]
                if any(self.cluster.governing(pod, direction) for pod in self.cluster.claims[family][address])
            )
            for direction in DIRECTIONS
            for family in FAMILIES
        }
        return Scene(self.cluster, self.options, isolated)

    def differences(self) -> tuple[Difference, ...]:
        """Packets of which both sides say different things, of each rule one. Raises Unprovable."""
        ports = ports_line(self.cluster, self.scene, self.table)
        ofs = []
        for family in FAMILIES:
            ground = lay(self.cluster, self.scene, self.table, family, ports)
            meaning = Meaning(self.cluster, family, ground.policies.addresses, ground.policies.asked)
            ofs.append(_OfFamily(self, ground, meaning))
        self.scene.restricts = any(each.restricts() for each in ofs)
        self.scene.plainly_open = not self.scene.restricts and all(each.is_plainly_open() for each in ofs)
        for each in ofs:
            each.compare()
        return tuple(self.found.values())

    def note(self, witnesses: Witnesses, doubt: Doubt) -> None:
        """Look for a packet that shows a difference, unless one of the same place is known."""
        key = (doubt.chain, doubt.rule, doubt.ruleset, doubt.kind)
        if key not in self.found and key not in self.unclear and len(self.found) < MOST_DIFFERENCES:
            found = witnesses.of(doubt)
            if isinstance(found, Difference):
                self.found[key] = found
            elif found is not None:
                self.unclear[key] = found


@dataclass
class _OfFamily:
    """The comparison of one family."""

    whole: _Comparison
    ground: Ground
    meaning: Meaning
    _summaries: dict[str, list[Outcome]] = field(default_factory=dict)

    @cached_property
    def _deep(self) -> Chains:
        return of_table(self.ground.policies, self.whole.table)

    @cached_property
    def _maps(self) -> Mapping[str, VerdictMap]:
        return {str(part.name): part for part in self.whole.table.maps}

    @cached_property
    def _expected(self) -> Expected:
        return Expected(self.ground.hooks, self.whole.scene)

    @cached_property
    def _witnesses(self) -> Witnesses:
        return Witnesses(self.whole.table, self.ground, self._expected, self.meaning)

    def _isolations(self, direction: Direction) -> Iterator[tuple[int, Isolation]]:
        """The isolated addresses, each with what governs it."""
        for address in self.whole.scene.isolated[direction, self.ground.hooks.family]:
            isolation = self.meaning.isolation(direction, address)
            if isolation is not None:
                yield address, isolation

    def _is_open(self, isolation: Isolation) -> bool:
        """Whether it closes nothing to anybody."""
        everything = self.ground.policies.asked.full
        peers = 0
        for some, ports in isolation.allowed:
            peers |= some if ports == everything else 0
        return peers == self.ground.policies.addresses.full

    def is_plainly_open(self) -> bool:
        """Whether each pod under a policy for ingress has a rule that accepts all of everybody."""
        line, asked = self.ground.policies.addresses.full, self.ground.policies.asked.full
        return all(
            any(
                rule.action == "accept" and (rule.peers, rule.ports) == (line, asked)
                for stage in stages
                for rule in stage.rules
            )
            for _, isolation in self._isolations("ingress")
            for stages in isolation.claimants
        )

    def restricts(self) -> bool:
        """Whether some pod is closed to somebody for ingress."""
        return any(not self._is_open(isolation) for _, isolation in self._isolations("ingress"))

    # --- hooks -----------------------------------------------------------------------------------------

    def compare(self) -> None:
        """Compare every hook, and what maps say of each pod."""
        near = of_table(self.ground.hooks, self.whole.table, asking=True)
        at = {c.hook.hook: str(c.name) for c in self.whole.table.chains if c.hook is not None}
        walked = {}
        for hook in HOOKS:
            box = self._packets(hook)
            mine = Walker(near).run(at[hook], box) if hook in at else [_passing(box)]
            walked[hook] = mine, Walker(self._expected).run(hook, box)
        kinds = {name: self._kind_of(name, side) for name, side in near.asked.items()}
        for hook, (mine, expected) in walked.items():
            self.whole.apart += len(mine)
            for one in mine:
                for other in expected:
                    self._compare_boxes(hook, one, other, kinds)

    def _packets(self, hook: HookName) -> Box:
        """The packets that a hook can meet: with an interface on each side that is not the node."""
        space = self.ground.hooks
        some = space.by(range(len(space.links) - 1))
        none = space.by((len(space.links) - 1,))
        sender = none if hook == "output" else some
        receiver = none if hook == "input" else some
        return (sender, receiver, *space.full[2:])

    def _compare_boxes(self, hook: HookName, mine: Outcome, other: Outcome, kinds: Mapping[str, str]) -> None:
        box = common(mine.box, other.box)
        if box is None or other.verdict == "open":
            return
        does, should = _verdict(mine), _verdict(other)
        if does != should:
            doubt = Doubt(hook, box, does, mine.chain, mine.rule, "")
            self.whole.note(self._witnesses, doubt)
        elif does == "allow":
            asked = {kinds[name] for name in mine.asks}
            for kind in sorted(asked ^ other.asks):
                self._compare_asks(hook, box, mine, kind, asked=kind in asked)

    def _compare_asks(self, hook: HookName, box: Box, mine: Outcome, kind: str, *, asked: bool) -> None:
        """One side asks policies, the other lets pass: the same where policies close nothing."""
        side, _, direction, _ = _KINDS[kind]
        space = self.ground.hooks
        closed = [a for a, isolation in self._isolations(direction) if not self._is_open(isolation)]
        left = box[side] & space.single(closed)
        if left:
            narrowed = (*box[:side], left, *box[side + 1 :])
            says: Says = "drop" if asked else "allow"
            self.whole.note(self._witnesses, Doubt(hook, narrowed, says, mine.chain, mine.rule, kind))

    # --- what maps say ---------------------------------------------------------------------------------

    def _kind_of(self, name: str, side: int) -> str:
        """What a map says of its keys: the kind of which all is as it should be, or else the likeliest."""
        answering = "answers" in name
        kinds = sorted(
            (kind for kind, (own, *_) in _KINDS.items() if own == side),
            key=lambda kind: _KINDS[kind][3] != answering,
        )
        doubts = {kind: list(self._doubts(self._maps[name], kind)) for kind in kinds[:1]}
        if doubts[kinds[0]]:
            doubts[kinds[1]] = list(self._doubts(self._maps[name], kinds[1]))
        kind = min(doubts, key=lambda kind: bool(doubts[kind]))
        for doubt in doubts[kind]:
            self.whole.note(self._witnesses, doubt)
        return kind

    def _doubts(self, part: VerdictMap, kind: str) -> Iterator[Doubt]:
        """Where a map says of a pod what its policies do not."""
        own, _, direction, _ = _KINDS[kind]
        of_chains: dict[str, dict[Isolation | None, list[int]]] = {}
        for key, verdict in part.elements:
            if isinstance(key, int) and isinstance(verdict, Jump | Goto | Drop):
                isolation = self.meaning.isolation(direction, key) if key in self._local else None
                chain = "" if isinstance(verdict, Drop) else str(verdict.chain)
                of_chains.setdefault(chain, {}).setdefault(isolation, []).append(key)
        space, jumps = self.ground.policies, not is_last(part)
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
        return frozenset(self.meaning.cluster.local[self.ground.hooks.family])

    def _summary(self, chain: str) -> list[Outcome]:
        """What a chain does with every packet; without a name: drop it."""
        if not chain:
            return [Outcome(self.ground.policies.full, "drop", frozenset(), "", -1)]
        found = self._summaries.get(chain)
        if found is None:
            found = self._summaries[chain] = Walker(self._deep).run(chain, self.ground.policies.full)
            self.whole.apart += len(found)
        return found

    def _compare_outcome(
        self, outcome: Outcome, kind: str, keys: int, allowed: Allowed, *, jumps: bool
    ) -> Iterator[Doubt]:
        """What a chain does with some packets of the pods `keys`, and should not."""
        peer, answers = _KINDS[kind][1], _KINDS[kind][3]
        box, does, everybody = outcome.box, _verdict(outcome), self.meaning.pods
        if jumps and outcome.verdict == "accept":  # whoever else is to be asked is not
            yield self._doubt(outcome, kind, keys, (box[peer], box[ASKED]))
            return
        # Whoever sends with an address of the node: nothing (NP-145); of a pod's address nobody says so.
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
        asked = self.ground.policies.asked
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
        own, peer = _KINDS[kind][:2]
        box = list(outcome.box)
        box[own] &= keys
        box[peer], box[ASKED] = which
        if kind == INGRESS:
            box[FROM_NODE] = 2 if forged or not box[FROM_NODE] & 1 else 1
        return Doubt("", tuple(box), _verdict(outcome), outcome.chain, outcome.rule, kind)


def _passing(box: Box) -> Outcome:
    """What becomes of packets at a hook without a chain."""
    return Outcome(box, "back", frozenset(), "", -1)


def _verdict(outcome: Outcome) -> Says:
    return "drop" if outcome.verdict == "drop" else "allow"
