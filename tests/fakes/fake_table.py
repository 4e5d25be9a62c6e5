"""One table as the kernel keeps it, in memory: commands change it or are refused with the kernel's own words.

What is refused here is what nft 1.0.6 and kernel 6.18 were seen to refuse; tests run both side by side.
Each command changes everything it should or raises Refusal; to take back a whole script, work on a copy.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import pairwise
from typing import Any, TypeAlias, assert_never

from policyd_compiler.nft.ast import (
    Action,
    Chain,
    ChainName,
    Counter,
    CounterName,
    CounterRef,
    Goto,
    Jump,
    Reject,
    Rule,
    Set,
    Table,
    TableFamily,
    Verdict,
    VerdictMap,
    Vmap,
)
from policyd_compiler.nft.commands import ChainRule, Change, Elements, Named
from policyd_compiler.nft.expressions import InSet, Match
from policyd_compiler.nft.keys import Key, KeyType, SetName

#: NFT_JUMP_STACK_SIZE: a base chain and 15 more.
MAX_CHAINS_DEEP = 16
MAX_COMMENT_BYTES = 128
MAX_NAME_BYTES = 255
_IFNAME_BYTES = 16

_KERNEL = "Could not process rule: "
ABSENT = f"{_KERNEL}No such file or directory"
EXISTS = f"{_KERNEL}File exists"
BUSY = f"{_KERNEL}Device or resource busy"
UNSUPPORTED = f"{_KERNEL}Operation not supported"
TOO_DEEP = f"{_KERNEL}Too many links"
TOO_LONG = f"{_KERNEL}Numerical result out of range"
FULL = f"{_KERNEL}Too many open files in system"
#: nft itself, which looks sets up before it asks the kernel.
UNKNOWN = "No such file or directory"
LONG_COMMENT = f"comment too long, {MAX_COMMENT_BYTES} characters maximum allowed"

Part: TypeAlias = Set | VerdictMap
_TYPES: Mapping[str, type[Part]] = {"set": Set, "map": VerdictMap}


class Refusal(Exception):
    """Why a command is refused, in the words of nft or the kernel."""


@dataclass(slots=True)
class FakePart:
    """A set or map: its declaration, without elements, and its elements with their verdicts."""

    declared: Part
    room: int
    elements: dict[Key, Verdict | None] = field(default_factory=dict)


@dataclass(slots=True)
class FakeTable:
    """The table's chains and sets by name, in the order in which they came."""

    family: TableFamily = "inet"
    comment: str = ""
    chains: dict[ChainName, Chain] = field(default_factory=dict)
    parts: dict[SetName, FakePart] = field(default_factory=dict)
    counters: set[CounterName] = field(default_factory=set)

    def copy(self) -> FakeTable:
        """A table that changes without this one."""
        parts = {
            name: FakePart(part.declared, part.room, dict(part.elements)) for name, part in self.parts.items()
        }
        return FakeTable(self.family, self.comment, dict(self.chains), parts, set(self.counters))

    def commit(self) -> None:
        """End a transaction: a size that was declared again counts from the next one on."""
        for part in self.parts.values():
            part.room = part.declared.size

    def table(self, name: str) -> Table:
        """What it holds, in canonical order."""
        parts = sorted(self.parts.items())
        return Table(
            name,
            sets=tuple(
                replace(part.declared, elements=tuple(sorted(part.elements, key=_order)))
                for _, part in parts
                if isinstance(part.declared, Set)
            ),
            maps=tuple(
                replace(part.declared, elements=_sorted_pairs(part.elements))
                for _, part in parts
                if isinstance(part.declared, VerdictMap)
            ),
            chains=tuple(chain for _, chain in sorted(self.chains.items())),
            comment=self.comment,
            family=self.family,
            counters=tuple(map(Counter, sorted(self.counters))),
        )

    def too_deep(self) -> bool:
        """Whether a packet could be led through more chains than the kernel follows, or in a circle."""
        seen: dict[ChainName, int] = {}
        open_ends = [(chain.name, 0) for chain in self.chains.values() if chain.hook is not None]
        while open_ends:
            name, level = open_ends.pop()
            if level == MAX_CHAINS_DEEP:
                return True
            if seen.get(name, -1) < level:
                seen[name] = level
                open_ends.extend((target, level + 1) for target in self._next(self.chains[name]))
        return False

    def change(self, change: Change) -> None:  # noqa: C901, PLR0912 one case for each change
        """Do what a change says. Who holds the tables adds and removes them."""
        match change.verb, change.part:
            case "add", Chain() as chain:
                self._add_chain(chain)
            case "add", Counter(name):
                check_length(name)
                self.counters.add(name)
            case "delete", Named("counter", name):
                self._delete_counter(CounterName(name))
            case "add", ChainRule(name, rule):
                self._add_rule(name, rule)
            case "add", (Set() | VerdictMap()) as part:
                self._add_part(part)
            case "delete", Elements(name, key, keys):
                self._delete_elements(name, key, keys)
            case "flush", Named("chain", name):
                chain = self._chain(ChainName(name))
                self.chains[chain.name] = replace(chain, rules=())
            case "flush", Named("set" | "map" as kind, name):
                self._flush(SetName(name), _TYPES[kind])
            case "delete", Named("chain", name):
                self._delete_chain(ChainName(name))
            case "delete", Named(_, name):
                self._delete_part(SetName(name))
            case verb, part:
                raise AssertionError(f"nothing to {verb}: {part}")

    # --- chains ----------------------------------------------------------------------------------------

    def _chain(self, name: ChainName) -> Chain:
        if name not in self.chains:
            raise Refusal(ABSENT)
        return self.chains[name]

    def _add_chain(self, chain: Chain) -> None:
        check_length(chain.name)
        known = self.chains.setdefault(chain.name, replace(chain, notes=()))
        if chain.hook not in (None, known.hook):
            raise Refusal(UNSUPPORTED)

    def _delete_chain(self, name: ChainName) -> None:
        self._chain(name)
        if any(name in targets for targets in self._all_targets()):
            raise Refusal(BUSY)
        del self.chains[name]

    def _all_targets(self) -> Iterator[tuple[ChainName, ...]]:
        for chain in self.chains.values():
            yield tuple(_targets(rule.action for rule in chain.rules))
        for part in self.parts.values():
            yield tuple(_targets(part.elements.values()))

    def _next(self, chain: Chain) -> Iterator[ChainName]:
        """The chains that a packet may come to from this one."""
        yield from _targets(rule.action for rule in chain.rules)
        for rule in chain.rules:
            for _, name, _ in _lookups(rule):
                yield from _targets(self.parts[name].elements.values())

    def _add_rule(self, name: ChainName, rule: Rule) -> None:
        if len(rule.comment.encode()) > MAX_COMMENT_BYTES:
            raise Refusal(LONG_COMMENT)
        for asker, set_name, key in _lookups(rule):
            asked = self.parts.get(set_name)
            if asked is None:
                raise Refusal(UNKNOWN)
            if isinstance(asker, Vmap) and isinstance(asked.declared, Set):
                raise Refusal("Expression is not a map")
            if asked.declared.key is not key:
                raise Refusal("datatype mismatch")
        chain = self._chain(name)
        if any(counter not in self.counters for counter in _counters(rule)):
            raise Refusal(ABSENT)
        self._check_targets((rule.action,))
        self.chains[name] = replace(chain, rules=(*chain.rules, rule))

    def _check_targets(self, actions: Iterable[object]) -> None:
        for target in _targets(actions):
            if self._chain(target).hook is not None:
                raise Refusal(UNSUPPORTED)

    # --- sets and maps ---------------------------------------------------------------------------------

    def _add_part(self, part: Part) -> None:
        check_length(part.name)
        elements = _elements(part)
        check_keys(part, elements)
        bare = _bare(part)
        known = self.parts.setdefault(part.name, FakePart(bare, part.size))
        if kind(known.declared) != kind(part):
            raise Refusal(EXISTS)
        if part.size:
            known.declared = bare
        if part.interval:
            _check_overlaps(known.elements, elements)
        for key, verdict in elements:
            self._check_targets((verdict,))
            if key in known.elements:
                if known.elements[key] != verdict:
                    raise Refusal(EXISTS)
                continue
            if known.room and len(known.elements) >= known.room:
                raise Refusal(FULL)
            known.elements[key] = verdict

    def _delete_elements(self, name: SetName, key_type: KeyType, keys: tuple[Key, ...]) -> None:
        part = self.parts.get(name)
        if part is None:
            raise Refusal(UNKNOWN)
        if part.declared.key is not key_type:
            raise Refusal(f"invalid data type, expected {part.declared.key.value}")
        interval = part.declared.interval
        for key in keys:
            # One address of an interval set is an interval; nft 1.0.6 does not find a name with `*` again.
            wanted = (key, key) if interval and isinstance(key, int) else key
            if wanted not in part.elements or _is_wildcard(wanted):
                raise Refusal("element does not exist" if interval else ABSENT)
            del part.elements[wanted]

    def _flush(self, name: SetName, wanted: type[Part]) -> None:
        part = self.parts.get(name)
        if part is None or not isinstance(part.declared, wanted):
            raise Refusal(UNKNOWN)
        part.elements.clear()

    def _delete_part(self, name: SetName) -> None:
        if name not in self.parts:
            raise Refusal(ABSENT)
        if any(
            name == asked for c in self.chains.values() for rule in c.rules for _, asked, _ in _lookups(rule)
        ):
            raise Refusal(BUSY)
        del self.parts[name]

    def _delete_counter(self, name: CounterName) -> None:
        if name not in self.counters:
            raise Refusal(ABSENT)
        if any(name in _counters(rule) for chain in self.chains.values() for rule in chain.rules):
            raise Refusal(BUSY)
        self.counters.remove(name)


