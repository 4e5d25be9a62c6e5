"""Raw Pod → object. There are many pods, so paths are made only when something is wrong.

Any field of the real API may be there; only those that are used are checked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from sys import intern

from policyd.kube.cidr import parse_ip
from policyd.kube.metadata import Metadata, decode_time
from policyd.kube.objects import NamedPort, Pod
from policyd.kube.ports import decode_number, decode_protocol
from policyd.kube.reading import Path, Reading, kind_of
from policyd.kube.syntax import port_name_mistake, quote, subdomain_mistake

TERMINAL = ("Succeeded", "Failed")


def decode_pod(raw: Mapping[str, object], metadata: Metadata, reading: Reading) -> Pod:
    """Decode a Pod whose metadata has been read."""
    spec = reading.mapping(raw.get("spec"), ("spec",)) or {}
    status = reading.mapping(raw.get("status"), ("status",)) or {}
    started = decode_time(status.get("startTime"), ("status", "startTime"), reading)
    return Pod(
        intern(metadata.namespace),
        metadata.name,
        metadata.uid,
        metadata.labels,
        _decode_node_name(spec.get("nodeName"), reading),
        decode_flag(spec.get("hostNetwork"), ("spec", "hostNetwork"), reading),
        reading.text(status.get("phase"), ("status", "phase")) in TERMINAL,
        metadata.deleting,
        started or metadata.created,
        *_decode_ips(status, reading),
        decode_ports(spec, ("spec",), reading),
        reading.source(()),
        version=metadata.version,
    )


def _decode_node_name(raw: object, reading: Reading) -> str | None:
    name = reading.text(raw, ("spec", "nodeName"))
    if name:
        reading.error(("spec", "nodeName"), subdomain_mistake(name))
    return intern(name) if name else None


def decode_flag(raw: object, path: Path, reading: Reading) -> bool:
    """True or false; missing and null are false."""
    if raw is not None and not isinstance(raw, bool):
        reading.error(path, f"must be true or false, not {kind_of(raw)}")
    return raw is True


def _decode_ips(status: Mapping[str, object], reading: Reading) -> tuple[int | None, int | None]:
    """The addresses of both families, from podIPs, or from podIP where that is all there is (NP-106)."""
    found: dict[int, int] = {}
    entries = status.get("podIPs")
    if entries is not None:
        for index, entry in enumerate(reading.items(entries, ("status", "podIPs")) or ()):
            address = reading.mapping(entry, ("status", "podIPs", index)) or {}
            if (text := address.get("ip")) is not None:
                _decode_ip(text, ("status", "podIPs", index, "ip"), found, reading)
    if not found and status.get("podIP"):
        _decode_ip(status["podIP"], ("status", "podIP"), found, reading)
    return found.get(4), found.get(6)


def _decode_ip(raw: object, path: Path, found: dict[int, int], reading: Reading) -> None:
    """Add one address to those of its pod, by family: the API server takes one of each (NP-106)."""
    text = reading.text(raw, path)
    if not text:
        return
    try:
        family, value = parse_ip(text)
    except ValueError as error:
        reading.error(path, str(error))
        return
    if found.setdefault(family, value) != value:
        reading.error(path, f"a pod has one IPv{family} address; {quote(text)} is another")


def decode_ports(spec: Mapping[str, object], path: Path, reading: Reading) -> tuple[NamedPort, ...]:
    """The named ports of the containers of a pod, or of a pod's template; `path` is that of its spec."""
    return _shared_ports(tuple(_decode_ports(spec, path, reading)))


def _decode_ports(spec: Mapping[str, object], path: Path, reading: Reading) -> Iterator[NamedPort]:
    """The named ports of containers and of native sidecars, but not of plain init containers (NP-062)."""
    for key in ("containers", "initContainers"):
        if spec.get(key) is None:
            continue
        for index, entry in enumerate(reading.items(spec[key], (*path, key)) or ()):
            container = reading.mapping(entry, (*path, key, index)) or {}
            if container.get("ports") is None:
                continue
            ports = _decode_container_ports(container["ports"], (*path, key, index, "ports"), reading)
            if key == "containers" or container.get("restartPolicy") == "Always":
                yield from ports


def _decode_container_ports(raw: object, path: Path, reading: Reading) -> list[NamedPort]:
    """The named ports of one container; the names must differ even between protocols (semantics 1.10)."""
    out: list[NamedPort] = []
    for index, entry in enumerate(reading.items(raw, path) or ()):
        port = reading.mapping(entry, (*path, index)) or {}
        try:
            named = _good_port(port.get("name"), port.get("protocol"), port.get("containerPort"))
        except (TypeError, ValueError):  # something is wrong with it: look again and say what
            named = _decode_port(port, (*path, index), reading)
        if named is None:
            continue
        if any(other.name == named.name for other in out):
            text = f"{quote(named.name)} is already a port of this container"
            reading.error((*path, index, "name"), text)
        out.append(named)
    return out


def _decode_port(port: Mapping[str, object], path: Path, reading: Reading) -> NamedPort | None:
    protocol = decode_protocol(port.get("protocol"), (*path, "protocol"), reading)
    # The number that counts is the container's, not the host's (NP-064).
    number = decode_number(port.get("containerPort"), (*path, "containerPort"), reading)
    name = reading.text(port.get("name"), (*path, "name"))
    if not name or not reading.error((*path, "name"), port_name_mistake(name)):
        return None
    return None if protocol is None or number is None else NamedPort(name, protocol, number)


@lru_cache(maxsize=4096)
def _shared_ports(ports: tuple[NamedPort, ...]) -> tuple[NamedPort, ...]:
    """Of equal ports one tuple is enough for all pods of a template."""
    return ports


# Pods of one template have the same ports, so most have been seen before. Typed, as True equals 1.
@lru_cache(maxsize=4096, typed=True)
def _good_port(name: object, protocol: object, number: object) -> NamedPort | None:
    """A port with nothing wrong in it, None if it has no name; ValueError or TypeError otherwise."""
    reading = Reading()
    port = _decode_port({"name": name, "protocol": protocol, "containerPort": number}, (), reading)
    if reading.mistakes:
        raise ValueError(name)
    return port
