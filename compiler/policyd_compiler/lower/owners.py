"""Which policies a chain, set or map serves: worked out when somebody asks, as each may serve them all."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from functools import cached_property

from policyd_compiler.ir import Origin
from policyd_compiler.nft.ast import (
    Chain,
    ChainName,
    Set,
    Table,
    VerdictMap,
)
from policyd_compiler.references import closure, references


class Owners(Mapping[str, frozenset[str]]):
    """For names of a table, the policies (`namespace/name`) that they serve; what serves all pods is absent.

    Holds the chain of each isolation and no more: written down for each object, this would be as much as the
    product of objects and policies. The first question walks the table, each question a name's referrers.
    """

    def __init__(self, table: Table, served: Iterable[tuple[ChainName, tuple[Origin, ...]]]) -> None:
        self._table = table
        self._served: dict[ChainName, list[tuple[Origin, ...]]] = {}
        for chain, policies in served:
            self._served.setdefault(chain, []).append(policies)

    def of(self, table: Table) -> Owners:
        """The same for another table, in which the same chains judge."""
        served = ((chain, policies) for chain, many in self._served.items() for policies in many)
        return Owners(table, served)

    def __getitem__(self, name: str) -> frozenset[str]:
        served: dict[int, tuple[Origin, ...]] = {}
        for near in closure({name}, self._referrers):
            served.update((id(policies), policies) for policies in self._served.get(ChainName(near), ()))
        if not served:
            raise KeyError(name)
        return frozenset(origin.policy for policies in served.values() for origin in policies)

    def __iter__(self) -> Iterator[str]:
        parts: tuple[Set | VerdictMap | Chain, ...] = (*self._table.parts, *self._table.chains)
        return (part.name for part in parts if part.name in self)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    @cached_property
    def _referrers(self) -> Mapping[str, set[str]]:
        """For each name, the chains and maps that refer to it."""
        return references(self._table)
