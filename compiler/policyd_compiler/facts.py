"""What is found out of a part by reading it, kept from one ruleset to the next.

Of two rulesets that follow each other most parts are one and the same, down to the tuples of their rules and
elements, which never change. So what was read of these holds, and only the others are read.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from policyd_compiler.nft.ast import Accept, Chain, ChainName, Goto, Jump, Set, Verdict, VerdictMap
from policyd_compiler.nft.keys import SetName
from policyd_compiler.ruleset import Part, PartId, asked_by, refers_to


@dataclass(frozen=True, slots=True)
class Facts:
    """What a part names; of a chain what its rules ask and lead to, and whether one accepts.

    Of a map its `verdicts`, which are few, however many elements have them.
    """

    named: frozenset[PartId] = frozenset()
    asked: tuple[SetName, ...] = ()
    leads: frozenset[ChainName] = frozenset()
    accepts: bool = False
    verdicts: tuple[Verdict, ...] = ()


_NONE = Facts()
_Value = TypeVar("_Value")


class _Kept(Generic[_Value]):
    """By the identity of tuples: of this ruleset, and of the one before as far as still asked for."""

    def __init__(self) -> None:
        #: With the tuples themselves, so that nothing else can have their identity.
        self._now: dict[int, tuple[object, _Value]] = {}
        self._before: dict[int, tuple[object, _Value]] = {}

    def turn(self) -> None:
        self._before, self._now = self._now, {}

    def get(self, content: object) -> _Value | None:
        at = id(content)
        found = self._now.get(at)
        if found is None:
            found = self._before.get(at)
            if found is None:
                return None
            self._now[at] = found
        return found[1]

    def put(self, content: object, value: _Value) -> _Value:
        self._now[id(content)] = (content, value)
        return value


class Known:
    """The facts of one ruleset, and of the one before it as far as they are still asked for."""

    def __init__(self) -> None:
        self._facts = _Kept[Facts]()
        self._made = _Kept[tuple[Hashable, Any]]()
        self._bare = _Kept[Set | VerdictMap]()

    def turn(self) -> None:
        """The next ruleset: what was asked of neither this nor the one before is forgotten."""
        self._facts.turn()
        self._made.turn()
        self._bare.turn()

    def of(self, part: Part) -> Facts:
        """What is to be known of a part."""
        if isinstance(part, Chain):
            content: object = part.rules
        elif isinstance(part, VerdictMap):
            content = part.elements
        else:
            return _NONE
        return self._facts.get(content) or self._facts.put(content, _read(part))

    def bare(self, part: Set | VerdictMap) -> Set | VerdictMap:
        """A part without what is in it."""
        return self._bare.get(part) or self._bare.put(part, _bare(part))

    def made_of(self, chain: Chain, given: Hashable) -> Any | None:
        """What somebody made of a chain, of that name and with the same given; None if nobody did."""
        found = self._made.get(chain.rules)
        return found[1] if found is not None and found[0] == (chain.name, given) else None

    def keep(self, chain: Chain, given: Hashable, made: object) -> None:
        """Keep what was made of a chain."""
        self._made.put(chain.rules, ((chain.name, given), made))


def _bare(part: Set | VerdictMap) -> Set | VerdictMap:
    if isinstance(part, Set):
        return replace(part, elements=(), notes=())
    return replace(part, elements=(), notes=())


def _read(part: Chain | VerdictMap) -> Facts:
    if isinstance(part, Chain):
        actions = [rule.action for rule in part.rules]
        return Facts(
            refers_to(part),
            tuple(name for rule in part.rules for name in asked_by(rule)),
            frozenset(action.chain for action in actions if isinstance(action, Jump | Goto)),
            any(isinstance(action, Accept) for action in actions),
        )
    verdicts = tuple({id(verdict): verdict for _, verdict in part.elements}.values())
    leads = frozenset(verdict.chain for verdict in verdicts if isinstance(verdict, Jump | Goto))
    return Facts(frozenset(PartId("chain", name) for name in leads), (), leads, verdicts=verdicts)
