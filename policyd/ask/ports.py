"""Ports as people write and read them: `80`, `53/UDP`, `8000-8010`. Pure."""

from __future__ import annotations

import re

from policyd.ask.fits import Packet
from policyd.errors import WrongUsage
from policyd.kube.syntax import quote
from policyd_compiler.addr import Ranges
from policyd_compiler.ports import EVERYTHING, NOTHING, PortSet

PROTOCOLS = ("TCP", "UDP", "SCTP")
#: Ranges in a cell; the rest is counted.
_SHOWN = 6


def read_port(text: str) -> tuple[str, int | str | None]:
    """The protocol, and the number or the name, of `80`, `80/UDP`, `http`, `icmp`. Raises WrongUsage."""
    port, slash, protocol = text.partition("/")
    if port.lower() in ("icmp", "other") and not slash:
        return "other", None
    protocol = protocol.upper() if slash else "TCP"
    if protocol not in PROTOCOLS:
        raise WrongUsage(f"a protocol is one of {', '.join(PROTOCOLS)}, not {quote(protocol)}")
    if not port.isdecimal() or not port.isascii():
        if re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,13}[a-z0-9])?", port) and re.search("[a-z]", port):
            return protocol, port
        raise WrongUsage(f"a port is a number or a name, as in 80, 53/UDP or http, not {quote(port)}")
    if len(port) > 5 or not 1 <= int(port) <= 65535:
        raise WrongUsage(f"a port number is from 1 to 65535, not {port}")
    return protocol, int(port)


def split_port(text: str) -> tuple[str, str | None]:
    """`shop/db:5432/UDP` as the name and what stands behind the colon; an IPv6 address is in brackets."""
    if text.startswith("["):
        name, _, rest = text.rpartition("]")
        return name + "]", rest.removeprefix(":") or None
    if text.count(":") > 1:  # an address of IPv6 without a port
        return text, None
    name, colon, port = text.partition(":")
    return name, port if colon else None


def only(packet: Packet) -> PortSet:
    """The set that holds one port."""
    number = packet.port or 0
    match packet.protocol:
        case "TCP":
            return PortSet(tcp=((number, number),))
        case "UDP":
            return PortSet(udp=((number, number),))
        case "SCTP":
            return PortSet(sctp=((number, number),))
        case _:
            return PortSet(other=True)


def print_ports(ports: PortSet) -> str:
    """`80,443 udp/53`, `all`, `all but 8080`, `-`."""
    if ports == EVERYTHING:
        return "all"
    if ports == NOTHING:
        return "-"
    said, but = _print(ports), f"all but {_print(EVERYTHING - ports)}"
    return but if len(but) < len(said) else said


def _print(ports: PortSet) -> str:
    found = []
    for name, ranges in (("", ports.tcp), ("udp/", ports.udp), ("sctp/", ports.sctp)):
        if ranges:
            found.append(f"{name}{_print_ranges(ranges)}")
    if ports.other:
        found.append("other")
    return " ".join(found)


def _print_ranges(ranges: Ranges) -> str:
    if ranges == EVERYTHING.tcp:
        return "*"
    shown = [f"{low}" if low == high else f"{max(low, 1)}-{high}" for low, high in ranges[:_SHOWN]]
    more = f"+{len(ranges) - _SHOWN}" if len(ranges) > _SHOWN else ""
    return ",".join(shown) + more
