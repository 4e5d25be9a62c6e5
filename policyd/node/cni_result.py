"""What libcni keeps of a pod's network (`cniCacheV1`), as a hint. Reads the files it is given."""

from __future__ import annotations

import json
from collections.abc import Iterator
from ipaddress import ip_interface
from pathlib import Path

from policyd.node.attach import Hint

#: What every runtime calls the interface whose addresses are the pod's; net1 and others are of further
#: networks, which policies do not know (NP-113).
POD_INTERFACE = "eth0"
_MAC_BYTES = 6
#: A result has some KB; what is longer is none.
MAX_BYTES = 1 << 20


def read_results(directory: Path) -> Iterator[Hint]:
    """The hints in a directory of results; none where there is none."""
    for path in sorted(directory.iterdir()) if directory.is_dir() else ():
        if path.is_file() and (hint := read_result(path)) is not None:
            yield hint


def read_result(path: Path) -> Hint | None:
    """The hint in a file of libcni's, None if it holds none. Raises OSError for one that cannot be read."""
    try:
        with path.open("rb") as file:
            return read_hint(json.loads(file.read(MAX_BYTES)))
    except (FileNotFoundError, ValueError, RecursionError):
        return None  # being written, stale and empty, or none of libcni's


def read_hint(value: object) -> Hint | None:
    """The hint in a result of libcni (`cniCacheV1`), None if it holds none."""
    match value:
        case {
            "kind": "cniCacheV1",
            "ifName": str(device),
            "cniArgs": list(pairs),
            "result": {"ips": list(ips)} as result,
            **others,
        }:
            netns = others.get("netns")
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
        place = netns if isinstance(netns, str) and netns.startswith("/") else ""
        place = place or _read_sandbox(result.get("interfaces"), device)
        return Hint(uids[0], found.get(4), found.get(6), interfaces, mac, place)
    except ValueError:
        return None


def _read_sandbox(value: object, device: str) -> str:
    """The network namespace in which the pod's own end is: libcni before 1.2 does not say it besides."""
    for item in value if isinstance(value, list) else []:
        match item:
            case {"name": name, "sandbox": str(path)} if name == device and path.startswith("/"):
                return path
    return ""


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
