"""Raw Ingress and routes of the Gateway API → which ports of which Services they lead to.

No policy depends on them, so what is odd in them is passed over without a word.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TypeVar

from policyd.kube.metadata import Metadata
from policyd.kube.publishing import Backend, Publisher, ReferenceGrant
from policyd.kube.reading import Reading

P = TypeVar("P", bound=Publisher)
GATEWAY = "gateway.networking.k8s.io"
Decoder = Callable[[Mapping[str, object], Metadata, Reading], P]


def ingress_decoder(item: type[P]) -> Decoder[P]:
    """The function that reads an Ingress."""

    def decode(raw: Mapping[str, object], metadata: Metadata, reading: Reading) -> P:
        spec = _mapping(raw.get("spec"))
        backends = [spec.get("defaultBackend"), spec.get("backend")]
        hosts = []
        for rule in _items(spec.get("rules")):
            hosts.append(_text(rule.get("host")))
            paths = _items(_mapping(rule.get("http")).get("paths"))
            backends.extend(path.get("backend") for path in paths)
        found = (_of_ingress(_mapping(each), metadata.namespace) for each in backends)
        return _made(item, metadata, hosts, found, reading)

    return decode


def route_decoder(item: type[P]) -> Decoder[P]:
    """The function that reads a route of the Gateway API."""

    def decode(raw: Mapping[str, object], metadata: Metadata, reading: Reading) -> P:
        spec = _mapping(raw.get("spec"))
        names = spec.get("hostnames")
        hosts = [_text(name) for name in names] if isinstance(names, list) else []
        references = (each for rule in _items(spec.get("rules")) for each in _items(rule.get("backendRefs")))
        found = (_of_route(each, metadata.namespace) for each in references)
        return _made(item, metadata, hosts, found, reading)

    return decode


def decode_grant(raw: Mapping[str, object], metadata: Metadata, reading: Reading) -> ReferenceGrant:
    """Read a ReferenceGrant, as far as it is about routes and Services."""
    spec = _mapping(raw.get("spec"))
    routes = (
        (_text(each.get("kind")), _text(each.get("namespace")))
        for each in _items(spec.get("from"))
        if each.get("group") == GATEWAY
    )
    services = (
        _text(each.get("name")) or None
        for each in _items(spec.get("to"))
        if not _text(each.get("group")) and each.get("kind") == "Service"
    )
    return ReferenceGrant(
        metadata.namespace,
        metadata.name,
        tuple(dict.fromkeys(routes)),
        tuple(dict.fromkeys(services)),
        reading.source(()),
    )


def _made(
    item: type[P], metadata: Metadata, hosts: list[str], backends: Iterator[Backend | None], reading: Reading
) -> P:
    return item(
        metadata.namespace,
        metadata.name,
        tuple(sorted({host for host in hosts if host})),
        tuple(dict.fromkeys(each for each in backends if each is not None)),
        reading.source(()),
    )


def _of_ingress(raw: Mapping[str, object], namespace: str) -> Backend | None:
    if "serviceName" in raw:  # as it was written before networking.k8s.io/v1
        return _backend(namespace, raw["serviceName"], raw.get("servicePort"))
    service = _mapping(raw.get("service"))
    port = _mapping(service.get("port"))
    return _backend(namespace, service.get("name"), port.get("number") or port.get("name"))


def _of_route(raw: Mapping[str, object], namespace: str) -> Backend | None:
    if _text(raw.get("group")) or raw.get("kind", "Service") != "Service":
        return None
    return _backend(_text(raw.get("namespace")) or namespace, raw.get("name"), raw.get("port"))


def _backend(namespace: str, name: object, port: object) -> Backend | None:
    if not isinstance(name, str) or not name:
        return None
    known = isinstance(port, int | str) and not isinstance(port, bool)
    return Backend(namespace, name, port if known else None)  # type: ignore[arg-type]


def _mapping(raw: object) -> Mapping[str, object]:
    return raw if isinstance(raw, dict) else {}


def _items(raw: object) -> Iterator[Mapping[str, object]]:
    yield from (each for each in raw if isinstance(each, dict)) if isinstance(raw, list) else ()


def _text(raw: object) -> str:
    return raw if isinstance(raw, str) else ""
