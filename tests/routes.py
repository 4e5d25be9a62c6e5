"""From manifests to a node's ruleset, and from a connection to the packets that each node's ruleset meets."""

from __future__ import annotations

import json
from dataclasses import replace
from ipaddress import ip_address

from policyd.cluster.attachments import Attachments
from policyd.cluster.state import ClusterState, MissingNamespaces
from policyd.kube.decode import decode_live
from policyd.manifests.load import load_manifest
from policyd.pipeline import Build, build
from policyd.proof.prove import prove
from policyd_compiler.options import Options
from policyd_compiler.sim import Packet
from tests.oracle import Connection, Manifest

#: What the simulator calls the protocols of the oracle; OTHER is one that has no ports and no name.
PROTOCOLS: dict[str, str | int] = {"TCP": "tcp", "UDP": "udp", "SCTP": "sctp", "OTHER": 253}


DEFAULTS = Options()


def compile_world(objects: list[Manifest], node: str, options: Options = DEFAULTS) -> Build:
    """The ruleset of one node, by the way every manifest goes."""
    text = json.dumps({"apiVersion": "v1", "kind": "List", "items": objects}).encode()
    loaded, diagnostics = load_manifest(text, "world.json")
    errors = [str(d) for d in diagnostics if d.severity == "error"]
    assert not errors, errors
    return build(ClusterState.of(loaded, MissingNamespaces.NAMED), node, options)


def compile_attached(
    objects: list[Manifest], node: str, attachments: Attachments, options: Options = DEFAULTS
) -> Build:
    """The ruleset of one node, of whose links this is known."""
    state = _stored(objects, MissingNamespaces.NAMED)
    return build(replace(state, attachments=attachments), node, options)


def compile_stored(objects: list[Manifest], node: str, options: Options = DEFAULTS) -> Build:
    """The same for objects as a server holds them, which may be older than its rules: nothing is refused."""
    return build(_stored(objects, MissingNamespaces.NAMED), node, options)


def compile_live(objects: list[Manifest], node: str, options: Options = DEFAULTS) -> Build:
    """The same as an agent does it, for which the Namespaces that are missing may still come."""
    return build(_stored(objects, MissingNamespaces.UNKNOWN), node, options)


def state_of(objects: list[Manifest], *, live: bool = False) -> ClusterState:
    """The cluster as a value, of objects as a server holds them."""
    return _stored(objects, MissingNamespaces.UNKNOWN if live else MissingNamespaces.NAMED)


def not_proved(
    state: ClusterState,
    node: str,
    built: Build,
    options: Options = DEFAULTS,
    quarantined: frozenset[str] = frozenset(),
) -> tuple[str, ...]:
    """Why a ruleset is not what the policies mean for every packet; nothing if it is."""
    closed = quarantined.union(over.policy for over in built.over)
    proof = prove(state, node, options, built.table, closed)
    return (*map(str, proof.differences), *proof.unprovable)


def _stored(objects: list[Manifest], missing: MissingNamespaces) -> ClusterState:
    decoded = (decode_live(raw) for raw in objects)
    return ClusterState.of((d.item for d in decoded if d.item is not None), missing)


def node_addresses(objects: list[Manifest]) -> dict[str, frozenset[str]]:
    """The IP addresses of each Node object, canonical."""
    return {
        item["metadata"]["name"]: frozenset(
            str(ip_address(a["address"]))
            for a in (item.get("status") or {}).get("addresses") or ()
            if a["type"] != "Hostname"
        )
        for item in objects
        if item["kind"] == "Node"
    }


def packet(connection: Connection, node: str, addresses: dict[str, frozenset[str]]) -> Packet | None:
    """The connection's first packet as `node` meets it; None where the packet cannot be there.

    The hook tells whose process sent it: `output` is this node itself, `input` is addressed to the node.
    """
    own = addresses.get(node, frozenset())
    source, destination = ip_address(connection.src), ip_address(connection.dst)
    local = str(source) in own
    if connection.local_node == node:
        hook = "output"
    elif local or (source == destination and not connection.left_pod):
        return None
    else:
        hook = "input" if str(destination) in own else "forward"
    family = source.version
    kind: str | int
    if connection.proto in ("ICMP", "ND"):
        kind = "icmp" if family == 4 else "icmpv6"
    else:
        kind = PROTOCOLS[connection.proto]
    return Packet(
        family=family,
        saddr=int(source),
        daddr=int(destination),
        protocol=kind,
        dport=connection.dport,
        hook=hook,  # type: ignore[arg-type]
        ct_state="untracked" if connection.proto == "ND" else "new",
        icmp_type=135
        if connection.proto == "ND"
        else (8 if family == 4 else 128)
        if kind in ("icmp", "icmpv6")
        else None,
        dnat=connection.left_pod,
        fib_local=connection.local_node == node,
        hop_limit=255 if connection.proto == "ND" else 64,
    )
