"""What a proof says: proved, or packets of which ruleset and policies say different things."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from ipaddress import IPv4Address, IPv6Address
from typing import Literal, TypeAlias

from policyd_compiler.nft.ast import TableFamily
from policyd_compiler.nft.packet import Packet

Says: TypeAlias = Literal["allow", "drop"]


@dataclass(frozen=True)
class Difference:
    """A packet of which both sides say different things: a run of it through the ruleset showed it.

    `policies` and `ruleset` say what they do with it; `why` names the rule of a policy that decides, or the
    policies that isolate, `file` and `line` where. `chain` and `rule` (from 1) decide in the ruleset, `text`
    is that rule; all are empty where no rule decides. `sender` and `receiver` are pods or nodes, if any.
    `family` is that of the table that decides.
    """

    packet: Packet
    policies: Says
    why: str
    file: str
    line: int
    ruleset: Says
    chain: str
    rule: int
    text: str
    sender: str = ""
    receiver: str = ""
    family: TableFamily = "inet"

    def __str__(self) -> str:
        packet, policies, ruleset = self.lines()
        return f"{packet}: {policies}, {ruleset}"

    def lines(self) -> tuple[str, str, str]:
        """The packet, what the policies say of it, and what the ruleset does."""
        place = f" ({self.file}:{self.line})" if self.file else ""
        rule = f"chain {self.chain}, rule {self.rule}: {self.text}" if self.chain else "no rule is about it"
        if self.family == "bridge":
            rule = f"table bridge, {rule}"
        return (
            packet_text(self.packet, self.sender, self.receiver),
            f"policies {self.policies}: {self.why}{place}",
            f"ruleset {self.ruleset}s: {rule}",
        )


@dataclass(frozen=True)
class Proof:
    """Whether a node's ruleset does with every packet what the policies say.

    `unprovable`: what of the ruleset could not be followed; then nothing is proved. `apart`: how many kinds
    of packets were told apart. `not_covered`: what else there is that a proof says nothing of. `plain`: maps
    say what their names say, and ask for whoever is under a policy, whether it closes anything or not.
    `bridged`: there is a table in family bridge, and it was compared, too.
    """

    node: str
    table: str
    endpoints: int
    chains: int
    apart: int
    differences: tuple[Difference, ...] = ()
    unprovable: tuple[str, ...] = ()
    not_covered: tuple[str, ...] = field(default=())
    plain: bool = True
    bridged: bool = False

    @property
    def proved(self) -> bool:
        return not self.differences and not self.unprovable


def packet_text(packet: Packet, sender: str = "", receiver: str = "") -> str:
    """A packet as people write it, and whose its addresses are."""
    if packet.network is not None:
        return _frame_text(packet)
    family = packet.family
    name = packet.protocol_name
    port = "" if packet.dport is None else f" {packet.dport}"
    details = [f"hook {packet.hook}"] if packet.hook != "forward" else []
    if packet.ct_state != "new":
        details.append(packet.ct_state)
    if packet.sport is not None and packet.ct_state != "new":
        details.append(f"from port {packet.sport}")
    if name == "tcp" and not packet.tcp_syn:
        details.append("opens no connection")
    if packet.dnat:
        details.append("through a Service")
    if packet.fib_local:
        details.append("the node's address as source")
    if packet.icmp_type is not None and name in ("icmp", "ipv6-icmp"):
        details.append(f"type {packet.icmp_type}")
    details += _of_frame(packet)
    shown = name.upper() if name in ("tcp", "udp", "sctp", "icmp") else name
    more = f" [{', '.join(details)}]" if details else ""
    source, target = _address(family, packet.saddr), _address(family, packet.daddr)
    source = f"{sender} ({source})" if sender else source
    target = f"{receiver} ({target})" if receiver else target
    return f"{source} → {target} {shown}{port}{more}"


def _frame_text(packet: Packet) -> str:
    """A frame that is no IP."""
    more = f" [{', '.join((f'hook {packet.hook}', *_of_frame(packet)))}]"
    if packet.arp is not None:
        sender, target = _address(4, packet.arp.saddr), _address(4, packet.arp.daddr)
        mac = f" ({_mac(packet.arp.saddr_ether)})" if packet.arp.saddr_ether else ""
        return f"ARP of {sender}{mac} for {target}{more}"
    return f"a frame of type 0x{packet.network_type:04x}{more}"


def _of_frame(packet: Packet) -> Iterator[str]:
    """What is to be known of the frame, where that is not ordinary."""
    if packet.vlan is not None:
        yield "tagged"
    if packet.pkttype != "host":
        yield f"to {packet.pkttype}"
    if packet.ether_saddr:
        yield f"from {_mac(packet.ether_saddr)}"
    yield from (f"by {packet.iifname}",) if packet.iifname else ()
    yield from (f"out by {packet.oifname}",) if packet.oifname else ()


def _mac(address: int) -> str:
    return ":".join(f"{byte:02x}" for byte in address.to_bytes(6))


def _address(family: int, address: int) -> str:
    return str(IPv4Address(address) if family == 4 else IPv6Address(address))
