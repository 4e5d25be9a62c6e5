"""What libcni keeps of a pod's network (`cniCacheV1`), as a hint. Pure."""

from __future__ import annotations

from ipaddress import ip_interface

from policyd.node.attach import Hint

#: What every runtime calls the interface whose addresses are the pod's; net1 and others are of further
#: networks, which policies do not know (NP-113).
POD_INTERFACE = "eth0"
_MAC_BYTES = 6


def read_hint(value: object) -> Hint | None:
    """The hint in a result of libcni (`cniCacheV1`), None if it holds none."""
    match value:
        case {
            "kind": "cniCacheV1",
            "ifName": str(device),
            "cniArgs": list(pairs),
            "result": {"ips": list(ips)} as result,
        }:
            pairs = [pair for pair in pairs if isinstance(pair, list) and len(pair) == 2]
            uids = [value for key, value in pairs if key == "K8S_POD_UID"]
            texts = [
                ip["address"] for ip in ips if isinstance(ip, dict) and isinstance(ip.get("address"), str)
            ]
        case _:
            return None
    if device != POD_INTERFACE or not texts or not uids or not isinstance(uids[0], str):
        return None
    try:
        found = {(ip := ip_interface(text).ip).version: int(ip) for text in reversed(texts)}
        interfaces, mac = _read_interfaces(result.get("interfaces"), device)
        return Hint(uids[0], found.get(4), found.get(6), interfaces, mac)
    except ValueError:
        return None


def _read_interfaces(value: object, device: str) -> tuple[tuple[str, ...], int | None]:
    """The interfaces outside the pod, and the pod's own hardware address. ValueError for an odd one."""
    items = [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
    outside = tuple(
        item["name"] for item in items if not item.get("sandbox") and isinstance(item.get("name"), str)
    )
    macs = [
        item["mac"]
        for item in items
        if item.get("sandbox") and item.get("name") == device and isinstance(item.get("mac"), str)
    ]
    said = bytes.fromhex(macs[0].replace(":", "")) if macs else b""
    # InfiniBand has longer ones, which no bridge learns.
    return outside, int.from_bytes(said) if len(said) == _MAC_BYTES else None
