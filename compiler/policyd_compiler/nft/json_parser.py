"""`nft -j list table` → the table, as the compiler would have written it; nft 1.0.6 to 1.1.

Everything that has an effect must be understood or reported: an object or an attribute that our syntax tree
cannot say raises ForeignContent, and a rule that it cannot say becomes one that nobody wants. Comparing the
result with the table wanted is then a complete verification. Nothing else here handles untyped values.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any, cast, get_args

from policyd_compiler.nft.ast import (
    Chain,
    ChainName,
    Counter,
    CounterName,
    Drop,
    Hook,
    Rule,
    Set,
    Table,
    TableFamily,
    Verdict,
    VerdictMap,
)
from policyd_compiler.nft.json_rules import Unsupported, read_rule, read_verdict, reject_unknown_keys
from policyd_compiler.nft.keys import TYPEOF, Key, KeyType, SetName, read_key_json
from policyd_compiler.nft.matches import left_json
from policyd_compiler.nft.packet import HookName

_PLACE = {"family", "table", "name", "handle"}
#: `elem` apart. `count` is how many elements there are now; newer versions of nft say so.
_SET_KEYS = _PLACE | {"type", "flags", "size", "elem", "count"}


#: What reading raises for what we do not write; most of it only where nft would not write it either.
_MALFORMED_ERRORS = (Unsupported, ValueError, KeyError, TypeError, AttributeError, OverflowError)

#: How the comment of a rule begins that stands for one which our syntax tree cannot say.
FOREIGN_RULE = "not written by policyd: "


class ForeignContent(Exception):
    """The table holds what policyd does not write, rules apart. `things` are sentences, one for each."""

    def __init__(self, things: tuple[str, ...]) -> None:
        super().__init__("; ".join(things))
        self.things = things


def parse_listing(text: str, name: str, family: TableFamily = "inet") -> Table | None:
    """The table of this name and family in a listing, sorted as the compiler sorts; None where there is none.

    Raises ForeignContent when somebody else wrote in the table, ValueError when this is no listing.
    """
    reader = _Reader(name, family)
    for kind, value in _listed(text):
        reader.read(kind, value)
    return reader.table()


def _listed(text: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The objects of a listing, each with its kind."""
    try:
        listing = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ValueError(f"no listing of nft: {error}") from None
    items = listing.get("nftables") if isinstance(listing, dict) else None
    for item in items if isinstance(items, list) else [items]:
        if not isinstance(item, dict) or len(item) != 1:
            raise ValueError("no listing of nft: it holds no list of objects")
        ((kind, value),) = item.items()
        if not isinstance(value, dict):
            raise ValueError(f"no listing of nft: its {kind} is no object")
        yield kind, value


