"""Whether policies of a namespace may have come over their budget while pods came and went."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from policyd.pipeline import Build
from policyd_compiler.budget import cost_of_chains, cost_of_steps, cost_without_peers
from policyd_compiler.delta import Changes
from policyd_compiler.ir import Isolation
from policyd_compiler.nft.keys import SetName
from policyd_compiler.one_host import CannotTell, OneHost

#: Of a budget so much is left for hosts that have no address of the family in question.
_RESERVE = 0.05


class Ceilings:
    """What the policies of each namespace cost at most: what is in their sets, and what stays as it is.

    Never less than what `policyd_compiler.budget` measures. `isolations` and `hosts` are in the same order.
    """

    def __init__(self, built: Build, isolations: Sequence[Isolation], hosts: Sequence[OneHost]) -> None:
        budget, table = built.sources.budget, built.table
        self._most = int(min(budget.policy, budget.namespace) * (1 - _RESERVE))
        chains = cost_of_chains(ports for ports, side in built.sources.lowered.verdicts if side == "dport")
        self._fixed: dict[str, int] = {}
        self._parts: dict[str, dict[SetName, int]] = {}
        self._members: dict[str, list[int]] = {}
        self._spaces: list[str] = []
        #: Of each isolation, how many rules it has, and how many hosts these name.
        self._rules = [sum(len(stage.rules) for stage in isolation.stages) for isolation in isolations]
        self._named = [_named(isolation) for isolation in isolations]
        for place, (isolation, host) in enumerate(zip(isolations, hosts, strict=True)):
            space, cost = cost_without_peers(isolation)
            self._spaces.append(space)
            self._members.setdefault(space, []).append(place)
            self._fixed[space] = self._fixed.get(space, chains) + cost
            found = self._parts.setdefault(space, {})
            for name, is_shared in host.peers():
                found[name] = 1 if is_shared else found.get(name, 0) + 1
        self._sizes = {part.name: len(part.elements) for part in table.parts}

    def count(self, place: int, by: int) -> None:
        """A rule of an isolation names one host more, or one less."""
        self._named[place] += by

    def change(self, changes: Changes) -> None:
        """Take changes of elements."""
        for name, of_part in changes.items():
            more = sum((after is not None) - (before is not None) for before, after in of_part.values())
            self._sizes[name] += more

    def check(self, places: Iterable[int]) -> None:
        """Raises CannotTell if policies of these isolations, by number, may be over their budget."""
        for space in {self._spaces[place] for place in places}:
            peers = sum(times * self._sizes[name] for name, times in self._parts[space].items())
            steps = sum(cost_of_steps(self._rules[n], self._named[n]) for n in self._members[space])
            if self._fixed[space] + peers + steps > self._most:
                raise CannotTell("policies may be over their budget")


def _named(isolation: Isolation) -> int:
    return sum(rule.peers.hosts.bit_count() for stage in isolation.stages for rule in stage.rules)
