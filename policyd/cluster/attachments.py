"""By which interface each pod of this node is attached to it: a value, and its JSON form. Pure.

The agent reads it from the node (`policyd/node`); `policyd compile --attachments FILE` is given it.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from policyd.errors import BadInput, Diagnostic
from policyd_compiler.ir import Attachment, Endpoint, Snapshot

_KEYS = {"pods", "bridges", "others"}
_POD_KEYS = {"interface", "bridge", "mac"}
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:@-]{0,14}")
_MAC = re.compile(r"[0-9a-f]{2}(:[0-9a-f]{2}){5}")


@dataclass(frozen=True, slots=True)
class Attachments:
    """`pods` by `namespace/name`. `bridges` are those that lead to pods, `others` ports that lead to none."""

    pods: Mapping[str, Attachment] = field(default_factory=dict)
    bridges: tuple[str, ...] = ()
    others: tuple[str, ...] = ()


UNKNOWN = Attachments()


def attached(snapshot: Snapshot, attachments: Attachments) -> Snapshot:
    """The snapshot with what is known of its endpoints' interfaces.

    What several pods claim is attached where the first of them is that is attached here (NP-166).
    """
    if attachments == UNKNOWN:
        return snapshot
    return replace(
        snapshot,
        endpoints=tuple(replace(e, attachment=_attachment_of(e, attachments)) for e in snapshot.endpoints),
        bridges=attachments.bridges,
        other_ports=attachments.others,
    )


def _attachment_of(endpoint: Endpoint, attachments: Attachments) -> Attachment | None:
    found = (attachments.pods.get(key) for key in endpoint.claimants or (endpoint.key,))
    return next((attachment for attachment in found if attachment is not None), None)


def attachments_json(attachments: Attachments) -> dict[str, Any]:
    """The value as JSON has it; `decode_attachments` reads it."""
    return {
        "pods": {
            key: {"interface": a.interface, "bridge": a.bridge, "mac": None if a.mac is None else _mac(a.mac)}
            for key, a in sorted(attachments.pods.items())
        },
        "bridges": list(attachments.bridges),
        "others": list(attachments.others),
    }


def decode_attachments(value: object, file: str) -> Attachments:
    """Read what `attachments_json` writes. Raises BadInput with the place of the first mistake."""
    match value:
        case dict() if not set(value) - _KEYS:
            pods, bridges, others = value.get("pods", {}), value.get("bridges", []), value.get("others", [])
        case _:
            raise _mistake(file, "", f"an object with {', '.join(sorted(_KEYS))} is expected")
    if not isinstance(pods, dict):
        raise _mistake(file, "pods", "an object by namespace/name is expected")
    return Attachments(
        {str(key): _decode_pod(file, str(key), pod) for key, pod in pods.items()},
        _names(file, "bridges", bridges),
        _names(file, "others", others),
    )


def _decode_pod(file: str, key: str, pod: object) -> Attachment:
    where = f"pods.{key}"
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
        if not isinstance(name, str) or _NAME.fullmatch(name) is None:
            raise _mistake(file, where, f"no name of an interface: {name!r}")
    return tuple(sorted(value))


def _mac(number: int) -> str:
    return number.to_bytes(6).hex(":")


def _mistake(file: str, where: str, text: str) -> BadInput:
    place = f"{where}: " if where else ""
    return BadInput((Diagnostic(file, 0, 0, "error", f"{place}{text}"),))
