"""What is published to the outside: by Services, by Ingress, by routes of the Gateway API. Pure.

That something is published says nothing of policies: its connections come from the pods of a controller, or
from addresses outside, and policies judge them as any other.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from policyd.ask.endpoints import Endpoint
from policyd.ask.fits import Packet
from policyd.ask.ports import only
from policyd.ask.reach import connections, outside
from policyd.ask.world import World
from policyd.kube.publishing import Backend
from policyd.kube.workloads import Service, ServicePort


@dataclass(frozen=True, slots=True)
class Published:
    """A port of an endpoint, and by what it is published, such as `Ingress shop/front`, under which names.

    `senders` are endpoints of other namespaces that may use it; `outside`: some address outside may.
    """

    by: str
    hosts: tuple[str, ...]
    service: str
    endpoint: Endpoint
    packet: Packet
    senders: tuple[str, ...]
    outside: bool


@dataclass(frozen=True, slots=True)
class Missing:
    """What leads to a Service, or a port of one, that is not among the objects; or, not `granted`, to one of
    another namespace where no ReferenceGrant lets it, so that it is not reached that way."""

    by: str
    service: str
    granted: bool = True


def published(world: World) -> tuple[Published | Missing, ...]:
    """All that is published, sorted by what publishes it."""
    found: list[tuple[str, tuple[str, ...], Service, ServicePort] | Missing] = []
    for service in world.services.values():
        if service.published:
            by = f"{service.published} {service.namespace}/{service.name}"
            found.extend((by, (), service, port) for port in service.ports)
    for kind, publisher in world.publishers:
        by = f"{kind} {publisher.namespace}/{publisher.name}"
        for backend in publisher.backends:
            if not world.lets(kind, publisher, backend):
                found.append(Missing(by, _print(backend), granted=False))
                continue
            known = world.services.get(f"{backend.namespace}/{backend.service}")
            ports = [] if known is None else list(_ports(known, backend))
            if known is None or not ports:
                found.append(Missing(by, _print(backend)))
            else:
                found.extend((by, publisher.hosts, known, port) for port in ports)
    return tuple(_judged(world, found))


def _print(backend: Backend) -> str:
    port = "" if backend.port is None else f":{backend.port}"
    return f"svc/{backend.namespace}/{backend.service}{port}"


def _ports(service: Service, backend: Backend) -> Iterator[ServicePort]:
    for port in service.ports:
        if backend.port in (None, port.number, port.name or None):
            yield port


def _judged(
    world: World, found: list[tuple[str, tuple[str, ...], Service, ServicePort] | Missing]
) -> Iterator[Published | Missing]:
    targets = {
        endpoint.id
        for each in found
        if not isinstance(each, Missing)
        for endpoint, _ in _behind(world, each[2], each[3])
    }
    into = [c for c in connections(world, None, targets) if c.sender.namespace != c.receiver.namespace]
    comes = [each for each in outside(world) if each.inbound and each.endpoint.id in targets]
    for each in found:
        if isinstance(each, Missing):
            yield each
            continue
        by, hosts, service, port = each
        for endpoint, packet in _behind(world, service, port):
            name = f"svc/{service.namespace}/{service.name}:{port.number}"
            ports = only(packet)
            senders = {c.sender.id for c in into if c.receiver is endpoint and c.judged.allowed & ports}
            opened = any(o.endpoint is endpoint and o.allowed & ports for o in comes)
            yield Published(by, hosts, name, endpoint, packet, tuple(sorted(senders)), opened)


def _behind(world: World, service: Service, port: ServicePort) -> Iterator[tuple[Endpoint, Packet]]:
    """The endpoints behind a port of a Service, and the port of theirs that it leads to."""
    if service.selector is None:
        return
    wanted = set(service.selector)
    for endpoint in world.endpoints:
        if endpoint.namespace != service.namespace:
            continue
        pods = [pod for pod in endpoint.members if wanted <= set(pod.labels)]
        numbers = {
            number
            for pod in pods
            for number in (
                [port.target]
                if isinstance(port.target, int)
                else [p.number for p in pod.ports if (p.name, p.protocol) == (port.target, port.protocol)]
            )
        }
        for number in sorted(numbers):
            yield endpoint, Packet(port.protocol, number)


def publishers_of(world: World, service: Service) -> tuple[str, ...]:
    """By what a Service is published: `Ingress shop/front (shop.example)`."""
    found = [f"its type, {service.published}"] if service.published else []
    for kind, publisher in world.publishers:
        leading = [
            each
            for each in publisher.backends
            if (each.namespace, each.service) == (service.namespace, service.name)
        ]
        if any(world.lets(kind, publisher, each) for each in leading):
            hosts = f" ({', '.join(publisher.hosts)})" if publisher.hosts else ""
            found.append(f"{kind} {publisher.namespace}/{publisher.name}{hosts}")
    return tuple(found)
