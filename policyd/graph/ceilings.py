"""Whether policies of a namespace may have come over their budget while things changed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from policyd.graph.ledger import Part
from policyd.graph.profiles import Profiles
from policyd.graph.units import Unit
from policyd_compiler.budget import Budget, cost_of_chains, cost_of_steps
from policyd_compiler.nft.keys import SetName
from policyd_compiler.one_host import CannotTell
from policyd_compiler.ports import PortSet

#: Of a budget so much is left for hosts that have no address of the family in question.
_RESERVE = 0.05


class Ceilings:
    """What the policies of each namespace cost at most: what is in their sets, and what stays as it is.

    Never less than what `policyd_compiler.budget` measures.
    """

    def __init__(self, budget: Budget) -> None:
        #: No policy, and no namespace, may cost more.
        self.most = int(min(budget.policy, budget.namespace) * (1 - _RESERVE))
        self._chains = 0
        self._members: dict[str, list[Unit]] = {}
        self._left: dict[str, int] = {}  # what a namespace may certainly cost more than when it was measured

    def change(self, units: Iterable[Unit], ports: Iterable[PortSet]) -> None:
        """These are the isolations now, with chains for these sets of ports."""
        self._chains = cost_of_chains(ports)
        self._members, self._left = {}, {}
        for unit in units:
            self._members.setdefault(unit.space, []).append(unit)

    def check(
        self, spaces: Iterable[str], come: int, parts: Mapping[SetName, Part], profiles: Profiles
    ) -> None:
        """Raises CannotTell if policies of these namespaces may be over their budget.

        `come`: so many hosts have come since the last time.
        """
        for space in spaces:
            for unit in self._members.get(space, ()):
                unit.come += come
            left = self._left.get(space, -1) - come * self._growth(space)
            if left < 0:
                left = self.most - self._measure(space, parts, profiles)
            if left < 0:
                raise CannotTell("policies may be over their budget")
            self._left[space] = left

    def _measure(self, space: str, parts: Mapping[SetName, Part], profiles: Profiles) -> int:
        units = self._members.get(space, ())
        fixed = self._chains + sum(unit.cost + unit.come * unit.growth * unit.has_tiers for unit in units)
        times: dict[SetName, int] = {}
        for name, is_shared in (each for unit in units for each in unit.sets):
            times[name] = 1 if is_shared else times.get(name, 0) + 1
        peers = sum(uses * len(parts[name].elements) for name, uses in times.items())
        return (
            fixed + peers + sum(cost_of_steps(*profiles.named(unit)) for unit in units if not unit.has_tiers)
        )

    def _growth(self, space: str) -> int:
        """What one host more costs at most."""
        return sum(unit.growth for unit in self._members.get(space, ()))
