"""What leads to Services from outside: Ingress, and routes of the Gateway API. Read for questions only.

A route leads to a Service of another namespace only if a ReferenceGrant there lets it.
"""

from __future__ import annotations

from dataclasses import dataclass

from policyd.kube.objects import Source


@dataclass(frozen=True, slots=True)
class Backend:
    """A port of a Service, by number or name; None: it names none."""

    namespace: str
    service: str
    port: int | str | None


@dataclass(frozen=True, slots=True)
class Publisher:
    """`hosts`: the names under which it answers; none for all."""

    namespace: str
    name: str
    hosts: tuple[str, ...]
    backends: tuple[Backend, ...]
    source: Source | None = None


@dataclass(frozen=True, slots=True)
class Ingress(Publisher):
    """Of networking.k8s.io."""


@dataclass(frozen=True, slots=True)
class HTTPRoute(Publisher):
    """Of gateway.networking.k8s.io, as all that follow."""


@dataclass(frozen=True, slots=True)
class GRPCRoute(Publisher):
    """HTTP/2 by method."""


@dataclass(frozen=True, slots=True)
class TLSRoute(Publisher):
    """TLS by its name."""


@dataclass(frozen=True, slots=True)
class TCPRoute(Publisher):
    """Connections of a port."""


@dataclass(frozen=True, slots=True)
class UDPRoute(Publisher):
    """The same of UDP."""


@dataclass(frozen=True, slots=True)
class ReferenceGrant:
    """Lets routes of other namespaces lead to Services of its own.

    `routes`: kind and namespace of each; `services`: their names, None for all.
    """

    namespace: str
    name: str
    routes: tuple[tuple[str, str], ...]
    services: tuple[str | None, ...]
    source: Source | None = None

    def lets(self, kind: str, namespace: str, backend: Backend) -> bool:
        """Whether routes of a kind and a namespace may lead to a Service."""
        return (
            self.namespace == backend.namespace
            and (kind, namespace) in self.routes
            and (None in self.services or backend.service in self.services)
        )
