"""Random commands on a small table: few names and few keys, so that they meet, clash and refer to others."""

from __future__ import annotations

from hypothesis import strategies as st

from policyd_compiler.nft.ast import (
    Accept,
    Action,
    Chain,
    ChainName,
    Continue,
    Counter,
    CounterName,
    CounterRef,
    Drop,
    Goto,
    Hook,
    Jump,
    Limit,
    LimitUnit,
    Log,
    Reject,
    Return,
    Rule,
    Set,
    Statement,
    Verdict,
    VerdictMap,
    Vmap,
)
from policyd_compiler.nft.commands import (
    ChainRule,
    Change,
    Elements,
    PartKind,
    WholeTable,
    add,
    delete,
    flush,
)
from policyd_compiler.nft.expressions import (
    FIELDS,
    Field,
    InSet,
    Keys,
    Match,
    Numbers,
    Prefix,
    Range,
    Right,
    Word,
    Words,
    address_field,
)
from policyd_compiler.nft.keys import Family, Key, KeyType, SetName, Side

V4 = 10 << 24
V6 = 0xFD << 120

chain_names = st.sampled_from([ChainName(name) for name in ("forward", "input", "a", "b", "c")])
#: A name tells the type where nothing went wrong; any type may come with any name.
_TYPES: dict[str, tuple[type[Set | VerdictMap], KeyType, bool]] = {
    "s4": (Set, KeyType.V4, False),
    "s6": (Set, KeyType.V6, False),
    "r4": (Set, KeyType.V4, True),
    "p4": (Set, KeyType.V4_PAIR, False),
    "if": (Set, KeyType.IFNAME, True),
    "i4": (Set, KeyType.IFNAME_V4, False),
    "e": (Set, KeyType.ETHER, False),
    "m4": (VerdictMap, KeyType.V4, False),
    "m6": (VerdictMap, KeyType.V6, True),
}
set_names = st.sampled_from([SetName(name) for name in _TYPES])
hooks = st.sampled_from([Hook("forward", -10), Hook("forward", -10), Hook("input", 101)])
offsets = st.integers(0, 7)
interfaces = st.sampled_from(["eth0", "eth1", "eth*", "veth12", "ve*", "v*"])
ends: st.SearchStrategy[Verdict] = st.sampled_from([Accept(), Drop(), Return()])
moves: st.SearchStrategy[Verdict] = st.one_of(st.builds(Jump, chain_names), st.builds(Goto, chain_names))
verdicts = st.one_of(ends, moves)
families: st.SearchStrategy[Family] = st.sampled_from([4, 6])
sides: st.SearchStrategy[Side] = st.sampled_from(["saddr", "daddr"])
intervals = st.tuples(offsets, offsets).map(lambda pair: (min(pair), max(pair)))
lengths = st.sampled_from([8, 24, 32])


def keys(kind: KeyType, *, interval: bool) -> st.SearchStrategy[Key]:
    """Keys of one type."""
    if not interval:
        values = [_values(each) for each in kind.kinds]
        return st.tuples(*values) if len(values) > 1 else values[0]
    if kind is KeyType.IFNAME:
        return interfaces
    base = _VALUES[kind.value]
    return intervals.map(lambda pair: (base + pair[0], base + pair[1]))


def _values(kind: str) -> st.SearchStrategy[int | str]:
    if kind == "ifname":
        return interfaces.map(lambda name: name.rstrip("*"))
    base = _VALUES.get(kind, V6)
    return offsets.map(lambda offset: base + offset)


@st.composite
def parts(draw: st.DrawFn) -> Set | VerdictMap:
    """A set or map to add: mostly of the type that its name tells."""
    name = draw(set_names)
    told = name if draw(st.integers(0, 9)) else draw(set_names)
    kind, key, interval = _TYPES[told]
    size = draw(st.sampled_from([0, 0, 0, 2, 4])) if not interval else 0
    unique = draw(st.booleans())
    if kind is Set:
        some = st.lists(keys(key, interval=interval), max_size=4, unique=unique)
        return Set(name, key, tuple(draw(some)), interval, size)
    pairs = st.tuples(keys(key, interval=interval), verdicts)
    elements = draw(st.lists(pairs, max_size=4, unique_by=(lambda pair: pair[0]) if unique else None))
    return VerdictMap(name, key, tuple(elements), interval, size)


#: What nft refuses beside addresses of the family, and the fake does not look at; and what is of frames only.
_ELSEWHERE: dict[Family, tuple[str, ...]] = {4: ("ip6", "icmpv6"), 6: ("ip ", "icmp ")}
_FRAMES = ("ether", "vlan", "arp", "meta protocol")
#: Only as we write them: nft turns others into something else.
_SIGN = {Field.TCP_FLAGS: True, Field.CT_STATUS: False, Field.FIB_SADDR_TYPE: False}
_SEVERAL = {
    Field.META_L4PROTO: [((6, 6),), ((1, 1), (58, 58)), ((17, 17), (200, 200))],
    Field.ICMPV6_TYPE: [((130, 137), (143, 143)), ((128, 128),)],
    Field.ETHER_TYPE: [((0x800, 0x800), (0x806, 0x806)), ((0x8100, 0x8100),), ((0x88A8, 0x88A8),)],
}
_VALUES = {"ipv4_addr": V4, "ipv6_addr": V6, "ether_addr": 0x0200_0000_0001}


def matches(family: Family) -> st.SearchStrategy[Match]:
    """Matches of a rule about one family, on any field: nft refuses what contradicts itself."""
    away = (*_ELSEWHERE[family], *_FRAMES)
    fields = [
        field
        for text, field in FIELDS.items()
        if not any(part.startswith(away) for part in text.split(" . "))
    ]
    return st.sampled_from(fields).flatmap(matches_of)


