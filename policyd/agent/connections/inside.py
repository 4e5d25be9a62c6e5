"""Ends live connections of one pod that a change denies, in the pod's own network namespace."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace

from policyd.agent.connections.judge import first_packet
from policyd.netlink.conntrack import Conntrack, Flow, asked_for
from policyd_compiler.for_pod import Address
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.keys import FAMILIES
from policyd_compiler.nft.packet import HookName
from policyd_compiler.sim import Packet, Simulator


@dataclass(frozen=True, slots=True)
class Judged:
    """A pod as its namespace has it: the table there, and behind which interface it has which addresses."""

    table: Table
    interface: str
    addresses: Collection[Address]


def end_denied(pod: Judged) -> int:
    """Forget what is denied now, in the namespace of the calling thread: how many connections.

    Raises EnvironmentRefused.
    """
    own: dict[int, frozenset[int]] = {
        family: frozenset(number for of, number in pod.addresses if of == family) for family in FAMILIES
    }
    conntrack = Conntrack()
    try:
        return sum(conntrack.forget(flow) for flow in denied(conntrack.list(own), pod))
    finally:
        conntrack.close()


def denied(flows: Collection[Flow], pod: Judged) -> tuple[Flow, ...]:
    """The connections whose first packet would be dropped if it came now.

    What comes is judged before a mesh redirects it to its proxy, so by the port that was asked for. What goes
    and was redirected here never left: the proxy's own connection did, and is judged; itself it is judged
    only where the table has a chain for it.
    """
    simulator = Simulator(pod.table) if flows else None
    own = {address.number for address in pod.addresses}
    return tuple(
        flow
        for flow in flows
        if simulator is not None
        and (flow.source in own) != (flow.destination in own)
        and simulator.evaluate(_first_packet(flow, pod.interface, goes=flow.source in own)).verdict == "drop"
    )


def _first_packet(flow: Flow, interface: str, *, goes: bool) -> Packet:
    """The packet that opened a connection, at the hook that judges it, before it was redirected."""
    if flow.dnat:
        address, port = asked_for(flow)
        flow = replace(flow, destination=address, port=port)
    if goes:
        hook: HookName = "output" if flow.dnat else "postrouting"
        return first_packet(flow, hook, oifname=interface, is_local=True)
    return first_packet(flow, "prerouting", iifname=interface, is_local=False)
