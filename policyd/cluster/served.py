"""Which addresses and ports Services have, and what is behind each, as the compiler has them. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from policyd.kube.cidr import parse_ip
from policyd.kube.workloads import EndpointSlice, Service, ServicePort
from policyd_compiler.nft.keys import FAMILIES, L4, Family
from policyd_compiler.served import Backend, Served, ServedPort

_L4: Mapping[str, L4] = {"TCP": "tcp", "UDP": "udp", "SCTP": "sctp"}


def served_of(services: Iterable[Service], slices: Iterable[EndpointSlice]) -> Served:
    """The Services that have addresses of their own, by these; headless ones lead nowhere by themselves.

    Where it is not known to which port a Service leads, nothing counts as behind that port.
    """
    behind: dict[tuple[str, str], list[EndpointSlice]] = defaultdict(list)
    for each in slices:
        behind[each.namespace, each.service].append(each)
    found: dict[Family, dict[int, tuple[ServedPort, ...]]] = {family: {} for family in FAMILIES}
    for service in services:
        own = behind.get((service.namespace, service.name), ())
        for text in service.addresses:
            family, address = parse_ip(text)
            known: Family = 4 if family == 4 else 6
            found[known][address] = tuple(_port(port, known, own) for port in service.ports)
    return found


def _port(port: ServicePort, family: Family, slices: Iterable[EndpointSlice]) -> ServedPort:
    backends = [backend for each in slices for backend in _backends(port, family, each)]
    known = () if None in backends else tuple(sorted({each for each in backends if each is not None}))
    return ServedPort(_L4[port.protocol], port.number, known)


def _backends(port: ServicePort, family: Family, part: EndpointSlice) -> Iterator[Backend | None]:
    """What a part of the endpoints says of a port; None for what says of no port."""
    numbers = [each.number for each in part.ports if (each.name, each.protocol) == (port.name, port.protocol)]
    for text in part.addresses:
        of, address = parse_ip(text)
        if of == family:
            yield from (None if number is None else Backend(address, number) for number in numbers)
