"""Connections as `conntrack -L` and /proc/net/nf_conntrack print them. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise

from policyd.kube.cidr import parse_ip
from policyd.netlink.conntrack import Flow


@dataclass(frozen=True, slots=True)
class Listing:
    """The connections of a text, and the numbers of the lines that are none."""

    flows: tuple[Flow, ...]
    odd: tuple[int, ...]


def read_listing(text: str) -> Listing:
    """Read all lines; empty ones do not count."""
    flows: list[Flow] = []
    odd: list[int] = []
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        try:
            flows.append(_flow(line.split()))
        except (ValueError, KeyError):
            odd.append(number)
    return Listing(tuple(flows), tuple(odd))


def _flow(words: list[str]) -> Flow:
    """`tcp 6 431999 ESTABLISHED src=… dst=… sport=… dport=… src=… dst=… …`; raises ValueError, KeyError."""
    first = next((at for at, word in enumerate(words) if word.startswith("src=")), None)
    if first is None:
        raise ValueError("no connection")
    original, reply = _tuples(words[first:])
    family, source = parse_ip(original["src"])
    _, backend = parse_ip(reply["src"])
    port, asked = int(reply.get("sport", 0)), int(original.get("dport", 0))
    icmp = original.get("type")
    return Flow(
        family,
        _protocol(words[:first]),
        source,
        int(original.get("sport", 0)),
        backend,
        port,
        (reply["src"], port) != (original["dst"], asked),
        None if icmp is None else int(icmp),
        b"",
    )


def _tuples(words: Iterable[str]) -> tuple[dict[str, str], dict[str, str]]:
    """What opens the connection, and what answers it."""
    found: list[dict[str, str]] = []
    for word in words:
        name, is_field, value = word.partition("=")
        if name == "src":
            found.append({})
        if is_field and found:
            found[-1].setdefault(name, value)
    original, reply = found
    return original, reply


def _protocol(words: list[str]) -> int:
    """The number behind the protocol's name, which is not that of the family."""
    for name, number in pairwise(words):
        if name not in ("ipv4", "ipv6") and not name.isdecimal() and number.isdecimal():
            return int(number)
    raise ValueError("no protocol")
