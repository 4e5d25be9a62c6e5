"""The chains, sets and maps of a ruleset by name, and what leads to them: put together as a table."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import replace
from operator import attrgetter, itemgetter
from typing import TypeAlias

from policyd.graph.tables import changed_part
from policyd_compiler.delta import Changes
from policyd_compiler.errors import CompilerBug
from policyd_compiler.nft.ast import Chain, ChainName, Goto, Set, Table, Verdict, VerdictMap
from policyd_compiler.nft.keys import SetName
from policyd_compiler.ruleset import refers_to

Part: TypeAlias = Set | VerdictMap
_BY_NAME = attrgetter("name")


class Ledger:
    """What there is beside base chains: `parts` and `chains`, those of isolations and all that these lead to.

    A chain is named by its rules, and so are maps, but for those of peers: of these is counted what they lead
    to, as that changes with their elements.
    """

    def __init__(self, table: Table, peers: Iterable[SetName]) -> None:
        self.parts: dict[SetName, Part] = {part.name: part for part in table.parts}
        self.chains: dict[ChainName, Chain] = {chain.name: chain for chain in table.chains}
        self._peers = set(peers)
        self._leads: dict[str, tuple[str, ...]] = {}  # of chains and maps named by content
        self._counts: dict[SetName, Counter[str]] = {}  # of maps of peers
        self._reached: set[ChainName] = set()  # what it holds is what these lead to; empty: or more

    def change(self, changes: Changes) -> bool:
        """Take changes of elements, which fit. False where the last goes that leads to a chain."""
        gone: set[str] = set()
        for name, of_part in changes.items():
            part = self.parts[name]
            counts = self._counts_of(part) if isinstance(part, VerdictMap) else Counter[str]()
            self.parts[name] = changed_part(part, of_part)
            for before, after in of_part.values():
                if isinstance(after, Goto):
                    counts[after.chain] += 1
                if isinstance(before, Goto):
                    counts[before.chain] -= 1
                    if not counts[before.chain]:
                        gone.add(before.chain)
        complete = all(map(self._is_led_to, gone))
        if not complete:
            self._reached = set()
        return complete

    def _is_led_to(self, chain: str) -> bool:
        """Whether anything leads to a chain."""
        return any(chain in self._leads_to(name) for name in (*self.parts, *self.chains))

    def add(self, parts: Iterable[Part], chains: Iterable[Chain], peers: Iterable[SetName]) -> None:
        """What belongs to an isolation; what is there already stays. Raises CompilerBug if it differs."""
        self._peers.update(peers)
        self._reached = set()
        for part in parts:
            known = self.parts.get(part.name)
            if known is None:
                self.parts[part.name] = part
            elif known != part:
                raise CompilerBug(f"two isolations differ about {part.name}")
        for chain in chains:
            known_chain = self.chains.setdefault(chain.name, chain)
            if known_chain.rules != chain.rules:
                raise CompilerBug(f"two isolations differ about {chain.name}")

    def drop(self, names: Iterable[SetName]) -> None:
        """Sets and maps of peers of which nobody knows any more what they hold."""
        self._reached = set()
        for name in names:
            self.parts.pop(name, None)
            self._counts.pop(name, None)

    def reached(self, roots: Iterable[ChainName]) -> tuple[list[Part], list[Chain]]:
        """All that these chains lead to, with them; what is not reached is forgotten."""
        asked = set(roots)
        if not asked or asked != self._reached:
            self._keep(asked)
        return list(self.parts.values()), list(self.chains.values())

    def _keep(self, roots: set[ChainName]) -> None:
        """Forget all but what these chains lead to."""
        seen, ahead = set[str](roots), [*roots]
        while ahead:
            for name in self._leads_to(ahead.pop()):
                if name not in seen:
                    seen.add(name)
                    ahead.append(ChainName(name))
        self.parts = {name: part for name, part in self.parts.items() if name in seen}
        self.chains = {name: chain for name, chain in self.chains.items() if name in seen}
        self._counts = {name: counts for name, counts in self._counts.items() if name in seen}
        self._leads = {name: leads for name, leads in self._leads.items() if name in seen}
        self._peers &= self.parts.keys()
        self._reached = roots

    def _leads_to(self, name: str) -> Iterable[str]:
        part = self.parts.get(SetName(name))
        if part is not None and name in self._peers:
            counts = self._counts_of(part).items() if isinstance(part, VerdictMap) else ()
            return [chain for chain, uses in counts if uses]
        known = self._leads.get(name)
        if known is None:
            whole = self.chains[ChainName(name)] if part is None else part
            known = self._leads[name] = tuple(named for _, named in refers_to(whole))
        return known

    def _counts_of(self, part: VerdictMap) -> Counter[str]:
        known = self._counts.get(part.name)
        if known is None:
            known = self._counts[part.name] = Counter()
            verdicts: dict[int, Verdict] = {id(verdict): verdict for _, verdict in part.elements}
            for identity, uses in Counter(map(id, map(itemgetter(1), part.elements))).items():
                verdict = verdicts[identity]
                if isinstance(verdict, Goto):
                    known[verdict.chain] += uses
        return known


def together(base: Table, parts: Iterable[Part], chains: Iterable[Chain]) -> Table:
    """A table with these parts and chains beside its own; what both have is one and the same."""
    all_parts: dict[SetName, Part] = {part.name: part for part in (*base.parts, *parts)}
    all_chains: dict[ChainName, Chain] = {chain.name: chain for chain in (*base.chains, *chains)}
    ordered = sorted(all_parts.values(), key=_BY_NAME)
    return replace(
        base,
        sets=tuple(part for part in ordered if isinstance(part, Set)),
        maps=tuple(part for part in ordered if isinstance(part, VerdictMap)),
        chains=tuple(sorted(all_chains.values(), key=_BY_NAME)),
    )
