"""By which interface each pod of this node is attached to it: a value, and its JSON form. Pure.

The agent reads it from the node (`policyd/node`); `policyd compile --attachments FILE` is given it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from ipaddress import ip_address
from typing import Any

from policyd.errors import BadInput, Diagnostic
from policyd.kube.objects import Node
from policyd.kube.syntax import printable
from policyd_compiler.ir import Attachment, Endpoint, Snapshot
from policyd_compiler.options import interface_mistake

_KEYS = {"pods", "bridges", "ports", "others", "tunnels", "shared"}
_POD_KEYS = {"interface", "bridge", "mac"}
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


@dataclass(frozen=True, slots=True)
class Attachments:
    """`pods` by `namespace/name`; `bridges` are those that lead to pods.

    `ports` are ports of these bridges that lead to pods, or may, and `others` ports of any bridge that lead
    to none. `tunnels` are the UDP ports of this node's own tunnels. `shared` are those of the bridges by
    which pods of other nodes are reached, too, as on Weave Net.
    """

    pods: Mapping[str, Attachment] = field(default_factory=dict)
    bridges: tuple[str, ...] = ()
    ports: tuple[str, ...] = ()
    others: tuple[str, ...] = ()
    tunnels: tuple[int, ...] = ()
    shared: tuple[str, ...] = ()


UNKNOWN = Attachments()


def attached(snapshot: Snapshot, attachments: Attachments) -> Snapshot:
    """The snapshot with what is known of its endpoints' interfaces, and of the node's links."""
    network = replace(
        snapshot.network,
        bridges=attachments.bridges,
        pod_ports=attachments.ports,
        other_ports=attachments.others,
        tunnel_ports=attachments.tunnels,
        shared=attachments.shared,
    )
    endpoints = tuple(_attached(endpoint, attachments) for endpoint in snapshot.endpoints)
    return replace(snapshot, endpoints=endpoints, network=network)


def _attached(endpoint: Endpoint, attachments: Attachments) -> Endpoint:
    """The same object where it has these interfaces already."""
    found = _attachments_of(endpoint, attachments)
    return endpoint if endpoint.attachments == found else replace(endpoint, attachments=found)


def with_nodes(snapshot: Snapshot, nodes: Iterable[Node]) -> Snapshot:
    """The snapshot with the addresses of nodes, whose tunnels are closed to pods (NP-163)."""
    found: dict[int, set[int]] = {4: set(), 6: set()}
    for address in (ip_address(text) for node in nodes for text in node.addresses):
        found[address.version].add(int(address))
    own = {family: tuple(sorted(found[family])) for family in found}
    return replace(snapshot, network=replace(snapshot.network, nodes4=own[4], nodes6=own[6]))


def _attachments_of(endpoint: Endpoint, attachments: Attachments) -> tuple[Attachment, ...]:
    """The interfaces of everybody who claims the endpoint's addresses (NP-166)."""
    keys = endpoint.claimants or (endpoint.key,)
    return tuple(attachments.pods[key] for key in keys if key in attachments.pods)


def attachments_json(attachments: Attachments) -> dict[str, Any]:
    """The value as JSON has it; `decode_attachments` reads it."""
    return {
        "pods": {
            key: {"interface": a.interface, "bridge": a.bridge, "mac": None if a.mac is None else _mac(a.mac)}
            for key, a in sorted(attachments.pods.items())
        },
        "bridges": list(attachments.bridges),
        "ports": list(attachments.ports),
        "others": list(attachments.others),
        "tunnels": list(attachments.tunnels),
        "shared": list(attachments.shared),
    }


def load_attachments(content: bytes, file: str) -> Attachments:
    """Read the text of a file. Raises BadInput with the place of the first mistake."""
    try:
        value = json.loads(content)
    except json.JSONDecodeError as error:
        place = Diagnostic(file, error.lineno, error.colno, "error", f"no JSON: {error.msg}")
        raise BadInput((place,)) from error
    except (ValueError, RecursionError) as error:  # no UTF-8, a number of a million digits, a deep nest
        raise _mistake(file, "", f"no JSON: {error}") from error
    return decode_attachments(value, file)


def decode_attachments(value: object, file: str) -> Attachments:
    """Read what `attachments_json` writes. Raises BadInput with the place of the first mistake."""
    match value:
        case dict() if not set(value) - _KEYS:
            pods, tunnels = value.get("pods", {}), value.get("tunnels", [])
        case _:
            raise _mistake(file, "", f"an object with {', '.join(sorted(_KEYS))} is expected")
    if not isinstance(pods, dict):
        raise _mistake(file, "pods", "an object by namespace/name is expected")
    if not isinstance(tunnels, list) or not all(map(_is_port, tunnels)):
        raise _mistake(file, "tunnels", "a list of UDP ports is expected")
    found = Attachments(
        {str(key): _decode_pod(file, str(key), pod) for key, pod in pods.items()},
        _names(file, "bridges", value.get("bridges", [])),
        _names(file, "ports", value.get("ports", [])),
        _names(file, "others", value.get("others", [])),
        tuple(sorted(set(tunnels))),
        _names(file, "shared", value.get("shared", [])),
    )
    _check_ports(file, found)
    return found


def _check_ports(file: str, found: Attachments) -> None:
    """A port that leads to no pod is not guarded, so it must be nobody's. Raises BadInput."""
    of_pods = {*found.ports, *(pod.interface for pod in found.pods.values())}
    for name in found.others:
        if name in of_pods:
            raise _mistake(file, "others", f"{printable(name)} leads to a pod")


def _is_port(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 < value < 65536


def _decode_pod(file: str, key: str, pod: object) -> Attachment:
    where = f"pods.{printable(key)}"
    if not isinstance(pod, dict) or set(pod) - _POD_KEYS:
        raise _mistake(file, where, f"an object with {', '.join(sorted(_POD_KEYS))} is expected")
    [interface] = _names(file, f"{where}.interface", [pod.get("interface")])
    bridge = pod.get("bridge") or ""
    if bridge:
        [bridge] = _names(file, f"{where}.bridge", [bridge])
    mac = pod.get("mac")
    if mac is None:
        return Attachment(interface, bridge)
    if not isinstance(mac, str) or _MAC.fullmatch(mac.lower()) is None:
        raise _mistake(file, f"{where}.mac", "six bytes such as 02:00:00:00:00:01 are expected")
    return Attachment(interface, bridge, int(mac.replace(":", ""), 16))


def _names(file: str, where: str, value: object) -> tuple[str, ...]:
    if not isinstance(value, list):
        raise _mistake(file, where, "a list of names is expected")
    for name in value:
        if not isinstance(name, str) or name.endswith("*") or interface_mistake(name):
            raise _mistake(file, where, f"no name of an interface: {name!r}")
    return tuple(sorted(set(value)))


def _mac(number: int) -> str:
    return number.to_bytes(6).hex(":")


def _mistake(file: str, where: str, text: str) -> BadInput:
    place = f"{where}: " if where else ""
    return BadInput((Diagnostic(file, 0, 0, "error", f"{place}{text}"),))
