"""Raw EndpointSlice → object: what is behind a Service."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from policyd.kube.cidr import canonical_ip
from policyd.kube.metadata import Metadata
from policyd.kube.ports import decode_number, decode_protocol
from policyd.kube.reading import Path, Reading
from policyd.kube.workloads import EndpointPort, EndpointSlice

SERVICE_LABEL = "kubernetes.io/service-name"
_WITH_ADDRESSES = ("IPv4", "IPv6")


def decode_endpoints(raw: Mapping[str, object], metadata: Metadata, reading: Reading) -> EndpointSlice:
    """Decode an EndpointSlice whose metadata has been read. One of host names has no addresses."""
    kind = reading.text(raw.get("addressType"), ("addressType",))
    found = _addresses(raw, reading) if kind in _WITH_ADDRESSES else ()
    return EndpointSlice(
        metadata.namespace,
        metadata.name,
        dict(metadata.labels).get(SERVICE_LABEL, ""),
        tuple(dict.fromkeys(found)),
        tuple(_ports(raw, reading)),
        reading.source(()),
    )


def _addresses(raw: Mapping[str, object], reading: Reading) -> Iterator[str]:
    """Of all endpoints, ready or not: which of them are asked changes sooner than anybody can say."""
    for index, item in enumerate(reading.items(raw.get("endpoints"), ("endpoints",)) or ()):
        path: Path = ("endpoints", index)
        endpoint = reading.mapping(item, path) or {}
        path = (*path, "addresses")
        for number, each in enumerate(reading.items(endpoint.get("addresses"), path) or ()):
            text = reading.text(each, (*path, number))
            if text is None:
                continue
            try:
                yield canonical_ip(text)
            except ValueError as error:
                reading.error((*path, number), str(error))


def _ports(raw: Mapping[str, object], reading: Reading) -> Iterator[EndpointPort]:
    for index, item in enumerate(reading.items(raw.get("ports"), ("ports",)) or ()):
        path: Path = ("ports", index)
        port = reading.mapping(item, path) or {}
        name = reading.text(port.get("name"), (*path, "name")) or ""
        protocol = decode_protocol(port.get("protocol"), (*path, "protocol"), reading)
        number = port.get("port")
        if protocol is not None:
            known = None if number is None else decode_number(number, (*path, "port"), reading)
            yield EndpointPort(name, protocol, known)
