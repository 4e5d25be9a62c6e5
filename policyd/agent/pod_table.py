"""The table in one pod's own network namespace: brought into force there, verified, and repaired."""

from __future__ import annotations

from collections.abc import Callable

from policyd.applier.apply import Applier
from policyd.applier.backend import Nft
from policyd.errors import EnvironmentRefused
from policyd.netlink.inside import Inside, Look, NoNamespace, look
from policyd.node.attach import KnownPod
from policyd_compiler.for_pod import Address, Cutter
from policyd_compiler.nft.ast import Table

#: The way into the nftables of the network namespace at a path.
NftOf = Callable[[str], Nft]


class PodTable:
    """One pod's table. Its methods are called one after another."""

    def __init__(self, pod: KnownPod, table: str, inside: Inside, nft_of: NftOf) -> None:
        self.pod = pod
        self._inside, self._table, self._nft_of = inside, table, nft_of
        self._applier: Applier | None = None
        self._interface = ""
        self._generation = -1
        self.in_force: Table | None = None
        #: Why what should be in force is not; empty if all is well.
        self.trouble = "its rules have not been brought into force yet"
        self.repairs = 0

    @property
    def addresses(self) -> tuple[Address, ...]:
        """The pod's addresses as the compiler has them."""
        return tuple(Address(4 if family == 4 else 6, number) for family, number in self.pod.addresses)

    @property
    def was_there(self) -> bool:
        """Whether its namespace has been entered."""
        return self._applier is not None

    async def bring(self, cutter: Cutter) -> bool:
        """Bring the cut for this pod into force; whether that changed anything. Raises EnvironmentRefused.

        What is in force is what the kernel was told last, and nobody changed: until then it is not.
        """
        applier = self._applier or await self._enter()
        wanted = cutter.cut(self.addresses, self._interface)
        if self.in_force is not None and self.in_force == wanted:
            return False
        self.in_force = None
        applied = await applier.apply(wanted)
        self.in_force, self.trouble = wanted, ""
        await self._note_generation()
        return bool(applied.steps)

    async def _enter(self) -> Applier:
        """Look whether this is the pod's namespace, and where its packets come and go."""
        if not self.pod.netns:
            raise EnvironmentRefused("libcni's results do not say where its network namespace is (cni_cache)")
        found = await self._look()
        names = {found.interfaces[a] for a in self.pod.addresses if a in found.interfaces}
        if len(names) != 1 or not self.pod.addresses <= found.interfaces.keys():
            where = f"on {', '.join(sorted(names))}" if names else "nowhere"
            raise EnvironmentRefused(f"its addresses are {where} in {self.pod.netns}, not on one interface")
        [self._interface] = names
        self._applier = Applier(self._nft_of(self.pod.netns), self._table)
        return self._applier

    async def _look(self) -> Look:
        try:
            return await self._inside.run(self.pod.netns, look)
        except OSError as error:
            raise EnvironmentRefused(f"{self.pod.netns}: {error.strerror or error}") from error

    async def _note_generation(self) -> None:
        self._generation = (await self._look()).generation

    async def verify(self) -> tuple[str, ...]:
        """What somebody changed there, in sentences; `bring` repairs it then. Raises EnvironmentRefused.

        The kernel's count of transactions says whether there is anything to compare.
        """
        if self._applier is None or (await self._look()).generation == self._generation:
            return ()
        found = await self._applier.verify()
        if found:
            self.in_force, self.repairs = None, self.repairs + 1
        await self._note_generation()
        return found

    @property
    def holds_leftovers(self) -> bool:
        """Whether there is something to sweep."""
        return self._applier is not None and self._applier.holds_leftovers

    async def sweep(self) -> None:
        """Remove what an earlier ruleset left. Raises EnvironmentRefused."""
        if self._applier is not None:
            await self._applier.sweep()
            await self._note_generation()

    async def remove(self) -> None:
        """Remove the table; nothing where the namespace has gone. Raises EnvironmentRefused."""
        self.in_force = None
        if self._applier is not None:
            try:
                await self._look()
            except NoNamespace:
                return
            await self._applier.remove()
