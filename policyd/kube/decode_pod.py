"""Raw Pod → object. There are many pods, so paths are made only when something is wrong.

Any field of the real API may be there; only those that are used are checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache

from policyd.kube.cidr import canonical_ip
from policyd.kube.metadata import Metadata, decode_time
from policyd.kube.objects import NamedPort, Pod, Protocol
from policyd.kube.ports import decode_number, decode_protocol
from policyd.kube.reading import Path, Reading, kind_of
from policyd.kube.syntax import port_name_mistake, quote

TERMINAL = ("Succeeded", "Failed")


def decode_pod(raw: Mapping[str, object], metadata: Metadata, reading: Reading) -> Pod:
    """Decode a Pod whose metadata has been read."""
    spec = reading.mapping(raw.get("spec"), ("spec",)) or {}
    status = reading.mapping(raw.get("status"), ("status",)) or {}
    started = decode_time(status.get("startTime"), ("status", "startTime"), reading)
    return Pod(
        metadata.namespace,
        metadata.name,
        metadata.uid,
        metadata.labels,
        reading.text(spec.get("nodeName"), ("spec", "nodeName")) or None,
        _decode_flag(spec.get("hostNetwork"), ("spec", "hostNetwork"), reading),
        reading.text(status.get("phase"), ("status", "phase")) in TERMINAL,
        metadata.deleting,
        started or metadata.created,
        _decode_ips(status, reading),
        tuple(_decode_ports(spec, reading)),
        reading.source(()),
    )


def _decode_flag(raw: object, path: Path, reading: Reading) -> bool:
    if raw is not None and not isinstance(raw, bool):
        reading.error(path, f"must be true or false, not {kind_of(raw)}")
    return raw is True


def _decode_ips(status: Mapping[str, object], reading: Reading) -> tuple[str, ...]:
    """The addresses of both families, from podIPs, or from podIP where that is all there is (NP-106)."""
    entries = status.get("podIPs")
    out: list[str] = []
    if entries is not None:
        for index, entry in enumerate(reading.items(entries, ("status", "podIPs")) or ()):
            address = reading.mapping(entry, ("status", "podIPs", index)) or {}
            text = address.get("ip")
            if text is not None and text != "":
                out.extend(decode_ip(text, ("status", "podIPs", index, "ip"), reading))
    if not out and status.get("podIP"):
        out.extend(decode_ip(status["podIP"], ("status", "podIP"), reading))
    return tuple(out) if len(out) < 2 else tuple(dict.fromkeys(out))


def decode_ip(raw: object, path: Path, reading: Reading) -> tuple[str, ...]:
    """One address, canonical; none, and a mistake, if it is not an address."""
    text = reading.text(raw, path)
    if text is None:
        return ()
    try:
        return (canonical_ip(text),)
    except ValueError as error:
        reading.error(path, str(error))
        return ()


def _decode_ports(spec: Mapping[str, object], reading: Reading) -> Iterator[NamedPort]:
    """The named ports of containers and of native sidecars, but not of plain init containers (NP-062)."""
    for key in ("containers", "initContainers"):
        if spec.get(key) is None:
            continue
        for index, entry in enumerate(reading.items(spec[key], ("spec", key)) or ()):
            container = reading.mapping(entry, ("spec", key, index)) or {}
            if container.get("ports") is None:
                continue
            ports = _decode_container_ports(container["ports"], ("spec", key, index, "ports"), reading)
            if key == "containers" or container.get("restartPolicy") == "Always":
                yield from ports


def _decode_container_ports(raw: object, path: Path, reading: Reading) -> list[NamedPort]:
    """The named ports of one container; the names must differ even between protocols (semantics 1.10)."""
    out: list[NamedPort] = []
    for index, entry in enumerate(reading.items(raw, path) or ()):
        here = (*path, index)
        port = reading.mapping(entry, here) or {}
        protocol = decode_protocol(port.get("protocol"), (*here, "protocol"), reading)
        # The number that counts is the container's, not the host's (NP-064).
        number = decode_number(port.get("containerPort"), (*here, "containerPort"), reading)
        name = reading.text(port.get("name"), (*here, "name"))
        if not name:
            continue
        if not reading.error((*here, "name"), port_name_mistake(name)):
            continue
        if any(other.name == name for other in out):
            reading.error((*here, "name"), f"{quote(name)} is already a port of this container")
        if protocol is not None and number is not None:
            out.append(_named_port(name, protocol, number))
    return out


@lru_cache(maxsize=4096)
def _named_port(name: str, protocol: Protocol, number: int) -> NamedPort:
    return NamedPort(name, protocol, number)