def _counters(rule: Rule) -> list[CounterName]:
    return [statement.name for statement in rule.statements if isinstance(statement, CounterRef)]


def _lookups(rule: Rule) -> Iterator[tuple[Match | Action, SetName, KeyType | None]]:
    """The parts of a rule that look something up, where, and what the keys there must be."""
    for part in (*rule.matches, rule.action):
        match part:
            case Match(field, InSet(name)) | Vmap(field, name):
                yield part, name, field.key_type
            case _:
                pass


def kind(part: Part) -> tuple[object, ...]:
    """What cannot change under the same name. A size can."""
    return (type(part), part.key, part.interval)


def check_length(name: str) -> None:
    """Refuse a name that is longer than the kernel takes."""
    if len(name.encode()) > MAX_NAME_BYTES:
        raise Refusal(TOO_LONG)


def check_keys(part: Part, elements: tuple[tuple[Key, Verdict | None], ...]) -> None:
    """Refuse elements that nft does not take for this set."""
    for key, verdict in elements:
        if isinstance(verdict, Reject):
            raise Refusal("syntax error, unexpected reject")
        match key:
            case "":
                raise Refusal("Empty string is not allowed")
            case "*":
                raise Refusal("All-wildcard strings are not supported")
            case str() if len(key.encode()) >= _IFNAME_BYTES:
                raise Refusal(f"String exceeds maximum length of {_IFNAME_BYTES}")
            case _:
                pass
        is_range = _is_wildcard(key) or (isinstance(key, tuple) and part.key in (KeyType.V4, KeyType.V6))
        if is_range and not part.interval:
            raise Refusal("You must add 'flags interval' to your set declaration")


