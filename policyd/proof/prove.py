"""A node's ruleset and its policies, compared for all packets. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property

from policyd.cluster.ambient import for_mesh
from policyd.cluster.state import ClusterState
from policyd.proof.at_hooks import AtHooks, Unlike
from policyd.proof.cluster import FAMILIES, Cluster, Direction
from policyd.proof.ground import Ground, lay, ports_line
from policyd.proof.hooks import Expected, Scene
from policyd.proof.mapped import KINDS, Doubt, Mapped, likely
from policyd.proof.meaning import Isolation, Meaning
from policyd.proof.peers import Anybody
from policyd.proof.ports import Ports
from policyd.proof.prove_bridge import OfBridge, check_rules
from policyd.proof.prove_bridge import check_form as check_bridge
from policyd.proof.result import Difference, Proof, Says
from policyd.proof.space import Unprovable
from policyd.proof.walk import of_table
from policyd.proof.witness import Witnesses
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.packet import HookName
from policyd_compiler.options import Options

#: Where the hooks' chains must lie: behind DNAT and before SNAT; behind IPVS, for what goes to the node.
_PRIORITIES: Mapping[HookName, tuple[int, int]] = {
    "forward": (-99, 99),
    "output": (-99, 99),
    "input": (100, 1 << 31),
}
#: So many different packets are shown, each of another rule.
MOST_DIFFERENCES = 10
_NOT_COVERED = (
    "connections that conntrack knows are judged when they begin, and their packets pass",
    "what conntrack, routes and interfaces say of a packet is taken as the kernel has it",
)


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
    chains = (*held.chains, *(() if held.bridge is None else held.bridge.chains))
    base = Proof(
        node,
        held.name,
        len(endpoints),
        len(chains),
        0,
        not_covered=_NOT_COVERED,
        bridged=held.bridge is not None,
    )
    try:
        check_form(held)
        comparison = _Comparison(cluster, options, held)
        differences = comparison.differences()
    except Unprovable as error:
        return Proof(**{**vars(base), "unprovable": (str(error),)})
    unclear = () if differences else tuple(sorted(set(comparison.unclear.values())))
    found = {"differences": differences, "unprovable": unclear, "apart": comparison.apart}
    return Proof(**{**vars(base), **found, "plain": comparison.plain})


def check_form(table: Table) -> None:
    """What no walk can follow. Raises Unprovable."""
    check_rules(table)
    if table.bridge is not None:
        check_bridge(table.bridge)
    for chain in table.chains:
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
    #: See `Proof`.
    plain: bool = True
    found: dict[tuple[object, ...], Difference] = field(default_factory=dict)
    #: Where no packet was found that shows what boxes say.
    unclear: dict[tuple[object, ...], str] = field(default_factory=dict)

    @cached_property
    def scene(self) -> Scene:
        """What the hooks depend on."""
        return Scene(self.cluster, self.options)

    def differences(self) -> tuple[Difference, ...]:
        """Packets of which both sides say different things, of each rule one. Raises Unprovable."""
        ports = ports_line(self.cluster, self.scene.tunnel_ports, self.table)
        ofs = []
        for family in FAMILIES:
            ground = lay(self.cluster, self.scene, self.table, family, ports)
            meaning = Meaning(self.cluster, family, ground.policies.addresses, ground.policies.asked)
            ofs.append(_OfFamily(self, ground, meaning))
        self.scene.restricts = any(each.restricts() for each in ofs)
        self.scene.plainly_open = not self.scene.restricts and all(each.is_plainly_open() for each in ofs)
        for each in ofs:
            each.compare()
        for each in ofs:
            self._compare_bridge(each)
        return tuple(self.found.values())[:MOST_DIFFERENCES]

    def _compare_bridge(self, of: _OfFamily) -> None:
        """Compare the table in family bridge, too; without one all frames pass."""
        table = self.table.bridge or Table(self.table.name, family="bridge")
        ports = Ports(self.cluster, self.options)
        if self.table.bridge is None and not ports.guarded:
            return
        frames = OfBridge(ports, table, of.meaning)
        frames.compare()
        self.apart += frames.apart
        self.found.update(frames.found)
        self.unclear.update(frames.unclear)

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

    @cached_property
    def _mapped(self) -> Mapped:
        policies = self.ground.policies
        return Mapped(self.meaning, policies, of_table(policies, self.whole.table))

    @cached_property
    def _expected(self) -> Expected:
        return Expected(self.ground.hooks, self.whole.scene)

    @cached_property
    def _witnesses(self) -> Witnesses:
        return Witnesses(self.whole.table, self.ground, self._expected, self.meaning)

    def _isolations(
        self, direction: Direction, meaning: Meaning | None = None
    ) -> Iterator[tuple[int, Isolation]]:
        """The isolated addresses, each with what governs it."""
        meaning = meaning or self.meaning
        for address in self.whole.cluster.isolated[direction, self.ground.hooks.family]:
            isolation = meaning.isolation(direction, address)
            if isolation is not None:
                yield address, isolation

    def _is_open(self, isolation: Isolation) -> bool:
        """Whether it closes nothing to anybody."""
        space = self.ground.policies
        return isolation.is_open(space.addresses.full, space.asked.full)

    def is_plainly_open(self) -> bool:
        """Whether to each pod under a policy for ingress rules allow everything that mean everybody.

        Blocks mean addresses, and not everybody, though they may hold all of them.
        """
        policies, family = self.ground.policies, self.ground.hooks.family
        anybody = Meaning(self.meaning.cluster, family, policies.addresses, policies.asked, Anybody)
        isolations = (isolation for _, isolation in self._isolations("ingress", anybody))
        return all(each.only_accepts and self._is_open(each) for each in isolations)

    def restricts(self) -> bool:
        """Whether some pod is closed to somebody for ingress."""
        return any(not self._is_open(isolation) for _, isolation in self._isolations("ingress"))

    # --- both sides ------------------------------------------------------------------------------------

    def compare(self) -> None:
        """Compare every hook, and what maps say of each pod."""
        hooks = AtHooks(self._expected, self.whole.table)
        kinds = {}
        for name, side in hooks.asked.items():
            kinds[name], doubts = self._mapped.kind_of(hooks.maps[name], side)
            for doubt in doubts:
                self.whole.note(self._witnesses, doubt)
            self.whole.plain &= kinds[name] == likely(hooks.maps[name], side)[0]
        self.whole.apart += self._mapped.apart + hooks.apart
        for found in hooks.doubts(kinds):
            if isinstance(found, Doubt):
                self.whole.note(self._witnesses, found)
            else:
                self.whole.plain = False
                self._compare_asks(found)

    def _compare_asks(self, found: Unlike) -> None:
        """One side asks policies, the other lets pass: the same where policies close nothing."""
        side, _, direction, _ = KINDS[found.kind]
        closed = [a for a, isolation in self._isolations(direction) if not self._is_open(isolation)]
        left = found.box[side] & self.ground.hooks.single(closed)
        if left:
            narrowed = (*found.box[:side], left, *found.box[side + 1 :])
            says: Says = "drop" if found.asks else "allow"
            doubt = Doubt(found.hook, narrowed, says, found.chain, found.rule, found.kind)
            self.whole.note(self._witnesses, doubt)
