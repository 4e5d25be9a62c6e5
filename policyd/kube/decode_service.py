"""Raw Service → object: whom it selects, and which port of theirs each port of its own means."""

from __future__ import annotations

from collections.abc import Mapping

from policyd.kube.cidr import canonical_ip
from policyd.kube.metadata import Metadata, decode_labels
from policyd.kube.ports import decode_number, decode_protocol
from policyd.kube.reading import Path, Reading
from policyd.kube.syntax import port_name_mistake
from policyd.kube.workloads import Service, ServicePort

HEADLESS = "None"


def decode_service(raw: Mapping[str, object], metadata: Metadata, reading: Reading) -> Service:
    """Decode a Service whose metadata has been read."""
    spec = reading.mapping(raw.get("spec"), ("spec",)) or {}
    selector = decode_labels(spec.get("selector"), reading, ("spec", "selector"))
    kind = reading.text(spec.get("type"), ("spec", "type"))
    external = kind == "ExternalName"
    return Service(
        metadata.namespace,
        metadata.name,
        selector if selector and not external else None,
        _decode_ports(spec, reading),
        _decode_addresses(spec, reading),
        reading.source(()),
        kind if kind in ("NodePort", "LoadBalancer") else "",
    )


def _decode_ports(spec: Mapping[str, object], reading: Reading) -> tuple[ServicePort, ...]:
    path: Path = ("spec", "ports")
    found: list[ServicePort] = []
    for index, item in enumerate(reading.items(spec.get("ports"), path) or ()):
        here = (*path, index)
        entry = reading.mapping(item, here) or {}
        protocol = decode_protocol(entry.get("protocol"), (*here, "protocol"), reading)
        number = decode_number(entry.get("port"), (*here, "port"), reading)
        name = reading.text(entry.get("name"), (*here, "name"))
        if protocol is None or number is None or name is None:
            continue
        target = _decode_target(entry.get("targetPort"), number, (*here, "targetPort"), reading)
        found.append(ServicePort(name, protocol, number, target))
    return tuple(found)


def _decode_target(raw: object, number: int, path: Path, reading: Reading) -> int | str:
    """The pods' port: a number or a name; missing, 0 and "" mean the Service's own."""
    if raw in (None, 0, ""):
        return number
    if isinstance(raw, str):
        reading.error(path, port_name_mistake(raw))
        return raw
    target = decode_number(raw, path, reading)
    return number if target is None else target


def _decode_addresses(spec: Mapping[str, object], reading: Reading) -> tuple[str, ...]:
    texts = [(spec.get("clusterIP"), ("spec", "clusterIP"))]
    for index, item in enumerate(reading.items(spec.get("clusterIPs"), ("spec", "clusterIPs")) or ()):
        texts.append((item, ("spec", "clusterIPs", index)))  # type: ignore[arg-type]
    found: list[str] = []
    for raw, path in texts:
        text = reading.text(raw, path)
        if not text or text == HEADLESS:
            continue
        try:
            found.append(canonical_ip(text))
        except ValueError as error:
            reading.error(path, str(error))
    return tuple(dict.fromkeys(found))
