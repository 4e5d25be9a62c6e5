"""Scripts that nft 1.0.6 or kernel 6.18 refuse, each for one reason, and what they say about it."""

from __future__ import annotations

from dataclasses import dataclass

#: What every refused script meets.
FOUNDATION = """\
add table inet t
add chain inet t forward { type filter hook forward priority -10; policy accept; }
add chain inet t a
add chain inet t b
add chain inet t loop
add set inet t s { type ipv4_addr; size 2; elements = { 10.0.0.1 }; }
add set inet t r { type ipv4_addr; flags interval; elements = { 10.1.0.0/24 }; }
add set inet t names { type ifname; flags interval; elements = { "eth*" }; }
add map inet t m { type ipv4_addr : verdict; elements = { 10.0.0.1 : goto a, 10.0.0.2 : drop }; }
add rule inet t forward ip saddr vmap @m
add rule inet t forward ip saddr @s jump b
add rule inet t loop jump loop
add counter inet t hits
add rule inet t b counter name "hits" continue
"""

_ABSENT = "No such file or directory"
_EXISTS = "File exists"
_BUSY = "Device or resource busy"
_UNSUPPORTED = "Operation not supported"


@dataclass(frozen=True, slots=True)
class Refused:
    """A script, and the reason and the line of its refusal: 0 where nft knows none, though the fake does."""

    name: str
    script: str
    reason: str
    line: int = 1


_LONG = "x" * 256
_DEEP = "".join(f"add chain inet t d{n}\n" for n in range(16)) + "".join(
    f"add rule inet t d{n} jump d{n + 1}\n" for n in range(15)
)


def _element(name: str, kind: str, element: str) -> str:
    word = "map" if "verdict" in kind else "set"
    return f"add {word} inet t {name} {{ type {kind}; elements = {{ {element} }}; }}"


def _base(name: str, hook: str, priority: int) -> str:
    return f"add chain inet t {name} {{ type filter hook {hook} priority {priority}; policy accept; }}"


def _map(element: str) -> str:
    return _element("m", "ipv4_addr : verdict", element)


