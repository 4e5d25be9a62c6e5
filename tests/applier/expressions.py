"""Tables in which every row of the table of expressions is asked in every way."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policyd_compiler.nft.ast import (
    Accept,
    Chain,
    ChainName,
    Drop,
    Hook,
    Rule,
    Set,
    Table,
    TableFamily,
    VerdictMap,
    Vmap,
)
from policyd_compiler.nft.expressions import Field, InSet, Keys, Match, Numbers, Prefix, Range, Word, Words
from policyd_compiler.nft.keys import KeyType, SetName

FAMILIES: tuple[TableFamily, ...] = ("inet", "bridge")
NAME = "expressions"
HOOK = Hook("prerouting", -310)
#: ARP is not routed. Conntrack and fib of family bridge are modules of their own, which are not needed.
ELSEWHERE: dict[TableFamily, tuple[Field, ...]] = {
    "inet": tuple(field for field in Field if "arp" in field.row.text),
    "bridge": (Field.CT_STATE, Field.CT_STATUS, Field.FIB_SADDR_TYPE, Field.FIB_DADDR_TYPE),
}
MAC = 0x0200_0000_0001
KEYS: dict[KeyType, tuple[object, ...]] = {
    KeyType.V4: (1, 0x0A00_0001),
    KeyType.V6: (1, 0xFE80 << 112 | 1),
    KeyType.V4_PAIR: ((1, 2), (0x0A00_0001, 0x0A00_0001)),
    KeyType.V6_PAIR: ((1, 2), (0xFE80 << 112, 1)),
    KeyType.IFNAME: ("eth0", "veth1"),
    KeyType.ETHER: (MAC, 0xFFFF_FFFF_FFFF),
    KeyType.IFNAME_V4: (("eth0", 1), ("fifteen-letters", 0x0A00_0001)),
    KeyType.IFNAME_V6: (("eth0", 1), ("veth1", 0xFE80 << 112 | 1)),
    KeyType.IFNAME_ETHER: (("eth0", MAC), ("veth1", 1)),
    KeyType.IFNAME_TARGET: (("eth0", 1), ("veth1", 1 << 64), ("veth1", 0xFE80 << 112 | 1)),
}
BITS = {KeyType.V4: 32, KeyType.V6: 128, KeyType.ETHER: 48}
SETS = tuple(
    Set(SetName(f"s-{key.name.lower()}"), key, KEYS[key], size=len(KEYS[key]))  # type: ignore[arg-type]
    for key in sorted(KeyType, key=lambda key: key.name.lower())
)
MAPS = tuple(
    VerdictMap(
        SetName(f"m-{part.key.name.lower()}"),
        part.key,
        tuple((key, Drop() if at else Accept()) for at, key in enumerate(part.elements)),
    )
    for part in SETS
)


def asked(field: Field) -> Iterator[Match]:
    """Every way in which a field is asked for."""
    match field.row.kind:
        case Words(words):
            # Only as they are written by us: nft turns others into something else.
            for word in words:
                yield Match(field, Word(word), negated=field is Field.TCP_FLAGS)
        case Range(highest, names):
            for value in (0, 1, 2, highest - 1, highest):
                yield Match(field, Numbers(((value, value),)))
            for value in set(names.values()):
                yield Match(field, Numbers(((value, value),)), negated=True)
            yield Match(field, Numbers(((3, 5),)))
            yield Match(field, Numbers(((1, 1), (highest, highest))))
            yield Match(field, Numbers(((1, 3), (highest, highest))), negated=True)
        case Keys(key_type):
            for negated in (False, True):
                yield Match(field, InSet(SetName(f"s-{key_type.name.lower()}")), negated)
            yield from values(field, key_type)


def values(field: Field, key_type: KeyType) -> Iterator[Match]:
    """Single values, where a key is one."""
    if key_type is KeyType.IFNAME:
        yield Match(field, Word("veth*"))
        yield Match(field, Word("veth1"), negated=True)
    elif key_type in BITS:
        bits = BITS[key_type]
        yield Match(field, Prefix(1, bits))
        yield Match(field, Prefix(1 << bits - 1, bits), negated=True)
        yield Match(field, Prefix(0, bits))
        if key_type is not KeyType.ETHER:
            yield Match(field, Prefix(0xE << bits - 4, 4))
            yield Match(field, Prefix(1 << bits - 16, 16), negated=True)


def table(family: TableFamily, rules: Sequence[Rule], *, targets: bool = True) -> Table:
    """A table with sets and maps of every type, and these rules."""
    kept = [part.key for part in SETS if targets or part.key is not KeyType.IFNAME_TARGET]
    return Table(
        NAME,
        sets=tuple(part for part in SETS if part.key in kept),
        maps=tuple(sorted((part for part in MAPS if part.key in kept), key=lambda part: part.name)),
        chains=(Chain(ChainName("pre"), tuple(rules), HOOK),),
        family=family,
    )


def every_rule(family: TableFamily) -> list[Rule]:
    """A rule for each way to ask for a field."""
    fields = [field for field in Field if field not in ELSEWHERE[family]]
    rules = [Rule(Drop(), (match,)) for field in fields for match in asked(field)]
    rules += [
        Rule(Vmap(field, SetName(f"m-{field.key_type.name.lower()}")))
        for field in fields
        if field.key_type is not None
    ]
    return rules


def of_targets(rule: Rule) -> bool:
    """Whether a rule asks a set that JSON cannot declare."""
    asked = {match.field for match in rule.matches}
    return Field.IIFNAME_TARGET in asked | ({rule.action.field} if isinstance(rule.action, Vmap) else set())


def samples(family: TableFamily) -> list[Match]:
    """One match on each field, and those that nft takes for conditions of others."""
    fields = [field for field in Field if field not in ELSEWHERE[family]]
    found = [next(asked(field)) for field in fields]
    found += [match for field in fields if field.key_type in BITS for match in list(asked(field))[2:3]]
    for field, numbers in (
        (Field.ETHER_TYPE, (0x800, 0x806, 0x86DD, 0x8100, 0x88A8)),
        (Field.META_PROTOCOL, (0x800, 0x86DD, 0x8100)),
        (Field.META_L4PROTO, (1, 6, 17, 58, 132)),
        (Field.IP_PROTOCOL, (1, 17)),
    ):
        found += [Match(field, Numbers(((number, number),))) for number in numbers]
    return found
