"""One end of a question: an endpoint, one of its pods, or an address. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from policyd.ask.endpoints import Endpoint
from policyd.ask.gates import FAMILIES
from policyd.ask.rectangles import families_of
from policyd.ask.world import World
from policyd.cluster.index import bits_of
from policyd.kube.objects import Pod
from policyd_compiler.addr import Family, print_address


@dataclass(frozen=True, slots=True)
class End:
    """Who sends, or who receives.

    `hosts` are those of the world that it stands for; none for an address that no pod has. `address` is the
    one that was asked for, `node` the node that has it. `anywhere`: some address that nobody has.
    """

    endpoint: Endpoint | None = None
    hosts: tuple[int, ...] = ()
    address: tuple[Family, int] | None = None
    node: str = ""
    anywhere: bool = False

    @property
    def text(self) -> str:
        """As it is called in sentences."""
        if self.address is not None:
            return print_address(*self.address)
        return self.endpoint.id if self.endpoint is not None else "any address outside"


def end_of(world: World, endpoint: Endpoint) -> End:
    """An endpoint with all its hosts."""
    mask = world.hosts[world.number[endpoint.id]]
    return End(endpoint, tuple(bits_of(mask)))


def end_at(world: World, family: Family, value: int) -> End:
    """An address: of a pod, of a node, or of nobody."""
    host = world.by_address.get((family, value))
    if host is None:
        return End(address=(family, value), node=world.nodes.get((family, value), ""))
    return End(hosts=(host,), address=(family, value))


def stranger(world: World, end: End) -> str:
    """Why it is not known whose an address is, as only one namespace could be read; "" if it is."""
    if not world.only_namespace or end.address is None or end.hosts or end.node:
        return ""
    return f"only namespace {world.only_namespace} was read: {end.text} may be a pod's of another one"


@dataclass(frozen=True, slots=True)
class Party:
    """One end of one packet: the pods that have its address, and the address, None where it is not known."""

    end: End
    host: int | None
    pods: tuple[Pod, ...]
    family: Family
    address: int | None


def parties(world: World, end: End, host: int | None) -> dict[Family, Party]:
    """An end by the families that it can be asked in; both, where its address is not known."""
    if end.address is not None:
        family, value = end.address
        pods = () if host is None else world.claimants(host)
        return {family: Party(end, host, pods, family, value)}
    if host is None:
        return {family: Party(end, None, (), family, None) for family in FAMILIES}
    addresses, pods = world.claims.hosts[host], world.claimants(host)
    return {
        family: Party(end, host, pods, family, addresses.address(family))
        for family in FAMILIES
        if family in (families_of(addresses) or FAMILIES)
    }
