"""What is found out of a part by reading it, kept from one ruleset to the next.

Of two rulesets that follow each other most parts are one and the same, down to the tuples of their rules and
elements, which never change. So what was read of these holds, and only the others are read.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Any

from policyd_compiler.nft.ast import Accept, Chain, ChainName, Goto, Jump, Verdict, VerdictMap
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


class Known:
    """The facts of one ruleset, and of the one before it as far as they are still asked for."""

    def __init__(self) -> None:
        #: By identity of rules or elements, with these, so that nothing else can have it.
        self._found: dict[int, tuple[object, Facts]] = {}
        self._before: dict[int, tuple[object, Facts]] = {}
        self._made: dict[int, tuple[object, Hashable, Any]] = {}
        self._made_before: dict[int, tuple[object, Hashable, Any]] = {}

    def turn(self) -> None:
        """The next ruleset: what was asked of neither this nor the one before is forgotten."""
        self._before, self._found = self._found, {}
        self._made_before, self._made = self._made, {}

    def of(self, part: Part) -> Facts:
        """What is to be known of a part."""
        if isinstance(part, Chain):
            content: object = part.rules
        elif isinstance(part, VerdictMap):
            content = part.elements
        else:
            return _NONE
        found = self._found.get(id(content))
        if found is None:
            found = self._before.get(id(content)) or (content, _read(part))
            self._found[id(content)] = found
        return found[1]

    def made_of(self, chain: Chain, given: Hashable) -> Any | None:
        """What somebody made of a chain, of that name and with the same given; None if nobody did."""
        at = id(chain.rules)
        found = self._made.get(at) or self._made_before.get(at)
        if found is None or found[1] != (chain.name, given):
            return None
        self._made[at] = found
        return found[2]

    def keep(self, chain: Chain, given: Hashable, made: object) -> None:
        """Keep what was made of a chain."""
        self._made[id(chain.rules)] = (chain.rules, (chain.name, given), made)


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
