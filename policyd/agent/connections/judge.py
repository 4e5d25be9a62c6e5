"""Which live connections the policies deny now. Pure: tracked connections in, those to be forgotten out.

A connection that was accepted is not asked again (`ct state established accept`), so one that is denied by a
change must be forgotten; then its next packet is a stray, or opens a connection that is judged (NP-122).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from policyd.netlink.conntrack import Flow
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.keys import FROM
from policyd_compiler.nft.packet import HookName
from policyd_compiler.sim import Packet, Simulator


def denied(
    flows: Iterable[Flow], table: Table, local_addresses: Mapping[int, frozenset[int]]
) -> tuple[Flow, ...]:
    """The connections whose first packet would be dropped if it came now, from where its sender is.

    `local_addresses` are the node's: from those it is the node itself that reaches its pods, and to those it
    is the hook `input` that judges. Connection tracking does not know by which interface a packet came: a
    pod's came by the interface that the ruleset binds it to, as all others were dropped (NP-162).
    """
    simulator, interfaces = Simulator(table), _interfaces(table)
    # Connections of one pod to one port of another differ in what no policy asks for.
    known: dict[Packet, bool] = {}
    found = []
    for flow in flows:
        own = local_addresses[flow.family]
        local = flow.source in own
        hook: HookName = "output" if local else "input" if flow.destination in own else "forward"
        interface = interfaces.get((flow.family, flow.source), "")
        packet = first_packet(flow, hook, iifname=interface, is_local=local)
        is_denied = known.get(packet)
        if is_denied is None:
            is_denied = known[packet] = simulator.evaluate(packet).verdict == "drop"
        if is_denied:
            found.append(flow)
    return tuple(found)


def _interfaces(table: Table) -> dict[tuple[int, int], str]:
    """The interface of each address that the ruleset binds to one, by family and address."""
    found: dict[tuple[int, int], str] = {}
    for family, key in FROM.items():
        for part in (part for part in table.sets if part.key is key):
            for element in part.elements:
                name, address = element if isinstance(element, tuple) else ("", 0)
                found[family, int(address)] = str(name)
    return found


def mirrored(flows: Iterable[Flow], forgotten: Iterable[Flow]) -> tuple[Flow, ...]:
    """Connections that are forgotten ones seen from the other end.

    An answer that was on its way when its connection was forgotten opens a new one, in which the denied side
    would be the one that answers. Without ports there is no telling.
    """
    ends = {
        (f.family, f.protocol, f.destination, f.port, f.source, f.source_port) for f in forgotten if f.port
    }
    return tuple(
        flow
        for flow in flows
        if (flow.family, flow.protocol, flow.source, flow.source_port, flow.destination, flow.port) in ends
    )


def first_packet(
    flow: Flow, hook: HookName, *, iifname: str = "", oifname: str = "", is_local: bool
) -> Packet:
    """What would open the connection now, at a hook; `is_local`: sent from an address of this namespace.

    Its source port is not known: only answers are judged by that.
    """
    return Packet(
        family=4 if flow.family == 4 else 6,
        saddr=flow.source,
        daddr=flow.destination,
        protocol=flow.protocol,
        dport=flow.port,
        hook=hook,
        iifname=iifname,
        oifname=oifname,
        dnat=flow.dnat,
        fib_local=is_local,
        icmp_type=flow.icmp_type,
    )
