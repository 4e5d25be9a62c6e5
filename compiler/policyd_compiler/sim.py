"""What our ruleset does to a packet, without a kernel: nft's semantics over our syntax tree.

A `Packet` is the first packet of a flow as one hook meets it. `Simulator` indexes a table once and answers
many packets; the trace names every chain and rule that took part, for a person to read. The kernel looks at
the rules of one generation, but answers each look-up with the elements of whatever is in force by then: two
simulators together say what a packet may meet while elements change.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
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

__all__ = ["Look", "Outcome", "Packet", "Simulator", "Step", "Trace", "evaluate"]

#: The kernel refuses deeper jumps when it loads a ruleset.
MAX_DEPTH = 16

Outcome: TypeAlias = Literal["accept", "drop"]


@dataclass(frozen=True, slots=True)
class Look:
    """One look-up: what was looked for in a named set or map, and what was there; None for nothing."""

    part: SetName
    key: Key
    found: Verdict | Literal["member"] | None


@dataclass(frozen=True, slots=True)
class Step:
    """A rule on a packet's way, and its look-ups; without a verdict it did not match, or had no element."""

    chain: ChainName
    rule: Rule
    looks: tuple[Look, ...]
    verdict: Verdict | None

    def __str__(self) -> str:
        """Its chain, its text, and what its map says."""
        said = self.verdict is not None and isinstance(self.rule.action, Vmap)
        element = f" ({print_verdict(self.verdict)})" if said and self.verdict is not None else ""
        return f"{self.chain}: {print_rule(self.rule)}{element}"


@dataclass(frozen=True, slots=True)
class Trace:
    """The verdict of a hook, the way there, and how many look-ups in named sets and maps that took.

    `path` also has the rules that looked something up and did not match.
    """

    verdict: Outcome
    path: tuple[Step, ...]
    lookups: int

    @property
    def steps(self) -> tuple[str, ...]:
        """The rules that took part, as text."""
        return tuple(str(step) for step in self.path if step.verdict is not None)


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
        self.contents = _Contents(
            {s.name: _index_set(s) for s in table.sets}, {m.name: _index_map(m) for m in table.maps}
        )

    def evaluate(self, packet: Packet, after: Simulator | None = None, switch: int = 0) -> Trace:
        """Run the base chains of the packet's hook; without one the packet passes.

        With `after` a transaction meets the packet on its way: the first `switch` look-ups are answered by
        the elements of this table, the rest by those of that one. All rules are this table's.
        """
        walk = _Walk(packet, self.contents, None if after is None else after.contents, switch)
        for chain in self._hooks:
            if chain.hook is None or chain.hook.hook != packet.hook:
                continue
            if self._run(chain.name, walk, 0) == "drop":
                return walk.end("drop")
        return walk.end("accept")

    def _run(self, name: ChainName, walk: _Walk, depth: int) -> Outcome | None:
        """Walk a chain; None: its end (or `return`) was reached, and the caller goes on."""
        while True:
            if depth > MAX_DEPTH:
                raise CompilerBug(f"chain {name} lies more than {MAX_DEPTH} jumps deep")
            chain = self._chains.get(name)
            if chain is None:
                raise CompilerBug(f"no chain {name}")
            outcome, onward = self._walk(chain.rules, name, walk, depth)
            if onward is None:
                return outcome
            name, depth = onward, depth + 1

    def _walk(
        self, rules: tuple[Rule, ...], name: ChainName, walk: _Walk, depth: int
    ) -> tuple[Outcome | None, ChainName | None]:
        """The outcome of a chain's rules, or the chain that a `goto` leads to."""
        for rule in rules:
            verdict = walk.verdict(name, rule)
            match verdict:
                case None:
                    continue
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
                    outcome = self._run(chain, walk, depth + 1)
                    if outcome is not None:
                        return outcome, None
                case _:
                    assert_never(verdict)
        return None, None


class _Walk:
    """One packet's way: what it met, and who answers its look-ups."""

    def __init__(self, packet: Packet, before: _Contents, after: _Contents | None, switch: int) -> None:
        self._path: list[Step] = []
        self._looks: list[Look] = []
        self._packet = packet
        self._before = before
        self._after = after
        self._switch = switch
        self._lookups = 0

    def end(self, verdict: Outcome) -> Trace:
        """What there is to say of it."""
        return Trace(verdict, tuple(self._path), self._lookups)

    def verdict(self, chain: ChainName, rule: Rule) -> Verdict | None:
        """The rule's verdict; None where it does not match, or a map has no element for the packet."""
        verdict = self._verdict(rule)
        if verdict is not None or self._looks:
            self._path.append(Step(chain, rule, tuple(self._looks), verdict))
            self._looks.clear()
        return verdict

    def _verdict(self, rule: Rule) -> Verdict | None:
        if not all(holds(match, self._packet, self._has) for match in rule.matches) or _is_over_limit(rule):
            return None
        if not isinstance(rule.action, Vmap):
            return rule.action
        key = rule.action.field.row.read(self._packet)
        return None if key is None else self._find(rule.action.map, key)

    def _has(self, name: SetName, key: Key) -> bool:
        after = self._later()
        # What is deleted meanwhile is asked still, and empty.
        elements = self._before.sets[name] if after is None else after.sets.get(name)
        found = elements is not None and elements.has(key)
        self._looks.append(Look(name, key, "member" if found else None))
        return found

    def _find(self, name: SetName, key: Key) -> Verdict | None:
        after = self._later()
        verdicts = self._before.maps[name] if after is None else after.maps.get(name)
        found = None if verdicts is None else verdicts.find(key)
        self._looks.append(Look(name, key, found))
        return found

    def _later(self) -> _Contents | None:
        """Count a look-up, and say who answers it; None: the elements of the packet's own generation."""
        self._lookups += 1
        return self._after if self._lookups > self._switch else None


def _is_over_limit(rule: Rule) -> bool:
    """Whether a rule is for packets beyond a rate: the one packet of a simulation is within all."""
    return any(isinstance(statement, Limit) and statement.over for statement in rule.statements)


@dataclass(frozen=True, slots=True)
class _Contents:
    """The elements of a table."""

    sets: Mapping[SetName, _Elements]
    maps: Mapping[SetName, _Verdicts]


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
