"""Whether one verdict lets everything pass that another does: what narrows, and what widens."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from policyd_compiler.nft.ast import Chain, ChainName, Continue, Drop, Goto, Limit, Reject, Return, Verdict
from policyd_compiler.nft.expressions import Match, Numbers

#: Packets with any of these pass, all others do not. None: who passes is not known.
_Passing: TypeAlias = tuple[Match, ...] | None


@dataclass(frozen=True, slots=True)
class Effect:
    """What a change may do to what a judge lets pass."""

    narrows: bool
    widens: bool


class Allowances:
    """Compares the verdicts of a table's judges; `Return` lets everything pass."""

    def __init__(self, chains: Mapping[ChainName, Chain]) -> None:
        self._chains = chains
        self._known: dict[tuple[Verdict, Verdict], bool] = {}

    def within(self, verdict: Verdict, other: Verdict) -> bool:
        """Whether all that `verdict` lets pass certainly passes by `other`, too."""
        if verdict is other or isinstance(other, Return):
            return True
        known = self._known.get((verdict, other))
        if known is None:
            known = self._known[verdict, other] = self._is_within(verdict, other)
        return known

    def effect(self, changes: Iterable[tuple[Verdict, Verdict]]) -> Effect:
        """What one of these changes, each from a verdict to another, may do."""
        narrows = widens = False
        for before, after in changes:
            narrows = narrows or not self.within(before, after)
            widens = widens or not self.within(after, before)
        return Effect(narrows, widens)

    def between(self, verdict: Verdict, before: Verdict, after: Verdict) -> bool:
        """Whether a verdict lets every packet pass or not as one of the two does."""
        if verdict in (before, after):
            return True
        return any(
            self.within(few, verdict) and self.within(verdict, many)
            for few, many in ((before, after), (after, before))
        )

    def _is_within(self, verdict: Verdict, other: Verdict) -> bool:
        if verdict == other:
            return True
        few, many = self._passing(verdict), self._passing(other)
        if few is None or (few and many is None):
            return False
        return all(any(_covers(wide, narrow) for wide in many or ()) for narrow in few)

    def _passing(self, verdict: Verdict) -> _Passing:
        match verdict:
            case Drop() | Reject():
                return ()
            case Goto(name) if name in self._chains:
                return self._of_chain(self._chains[name])
            case _:
                return None

    def _of_chain(self, chain: Chain) -> _Passing:
        """Of a chain that lets some pass, rule by rule, and denies the rest."""
        passing: list[Match] = []
        for rule in chain.rules:
            limited = any(isinstance(statement, Limit) for statement in rule.statements)
            match rule.action, rule.matches:
                case Continue(), _:
                    continue
                case Return(), (match,) if not limited:
                    passing.append(match)
                case verdict, () if not limited and not isinstance(verdict, Return):
                    return tuple(passing) if self._denies(verdict) else None
                case _:
                    return None
        return None

    def _denies(self, action: object) -> bool:
        match action:
            case Drop() | Reject():
                return True
            case Goto(name) if name in self._chains:
                return self._of_chain(self._chains[name]) == ()
            case _:
                return False


def _covers(wide: Match, narrow: Match) -> bool:
    """Whether every packet with one match has the other."""
    match wide, narrow:
        case Match(field, Numbers(many), False), Match(other, Numbers(few), False) if field == other:
            return all(any(low <= first and last <= high for low, high in many) for first, last in few)
        case _:
            return wide == narrow