REFUSALS = (
    Refused("what is no command", "add table inet t\nadd nothing inet t x", "syntax error", 2),
    Refused("a name that is none", "add chain inet t 1a", "syntax error"),
    Refused("a long name of a chain", f"add chain inet t {_LONG}", "Numerical result out of range"),
    Refused("a long name of a set", f"add set inet t {_LONG} {{ type ipv4_addr; }}", "Numerical result"),
    Refused("a long name of a table", f"add table inet {_LONG}", "Numerical result out of range"),
    Refused("a long comment", f'add rule inet t a drop comment "{"x" * 129}"', "comment too long"),
    Refused("a table's long comment", f'add table inet u {{ comment "{"x" * 129}"; }}', "comment too long"),
    Refused("a table that is absent", "delete table inet u", _ABSENT),
    Refused("a chain in no table", "add chain inet u a", _ABSENT),
    Refused("a set in no table", "add set inet u a { type ipv4_addr; }", _ABSENT),
    Refused("a rule in no chain", "add rule inet t none drop", _ABSENT),
    Refused("a rule that asks no set", "add rule inet t a ip saddr @none drop", _ABSENT),
    Refused("a rule that asks no map", "add rule inet t a ip saddr vmap @none", _ABSENT),
    Refused("a rule of the other family", "add rule inet t a ip6 saddr @s drop", "datatype mismatch"),
    Refused("a rule of another type", "add rule inet t a iifname @s drop", "datatype mismatch"),
    Refused("a set as a map", "add rule inet t a ip saddr vmap @s", "Expression is not a map"),
    Refused("a rule that counts in no counter", 'add rule inet t a counter name "none" drop', _ABSENT),
    Refused("a counter in no table", "add counter inet u c", _ABSENT),
    Refused("a long name of a counter", f"add counter inet t {_LONG}", "Numerical result out of range"),
    Refused("no counter to delete", "delete counter inet t none", _ABSENT),
    Refused("a counter that a rule needs", "delete counter inet t hits", _BUSY),
    Refused("a jump to no chain", "add table inet t\nadd rule inet t a jump none", _ABSENT, 2),
    Refused("a jump to a base chain", "add rule inet t a jump forward", _UNSUPPORTED),
    Refused("a goto to a base chain", "add rule inet t a goto forward", _UNSUPPORTED),
    Refused("an element to no chain", _map("10.0.0.3 : goto none"), _ABSENT),
    Refused("an element to a base chain", _map("10.0.0.3 : goto forward"), _UNSUPPORTED),
    Refused("a circle", "add rule inet t a jump b\nadd rule inet t b jump a", "Too many links", 2),
    Refused("a circle that was unreachable", "add rule inet t a jump loop", "Too many links"),
    Refused("a circle by a map", _map("10.0.0.3 : jump loop"), "Too many links"),
    Refused("a jump too deep", f"{_DEEP}add rule inet t forward jump d0\n", "Too many links", 32),
    Refused("another verdict", _map("10.0.0.2 : accept"), _EXISTS),
    Refused("two verdicts at once", _map("10.0.0.3 : accept, 10.0.0.3 : drop"), _EXISTS),
    Refused("a set for a map", "add set inet t m { type ipv4_addr; }", _EXISTS),
    Refused("a map for a set", "add map inet t s { type ipv4_addr : verdict; }", _EXISTS),
    Refused("a set of another type", "add set inet t s { type ipv6_addr; }", _EXISTS),
    Refused("a set with other flags", "add set inet t s { type ipv4_addr; flags interval; }", _EXISTS),
    Refused("a full set", _element("s", "ipv4_addr", "10.0.0.2, 10.0.0.3"), "Too many open files in system"),
    Refused(
        "a size that comes too late", _element("s", "ipv4_addr; size 9", "10.0.0.2, 10.0.0.3"), "Too many"
    ),
    Refused(
        "ranges that overlap",
        _element("r", "ipv4_addr; flags interval", "10.2.0.0/24, 10.2.0.0/25"),
        "conflicting intervals",
    ),
    Refused(
        "a range that overlaps what is there",
        _element("r", "ipv4_addr; flags interval", "10.1.0.0-10.1.0.3"),
        _EXISTS,
        0,
    ),
    Refused("a name that is covered", _element("names", "ifname; flags interval", '"eth0"'), _EXISTS),
    Refused("all names", _element("names", "ifname; flags interval", '"*"'), "All-wildcard strings"),
    Refused("no name", _element("names", "ifname; flags interval", '""'), "Empty string is not allowed"),
    Refused(
        "a long name of an interface", _element("o", "ifname", f'"{"x" * 16}"'), "String exceeds maximum"
    ),
    Refused(
        "names in a set without ranges", _element("o", "ifname", '"eth*"'), "You must add 'flags interval'"
    ),
    Refused("a base chain elsewhere", _base("forward", "input", -10), _UNSUPPORTED),
    Refused("a base chain of another priority", _base("forward", "forward", 0), _UNSUPPORTED),
    Refused("a base chain over a chain", _base("a", "forward", -10), _UNSUPPORTED),
    Refused("flush of no chain", "flush chain inet t none", _ABSENT),
    Refused("flush of no set", "flush set inet t none", _ABSENT),
    Refused("flush of a map as a set", "flush set inet t m", _ABSENT),
    Refused("flush of a set as a map", "flush map inet t s", _ABSENT),
    Refused("no chain to delete", "delete chain inet t none", _ABSENT),
    Refused("no set to delete", "delete set inet t none", _ABSENT),
    Refused("a chain that a rule needs", "delete chain inet t b", _BUSY),
    Refused("a chain that an element needs", "delete chain inet t a", _BUSY),
    Refused("a chain that itself needs", "delete chain inet t loop", _BUSY),
    Refused("a set that a rule needs", "delete set inet t s", _BUSY),
    Refused("a map that a rule needs", "delete map inet t m", _BUSY),
    Refused("no such element", "delete element inet t s { 10.0.0.2 }", _ABSENT),
    Refused("a name with a star", 'delete element inet t names { "eth*" }', "element does not exist"),
    Refused("elements of no set", "delete element inet t none { 10.0.0.2 }", _ABSENT),
    Refused("a part of a range", "delete element inet t r { 10.1.0.1 }", "element does not exist"),
)
