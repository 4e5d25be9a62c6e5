"""Which policies a chain, set or map serves: worked out when somebody asks, as each may serve them all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property
from typing import get_args

from policyd_compiler.ir import Origin
from policyd_compiler.nft.ast import ChainName, Table
from policyd_compiler.nft.commands import PartKind
from policyd_compiler.ruleset import PartId, Ruleset

_KINDS: tuple[PartKind, ...] = get_args(PartKind)


class Owners(Mapping[str, frozenset[str]]):
    """For names of a table, the policies (`namespace/name`) that they serve; what serves all pods is absent.

    Holds the chain of each isolation and no more: written down for each object, this would be as much as the
    product of objects and policies. The first question walks the table, each question a name's referrers.
    """

    def __init__(self, table: Table, served: Iterable[tuple[ChainName, tuple[Origin, ...]]]) -> None:
        self._ruleset = Ruleset(table)
        self._given = tuple(served)

    @cached_property
    def _served(self) -> Mapping[PartId, list[tuple[Origin, ...]]]:
        found: dict[PartId, list[tuple[Origin, ...]]] = {}
        for chain, policies in self._given:
            found.setdefault(PartId("chain", chain), []).append(policies)
        return found

    def of(self, table: Table) -> Owners:
        """The same for another table, in which the same chains judge."""
        return Owners(table, self._given)

    def __getitem__(self, name: str) -> frozenset[str]:
        served: dict[int, tuple[Origin, ...]] = {}
        named = {part for part in (PartId(kind, name) for kind in _KINDS) if part in self._ruleset}
        for near in self._ruleset.leading_to(named):
            served.update((id(policies), policies) for policies in self._served.get(near, ()))
        if not served:
            raise KeyError(name)
        return frozenset(origin.policy for policies in served.values() for origin in policies)

    def __iter__(self) -> Iterator[str]:
        return (part.name for part in self._ruleset if part.name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)
