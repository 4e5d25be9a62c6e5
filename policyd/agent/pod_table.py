"""The table in one pod's own network namespace: brought into force there, verified, and repaired."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from policyd.agent.connections.inside import Judged, end_denied
from policyd.applier.apply import Applier
from policyd.applier.backend import Nft
from policyd.applier.in_place import InPlace
from policyd.errors import EnvironmentRefused
from policyd.netlink.inside import Inside
from policyd.netlink.mesh import Probes, read_probes
from policyd.node.attach import KnownPod
from policyd_compiler.for_pod import Address, Cutter, Since
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.commands import Change


@dataclass(frozen=True, slots=True)
class Way:
    """How pods' namespaces are reached: `nft_of` gives the nftables of the one at a path.

    `in_place`: whether elements are changed where they are; `atomic`: see `probe.replaces_are_atomic`.
    """

    nft_of: Callable[[str], Nft]
    inside: Inside
    in_place: bool = True
    atomic: bool = False


@dataclass(frozen=True, slots=True)
class _Writer:
    """Writes elements in one namespace."""

    inside: Inside
    netns: str

    def write(self, table: str, inet: Iterable[Change]) -> None:
        self.inside.write(self.netns, table, inet)


class PodTable:
    """One pod's table. Its methods are called one after another."""

    def __init__(self, pod: KnownPod, table: str, way: Way) -> None:
        self.pod = pod
        self._table, self._way = table, way
        self._applier: Applier | None = None
        self._elements: InPlace | None = None
        self._forgotten = 0
        self._interface = ""
        self._probes: Probes = {}
        self._generation = -1
        self.in_force: Table | None = None
        #: Whether connections may be open that the rules deny now.
        self.is_new = False
        #: Why what should be in force is not; empty if all is well.
        self.trouble = "its rules have not been brought into force yet"

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The pod's addresses as the compiler has them."""
        return tuple(Address(4 if family == 4 else 6, number) for family, number in self.pod.addresses)

    @property
    def was_there(self) -> bool:
        """Whether its namespace has been entered."""
        return self._applier is not None

    async def bring(self, cutter: Cutter, since: Since | None) -> bool:
        """Bring the cut for this pod into force; whether that changed anything. Raises EnvironmentRefused.

        `since`: what differs from the cutter of last time, if there was one. What is in force is what the
        kernel was told last, and nobody changed: until then it is not.
        """
        if self.in_force is not None and since and not since.concerns(self.addresses, self.in_force):
            return False
        applier = self._applier or await self._enter()
        wanted = cutter.cut(self.addresses, self._interface, self._probes)
        if self.in_force is not None and self.in_force == wanted:
            return False
        self.in_force = None
        applied = await applier.apply(wanted)
        self._generation = await self._way.inside.generation(self.pod.netns)
        self.in_force, self.trouble, self.is_new = wanted, "", True
        return bool(applied.steps)

    async def _enter(self) -> Applier:
        """Look whether this is the pod's namespace, and where its packets come and go."""
        netns, way = self.pod.netns, self._way
        if not netns:
            raise EnvironmentRefused("libcni's results do not say where its network namespace is (cni_cache)")
        found = await way.inside.interfaces(netns)
        names = {found[address] for address in self.pod.addresses if address in found}
        if len(names) != 1 or not self.pod.addresses <= found.keys():
            where = f"on {', '.join(sorted(names))}" if names else "nowhere"
            raise EnvironmentRefused(f"its addresses are {where} in {netns}, not on one interface")
        [self._interface] = names
        self._probes = await way.inside.run(netns, read_probes)
        if way.in_place:
            writer = _Writer(way.inside, netns)
            self._elements = InPlace(self._table, writer, atomic=way.atomic, alone=False)
        self._applier = Applier(way.nft_of(netns), self._table, elements=self._elements)
        return self._applier

    async def verify(self) -> tuple[str, ...]:
        """What somebody changed there, in sentences; `bring` repairs it then. Raises EnvironmentRefused.

        The kernel's count of transactions says whether there is anything to compare.
        """
        if self._applier is None:
            return ()
        await self._look_for_mesh()
        generation = await self._way.inside.generation(self.pod.netns)
        if generation == self._generation:
            return ()
        found = await self._applier.verify()
        self._generation = generation  # what comes while it is compared is seen the next time
        if found:
            self.in_force = None
        return found

    async def _look_for_mesh(self) -> None:
        """A pod may enter a mesh, or leave it, while it runs: then its cut is another."""
        probes = await self._way.inside.run(self.pod.netns, read_probes)
        if probes != self._probes:
            self._probes, self.in_force = probes, None

    @property
    def waits(self) -> bool:
        """Whether something is to be done once packets are gone that walk now."""
        walking = self._elements is not None and self._elements.last != self._forgotten
        return walking or (self._applier is not None and self._applier.holds_leftovers)

    @property
    def mark(self) -> int:
        """The last change in place: for `settle`."""
        return 0 if self._elements is None else self._elements.last

    async def settle(self, mark: int) -> None:
        """Packets are gone that walked at `mark`: remove what an earlier ruleset left.

        Raises EnvironmentRefused.
        """
        if self._elements is not None:
            self._elements.forget_up_to(mark)
            self._forgotten = mark
        if self._applier is not None and self._applier.holds_leftovers and mark == self.mark:
            await self._applier.sweep(waited=True)
            self._generation = await self._way.inside.generation(self.pod.netns)

    async def end_denied(self) -> int:
        """End the live connections that the rules in force deny: how many. Raises EnvironmentRefused."""
        table, self.is_new = self.in_force, False
        if table is None:
            return 0
        pod = Judged(table, self._interface, self.addresses)
        return await self._way.inside.run(self.pod.netns, lambda: end_denied(pod))