def _bare(part: Part) -> Part:
    match part:
        case Set():
            return replace(part, elements=(), notes=())
        case VerdictMap():
            return replace(part, elements=(), notes=())
        case _:
            assert_never(part)


def _sorted_pairs(elements: dict[Key, Verdict | None]) -> tuple[tuple[Key, Verdict], ...]:
    pairs = [(key, verdict) for key, verdict in elements.items() if verdict is not None]
    return tuple(sorted(pairs, key=lambda pair: _order(pair[0])))


def _order(key: Key) -> Any:
    """A key as something to sort by: those of one set are all of one type."""
    return key


def _elements(part: Part) -> tuple[tuple[Key, Verdict | None], ...]:
    if isinstance(part, Set):
        return tuple((key, None) for key in part.elements)
    return part.elements


def _targets(actions: Iterable[object]) -> Iterator[ChainName]:
    for action in actions:
        if isinstance(action, Jump | Goto):
            yield action.chain


def _check_overlaps(held: Iterable[Key], new: tuple[tuple[Key, Verdict | None], ...]) -> None:
    """Equal intervals are one element; others may touch, but not overlap."""
    if _overlapping({_bounds(item) for item, _ in new}):
        raise Refusal("conflicting intervals specified")
    if _overlapping({_bounds(item) for item in (*held, *(item for item, _ in new))}):
        raise Refusal(EXISTS)


def _overlapping(intervals: set[tuple[int, int]]) -> bool:
    return any(one[1] >= other[0] for one, other in pairwise(sorted(intervals)))


def _bounds(element: Key) -> tuple[int, int]:
    """An element of an interval set as numbers."""
    match element:
        case str():
            text = element.removesuffix("*").encode()
            low = text.ljust(_IFNAME_BYTES, b"\0")
            high = text.ljust(_IFNAME_BYTES, b"\xff") if _is_wildcard(element) else low
            return int.from_bytes(low), int.from_bytes(high)
        case int():
            return element, element
        case (low, high) if isinstance(low, int):
            return low, high
        case _:
            raise AssertionError(f"no range in an interval set: {element}")


def _is_wildcard(key: Key) -> bool:
    return isinstance(key, str) and key.endswith("*")