def matches_of(field: Field) -> st.SearchStrategy[Match]:
    """Matches on a field, as we write them."""
    signs = st.just(_SIGN[field]) if field in _SIGN else st.booleans()
    return st.builds(Match, st.just(field), rights(field), signs)


def rights(field: Field) -> st.SearchStrategy[Right]:
    """What a field can be compared with."""
    match field.row.kind:
        case Words(words):
            return st.sampled_from(words).map(Word)
        case Range(highest):
            some = [((1, 1),), ((2, 3), (highest - 1, highest))]
            return st.builds(Numbers, st.sampled_from(_SEVERAL.get(field, some)))
        case Keys(key_type):
            in_set = st.builds(InSet, set_names)
            kind = key_type.value
            if key_type is KeyType.IFNAME:
                return in_set | st.builds(Word, interfaces)
            if kind not in _VALUES:
                return in_set
            some_bits = st.just(48) if key_type is KeyType.ETHER else lengths
            return in_set | st.builds(Prefix, st.just(_VALUES[kind]), some_bits)


comments = st.sampled_from(["", "", "generation 7", "a note: with 'quotes', commas; and braces {}"])


counter_names = st.sampled_from([CounterName(name) for name in ("n1", "n2", "n3")])
units: st.SearchStrategy[LimitUnit] = st.sampled_from(["second", "minute", "hour", "day"])
logs = st.sampled_from(
    [
        Log(),
        Log("denied: "),
        Log("denied shop/web", 7),
        Log(group=0),
        Log("x", 9, 128, 1),
        Log(group=1, snaplen=64),
    ]
)
statements: st.SearchStrategy[Statement] = st.one_of(
    st.builds(CounterRef, counter_names),
    logs,
    st.builds(Limit, st.integers(1, 1000), units, st.sampled_from([1, 5, 20]), st.booleans()),
)


@st.composite
def rules(draw: st.DrawFn) -> Rule:
    """A rule with one match at most."""
    family = draw(families)
    some = draw(st.lists(matches(family), max_size=1))
    done = draw(st.lists(statements, max_size=2))
    vmaps = st.builds(Vmap, sides.map(lambda side: address_field(family, side)), set_names)
    actions: st.SearchStrategy[Action] = st.one_of(verdicts, st.just(Reject()), st.just(Continue()), vmaps)
    return Rule(draw(actions), tuple(some), draw(comments), tuple(done))


@st.composite
def deletions(draw: st.DrawFn) -> Change:
    """A deletion of up to two elements."""
    name = draw(set_names)
    _, key, interval = _TYPES[name if draw(st.integers(0, 9)) else draw(set_names)]
    some = draw(st.lists(keys(key, interval=interval), min_size=1, max_size=2))
    keys_read = tuple(_as_read(item) for item in some) if interval else tuple(some)
    return Change("delete", Elements(name, key, keys_read))


def _as_read(key: Key) -> Key:
    """One address is an integer in a deletion, also where the set has intervals."""
    return key[0] if isinstance(key, tuple) and key[0] == key[1] else key


@st.composite
def chains(draw: st.DrawFn) -> Chain:
    """A chain to add: base chains are at their own hooks, mostly."""
    name = draw(chain_names)
    if name in ("forward", "input") or not draw(st.integers(0, 9)):
        return Chain(name, hook=draw(st.none() | hooks))
    return Chain(name)


kinds: st.SearchStrategy[PartKind] = st.sampled_from(["set", "map"])


def some_chain() -> st.SearchStrategy[Change]:
    """A change to a chain."""
    new_rules = st.builds(ChainRule, chain_names, rules())
    return st.one_of(
        st.builds(add, chains()),
        st.builds(add, new_rules),
        st.builds(add, new_rules),
        st.builds(flush, st.just("chain"), chain_names),
        st.builds(delete, st.just("chain"), chain_names),
    )


def some_set() -> st.SearchStrategy[Change]:
    """A change to a set or map, which is mostly named as what it is."""
    return st.one_of(
        st.builds(add, parts()),
        st.builds(add, parts()),
        deletions(),
        st.builds(flush, kinds, set_names),
        st.builds(delete, kinds, set_names),
    )


some_counter: st.SearchStrategy[Change] = st.one_of(
    st.builds(Counter, counter_names).map(add), st.builds(delete, st.just("counter"), counter_names)
)
some_table: st.SearchStrategy[Change] = st.one_of(
    st.builds(WholeTable, st.sampled_from(["", "a comment"])).map(add),
    st.just(Change("delete", WholeTable())),
)
changes = st.integers(0, 19).flatmap(
    lambda dice: (
        some_table if dice == 0 else some_counter if dice == 1 else some_chain() if dice < 10 else some_set()
    )
)
scripts = st.lists(changes, min_size=1, max_size=3)

#: What the commands meet first: something to add to, to refer to, to delete, and to be held by.
FOUNDATION: tuple[Change, ...] = (
    add(WholeTable()),
    add(Counter(CounterName("n1"))),
    add(Counter(CounterName("n2"))),
    add(Chain(ChainName("forward"), hook=Hook("forward", -10))),
    *(add(Chain(ChainName(name))) for name in ("a", "b", "c")),
    *(
        add(kind(SetName(name), key, interval=interval))
        for name, (kind, key, interval) in _TYPES.items()
        if name != "s6"
    ),
    add(VerdictMap(SetName("m4"), KeyType.V4, ((V4, Goto(ChainName("a"))),))),
    add(ChainRule(ChainName("forward"), Rule(Vmap(Field.IP_SADDR, SetName("m4"))))),
    add(
        ChainRule(
            ChainName("forward"), Rule(Jump(ChainName("b")), (Match(Field.IP_SADDR, InSet(SetName("s4"))),))
        )
    ),
)
