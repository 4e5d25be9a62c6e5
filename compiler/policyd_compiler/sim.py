"""What our ruleset does to a packet, without a kernel: nft's semantics over our syntax tree.

A `Packet` is the first packet of a flow as one hook meets it. `Simulator` indexes a table once and answers
many packets; the trace names every chain and rule that took part, for a person to read.
"""

from __future__ import annotations

from bisect import bisect_right
from dataclasses import dataclass
from typing import Literal, TypeAlias, assert_never

from policyd_compiler.errors import CompilerBug
from policyd_compiler.nft.ast import (
    Accept,
    ChainName,
    Continue,
    Drop,
    Goto,
    Jump,
    Limit,
    Reject,
    Return,
    Rule,
    Set,
    Table,
    Verdict,
    VerdictMap,
    Vmap,
)
from policyd_compiler.nft.keys import Interval, Key, KeyType, SetName
from policyd_compiler.nft.matches import holds, is_named
from policyd_compiler.nft.packet import Packet
from policyd_compiler.nft.printer import print_rule, print_verdict

__all__ = ["Outcome", "Packet", "Simulator", "Trace", "evaluate"]

#: The kernel refuses deeper jumps when it loads a ruleset.
MAX_DEPTH = 16

Outcome: TypeAlias = Literal["accept", "drop"]


@dataclass(frozen=True, slots=True)
class Trace:
    """The verdict of a hook, and the way there."""

    verdict: Outcome
    steps: tuple[str, ...]


def evaluate(table: Table, packet: Packet) -> Trace:
    """The verdict on one packet. For many packets keep a Simulator."""
    return Simulator(table).evaluate(packet)


class Simulator:
    """A table, indexed for look-ups."""

    def __init__(self, table: Table) -> None:
        self._chains = {chain.name: chain for chain in table.chains}
        self._hooks = sorted(
            (chain for chain in table.chains if chain.hook is not None),
            key=lambda chain: chain.hook.priority if chain.hook else 0,
        )
        self._sets = {s.name: _index_set(s) for s in table.sets}
        self._maps = {m.name: _index_map(m) for m in table.maps}

    def evaluate(self, packet: Packet) -> Trace:
        """Run the base chains of the packet's hook; without one the packet passes."""
        steps: list[str] = []
        for chain in self._hooks:
            if chain.hook is None or chain.hook.hook != packet.hook:
                continue
            if self._run(chain.name, packet, steps, 0) == "drop":
                return Trace("drop", tuple(steps))
        return Trace("accept", tuple(steps))

    def _run(self, name: ChainName, packet: Packet, steps: list[str], depth: int) -> Outcome | None:
        """Walk a chain; None: its end (or `return`) was reached, and the caller goes on."""
        while True:
            if depth > MAX_DEPTH:
                raise CompilerBug(f"chain {name} lies more than {MAX_DEPTH} jumps deep")
            chain = self._chains.get(name)
            if chain is None:
                raise CompilerBug(f"no chain {name}")
            outcome, onward = self._walk(chain.rules, name, packet, steps, depth)
            if onward is None:
                return outcome
            name, depth = onward, depth + 1

    def _walk(
        self, rules: tuple[Rule, ...], name: ChainName, packet: Packet, steps: list[str], depth: int
    ) -> tuple[Outcome | None, ChainName | None]:
        """The outcome of a chain's rules, or the chain that a `goto` leads to."""
        for rule in rules:
            verdict = self._verdict(rule, packet)
            if verdict is None:
                continue
            steps.append(f"{name}: {print_rule(rule)}" + _found(rule, verdict))
            match verdict:
                case Accept():
                    return "accept", None
                case Drop() | Reject():
                    return "drop", None
                case Continue():
                    continue
                case Return():
                    return None, None
                case Goto(chain):
                    return None, chain
                case Jump(chain):
                    outcome = self._run(chain, packet, steps, depth + 1)
                    if outcome is not None:
                        return outcome, None
                case _:
                    assert_never(verdict)
        return None, None

    def _verdict(self, rule: Rule, packet: Packet) -> Verdict | None:
        """The rule's verdict; None where it does not match, or a map has no element for the packet."""
        if not all(holds(match, packet, self._has) for match in rule.matches) or _is_over_limit(rule):
            return None
        if not isinstance(rule.action, Vmap):
            return rule.action
        key = rule.action.field.row.read(packet)
        return None if key is None else self._maps[rule.action.map].find(key)

    def _has(self, name: SetName, key: Key) -> bool:
        return self._sets[name].has(key)


def _is_over_limit(rule: Rule) -> bool:
    """Whether a rule is for packets beyond a rate: the one packet of a simulation is within all."""
    return any(isinstance(statement, Limit) and statement.over for statement in rule.statements)


def _found(rule: Rule, verdict: Verdict) -> str:
    return f" ({print_verdict(verdict)})" if isinstance(rule.action, Vmap) else ""


class _Elements:
    """The elements of a set."""

    def __init__(self, keys: frozenset[Key], ranges: tuple[Interval, ...], names: tuple[str, ...]) -> None:
        self._keys = keys
        self._lows = [low for low, _ in ranges]
        self._highs = [high for _, high in ranges]
        self._names = names

    def has(self, key: Key) -> bool:
        if key in self._keys:
            return True
        if not isinstance(key, int):
            return any(is_named(key, name) for name in self._names)
        index = bisect_right(self._lows, key) - 1
        return index >= 0 and key <= self._highs[index]


class _Verdicts:
    """The elements of a verdict map."""

    def __init__(self, single: dict[Key, Verdict], ranges: tuple[tuple[Interval, Verdict], ...]) -> None:
        self._single = single
        self._lows = [low for (low, _), _ in ranges]
        self._ranges = ranges

    def find(self, key: Key) -> Verdict | None:
        if (verdict := self._single.get(key)) is not None:
            return verdict
        if not isinstance(key, int):
            return None
        index = bisect_right(self._lows, key) - 1
        if index >= 0 and key <= self._ranges[index][0][1]:
            return self._ranges[index][1]
        return None


def _index_set(part: Set) -> _Elements:
    if part.key is KeyType.IFNAME:
        return _Elements(frozenset(), (), tuple(k for k in part.elements if isinstance(k, str)))
    if not (part.interval and part.key in (KeyType.V4, KeyType.V6)):
        return _Elements(frozenset(part.elements), (), ())
    return _Elements(frozenset(), tuple(sorted(map(_interval, part.elements))), ())


def _index_map(part: VerdictMap) -> _Verdicts:
    if not (part.interval and part.key in (KeyType.V4, KeyType.V6)):
        return _Verdicts(dict(part.elements), ())
    ranges = sorted(((_interval(key), verdict) for key, verdict in part.elements), key=lambda e: e[0])
    return _Verdicts({}, tuple(ranges))


def _interval(key: Key) -> Interval:
    match key:
        case int():
            return key, key
        case (low, high) if isinstance(low, int):
            return low, high
        case _:
            raise CompilerBug(f"no interval of addresses: {key!r}")