class _Reader:
    """Gathers the objects of one table."""

    def __init__(self, name: str, family: TableFamily) -> None:
        self._name = name
        self._family = family
        self._seen = False
        self._comment = ""
        self._counters: list[Counter] = []
        self._sets: list[Set] = []
        self._maps: list[VerdictMap] = []
        self._hooks: dict[ChainName, Hook | None] = {}
        self._rules: dict[ChainName, list[Rule]] = {}
        self._foreign: list[str] = []

    def read(self, kind: str, value: dict[str, Any]) -> None:
        """Take one object of the listing; those of other tables are passed over."""
        if kind == "metainfo":
            return
        table = value.get("name") if kind == "table" else value.get("table")
        if value.get("family") != self._family or table != self._name:
            return
        readers: dict[str, Callable[[dict[str, Any]], None]] = {
            "table": self._read_table,
            "counter": self._read_counter,
            "set": self._read_set,
            "map": self._read_map,
            "chain": self._read_chain,
            "rule": self._read_rule,
        }
        try:
            reader = readers.get(kind)
            if reader is None:
                raise Unsupported(f"a {kind}")
            if not isinstance(value.get("chain" if kind == "rule" else "name"), str):
                raise Unsupported("without a name")
            reader(value)
        except _MALFORMED_ERRORS as error:
            place = value.get("chain") or value.get("name") or ""
            self._foreign.append(f"{kind} {place} (handle {value.get('handle')}): {error}")

    def table(self) -> Table | None:
        """All of it, in canonical order."""
        if self._foreign:
            raise ForeignContent(tuple(self._foreign))
        if not self._seen:
            return None
        chains = (Chain(name, tuple(self._rules[name]), hook) for name, hook in self._hooks.items())
        return Table(
            self._name,
            sets=tuple(sorted(self._sets, key=lambda part: part.name)),
            maps=tuple(sorted(self._maps, key=lambda part: part.name)),
            chains=tuple(sorted(chains, key=lambda chain: chain.name)),
            comment=self._comment,
            family=self._family,
            counters=tuple(sorted(self._counters, key=lambda counter: counter.name)),
        )

    def _read_table(self, value: dict[str, Any]) -> None:
        reject_unknown_keys(
            value, {"family", "name", "handle", "comment"}
        )  # not `flags`: a dormant table filters nothing
        self._seen = True
        self._comment = str(value.get("comment", ""))

    def _read_chain(self, value: dict[str, Any]) -> None:
        name = ChainName(value["name"])
        self._rules.setdefault(name, [])
        self._hooks[name] = None
        if "hook" not in value:
            reject_unknown_keys(value, _PLACE)
            return
        reject_unknown_keys(value, _PLACE | {"type", "hook", "prio", "policy"})
        if (
            value["type"] != "filter"
            or value["policy"] != "accept"
            or value["hook"] not in get_args(HookName)
        ):
            raise Unsupported(f"{value['type']} hook {value['hook']} policy {value['policy']}")
        self._hooks[name] = Hook(cast(HookName, value["hook"]), int(value["prio"]))

    def _read_rule(self, value: dict[str, Any]) -> None:
        try:
            reject_unknown_keys(value, {"family", "table", "chain", "handle", "comment", "expr"})
            rule = read_rule(value["expr"], str(value.get("comment", "")))
        except _MALFORMED_ERRORS as error:
            # It stands for itself, and is like no rule of ours: its chain differs, and can be repaired.
            rule = Rule(Drop(), comment=f"{FOREIGN_RULE}{error}")
        self._rules.setdefault(ChainName(value["chain"]), []).append(rule)

    def _read_counter(self, value: dict[str, Any]) -> None:
        reject_unknown_keys(value, _PLACE | {"packets", "bytes"})
        self._counters.append(Counter(CounterName(value["name"])))

    def _read_set(self, value: dict[str, Any]) -> None:
        reject_unknown_keys(value, _SET_KEYS)
        kind, interval = _key_type(value), _interval(value)
        elements = sorted(read_key_json(kind, item, interval=interval) for item in value.get("elem", ()))
        self._sets.append(
            Set(SetName(value["name"]), kind, tuple(elements), interval, int(value.get("size", 0)))
        )

    def _read_map(self, value: dict[str, Any]) -> None:
        reject_unknown_keys(value, _SET_KEYS | {"map"})
        if value["map"] != "verdict":
            raise Unsupported(f"a map to {value['map']}")
        kind, interval = _key_type(value), _interval(value)
        elements: list[tuple[Key, Verdict]] = [
            (read_key_json(kind, key, interval=interval), read_verdict(verdict))
            for key, verdict in value.get("elem", ())
        ]
        elements.sort(key=lambda element: cast(int, element[0]))
        self._maps.append(
            VerdictMap(SetName(value["name"]), kind, tuple(elements), interval, int(value.get("size", 0)))
        )


def _key_type(value: dict[str, Any]) -> KeyType:
    kind = _KEY_TYPES.get(json.dumps(value["type"], sort_keys=True))
    if kind is None:
        raise Unsupported(f"elements of type {json.dumps(value['type'])}")
    return kind


def _declarations(kind: KeyType) -> Iterator[object]:
    """How the keys are listed: nft before 1.1 has the types, later ones the fields if it was given these."""
    yield [*kind.kinds] if len(kind.kinds) > 1 else kind.kinds[0]
    yield {"typeof": left_json(TYPEOF[kind])}


_KEY_TYPES = {
    json.dumps(declaration, sort_keys=True): kind for kind in KeyType for declaration in _declarations(kind)
}


def _interval(value: dict[str, Any]) -> bool:
    flags = value.get("flags", [])
    flags = [flags] if isinstance(flags, str) else flags  # nft 1.1 writes a single flag without its list
    if flags not in ([], ["interval"]):
        raise Unsupported(f"flags {', '.join(map(str, flags))}")
    return bool(flags)
