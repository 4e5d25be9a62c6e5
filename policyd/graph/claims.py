"""Who claims which addresses, kept up to date pod by pod, with the bits that stand for claims."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from policyd.cluster.findings import Finding, claimed, impossible, key_of
from policyd.cluster.index import PodIndex
from policyd.cluster.ownership import Claims, addresses_of_nodes, name_of, rank, why_impossible
from policyd.kube.objects import Node, Pod
from policyd_compiler.ir import Host
from policyd_compiler.lower.classes import HostIndex
from policyd_compiler.nft.keys import Family

#: A family and an address of it.
Place: TypeAlias = tuple[Family, int]
_NOBODY = Host(None, None)


@dataclass(frozen=True, slots=True)
class Row:
    """A host, and the pods that claim its addresses: who most probably holds them comes first."""

    host: Host
    pods: tuple[Pod, ...]

    @property
    def key(self) -> str:
        """The name of its endpoint, if it has one."""
        return name_of(self.host, self.pods)


class Holding:
    """What `policyd.cluster.ownership.Claims` say, after each pod that came or went.

    Every claim is a bit, of `index`, too; of those to one host the first is the host's, of `indexes`. Which
    bit that is means nothing.
    """

    def __init__(
        self, claims: Claims, pods: Mapping[str, Pod], nodes: Iterable[Node], index: PodIndex
    ) -> None:
        self.index = index
        self.hosts = [*claims.hosts, *(_NOBODY for _ in claims.further)]
        self.indexes: Mapping[Family, HostIndex] = {4: HostIndex(self.hosts, 4), 6: HostIndex(self.hosts, 6)}
        #: Changes with each claim that comes or goes.
        self.version = 0
        self._of_nodes = addresses_of_nodes(nodes)
        self._pods: list[Pod | None] = list(claims.pods)
        self._free: list[int] = []
        #: The bits of the claims to hosts that several pods claim.
        self._shared = {host: tuple(claims.to(host)) for host in claims.rivals}
        self._held: Mapping[Family, dict[int, int]] = {
            4: {host.v4: bit for bit, host in enumerate(claims.hosts) if host.v4 is not None},
            6: {host.v6: bit for bit, host in enumerate(claims.hosts) if host.v6 is not None},
        }
        self._impossible: dict[Place, list[Pod]] = {}
        for pod in (pods[f.pods[0]] for f in claims.findings if f.name == "address-impossible"):
            for place in _places(pod):
                if self._why_impossible(place):
                    known = self._impossible.setdefault(place, [])
                    if pod not in known:
                        known.append(pod)

    def held(self, claims: int) -> int:
        """The hosts of which every claim is among these (NP-166)."""
        hosts = claims
        for bits in self._shared.values():
            for bit in bits[1:]:
                hosts &= ~(1 << bit)
            if any(not claims >> bit & 1 for bit in bits):
                hosts &= ~(1 << bits[0])
        return hosts

    def touched(self, claims: int) -> int:
        """The hosts of which any claim is among these (NP-166)."""
        hosts = claims
        for bits in self._shared.values():
            is_touched = any(claims >> bit & 1 for bit in bits)
            for bit in bits[1:]:
                hosts &= ~(1 << bit)
            hosts |= is_touched << bits[0]
        return hosts

    @property
    def disputed(self) -> int:
        """The hosts that several pods claim."""
        return sum(1 << bit for bit in self._shared)

    def rows(self, is_of: Callable[[Pod], bool]) -> Iterator[Row]:
        """The hosts that such a pod claims."""
        shared = {bit for bits in self._shared.values() for bit in bits}
        for bit, pod in enumerate(self._pods):
            if pod is not None and is_of(pod) and bit not in shared:
                yield Row(self.hosts[bit], (pod,))
        yield from (row for bit in self._shared if any(map(is_of, (row := self._row(bit)).pods)))

    def rows_in(self, namespace: str) -> Iterator[Row]:
        """The hosts that pods of a namespace claim, also together with others."""
        first = {bit: host for host, bits in self._shared.items() for bit in bits}
        hosts = (first.get(bit, bit) for bit in self.index.bits_in(namespace))
        return map(self._row, dict.fromkeys(hosts))

    def change(self, before: Pod | None, after: Pod | None) -> tuple[list[Row], list[Row]]:
        """A pod was, and is now: the rows that there are no longer, and those that there are now."""
        places = {*_places(before), *_places(after)}
        self._note_impossible(before, after)
        rivals = [pod for place in places for pod in self._claimants(place)]
        near = places.union(place for pod in rivals for place in _places(pod))
        bits = {bit for family, value in near if (bit := self._held[family].get(value)) is not None}
        gone = {bit: self._row(bit) for bit in sorted(bits)}
        claimants: dict[Place, list[Pod]] = {}
        for row in gone.values():
            for place in _places_of(row.host):
                claimants[place] = [pod for pod in row.pods if not _is_same(pod, before)]
        for place in _places(after):
            if after is not None and not self._why_impossible(place):
                claimants.setdefault(place, []).append(after)
        come = list(_grouped(claimants))
        same = [(bit, row) for bit, row in gone.items() if any(_are_same(row, other) for other in come)]
        for bit, row in same:
            del gone[bit]
            come = [other for other in come if not _are_same(row, other)]
        for bit in gone:
            self._free_bits(bit)
        for row in come:
            self._give_bits(row)
        return list(gone.values()), come

    def move(self, nodes: Iterable[Node]) -> tuple[list[Row], list[Row]]:
        """Nodes have other addresses: the rows that there are no longer, and those that there are now."""
        of_nodes = addresses_of_nodes(nodes)
        changed: list[Place] = []
        for family in self._held:
            changed.extend((family, a) for a in of_nodes[family].keys() ^ self._of_nodes[family].keys())
        pods = [pod for place in changed for pod in self._claimants(place)]
        pods.extend(pod for place in changed for pod in self._impossible.get(place, ()))
        found = {key_of(pod): pod for pod in pods}
        gone: list[Row] = []
        come: list[Row] = []
        for pod in found.values():
            merge(gone, come, *self.change(pod, None))
        self._of_nodes = of_nodes
        for pod in found.values():
            merge(gone, come, *self.change(None, pod))
        return gone, come

    def findings(self) -> list[tuple[Finding, tuple[Pod, ...]]]:
        """What is odd about addresses, and which pods that is about; in order."""
        found: list[tuple[Finding, tuple[Pod, ...]]] = []
        for bit in self._shared:
            row = self._row(bit)
            found.extend(
                (claimed(row.pods, family, value), row.pods) for family, value in _places_of(row.host)
            )
        for place, pods in self._impossible.items():
            found.extend((impossible(pod, *place, self._why_impossible(place)), (pod,)) for pod in pods)
        return sorted(found, key=lambda each: each[0])

    def _claimants(self, place: Place) -> tuple[Pod, ...]:
        bit = self._held[place[0]].get(place[1])
        return () if bit is None else self._row(bit).pods

    def _row(self, bit: int) -> Row:
        pods = (self._pods[each] for each in self._shared.get(bit, (bit,)))
        return Row(self.hosts[bit], tuple(pod for pod in pods if pod is not None))

    def _why_impossible(self, place: Place) -> str:
        return why_impossible(*place, self._of_nodes[place[0]])

    def _note_impossible(self, before: Pod | None, after: Pod | None) -> None:
        for place in _places(before):
            if place in self._impossible:
                left = [pod for pod in self._impossible.pop(place) if not _is_same(pod, before)]
                if left:
                    self._impossible[place] = left
        for place in _places(after):
            if after is not None and self._why_impossible(place):
                self._impossible.setdefault(place, []).append(after)

    def _free_bits(self, host: int) -> None:
        self.version += 1
        for family, value in _places_of(self.hosts[host]):
            del self._held[family][value]
            self.indexes[family].put(host, None)
        self.hosts[host] = _NOBODY
        for bit in self._shared.pop(host, (host,)):
            pod = self._pods[bit]
            if pod is not None:
                self.index.drop(bit, pod)
            self._pods[bit] = None
            self._free.append(bit)

    def _give_bits(self, row: Row) -> None:
        self.version += 1
        bits = []
        for pod in row.pods:
            if not self._free:
                self._free.append(len(self._pods))
                self._pods.append(None)
                self.hosts.append(_NOBODY)
                # In both families, whichever the host has an address of: masks hold its bit in both.
                for index in self.indexes.values():
                    index.put(len(self._pods) - 1, None)
            bit = self._free.pop()
            self._pods[bit] = pod
            self.index.put(bit, pod)
            bits.append(bit)
        host = bits[0]
        self.hosts[host] = row.host
        if len(bits) > 1:
            self._shared[host] = tuple(bits)
        for family, value in _places_of(row.host):
            self._held[family][value] = host
            self.indexes[family].put(host, value)


def merge(gone: list[Row], come: list[Row], also_gone: Iterable[Row], also_come: Iterable[Row]) -> None:
    """Rows that went and came, and then others: what came and went again is neither."""
    for row in also_gone:
        at = next((at for at, other in enumerate(come) if _are_same(row, other)), None)
        if at is None:
            gone.append(row)
        else:
            del come[at]
    come.extend(also_come)


def _grouped(claimants: Mapping[Place, list[Pod]]) -> Iterator[Row]:
    """What one pod claims alone is one host, what some claim together another."""
    found: dict[tuple[str, ...], tuple[tuple[Pod, ...], dict[Family, int]]] = {}
    for (family, value), pods in claimants.items():
        if pods:
            ranked = tuple(sorted(pods, key=rank, reverse=True))
            key = tuple(map(key_of, ranked))
            found.setdefault(key, (ranked, {}))[1][family] = value
    for ranked, held in found.values():
        yield Row(Host(held.get(4), held.get(6)), ranked)


def _places(pod: Pod | None) -> list[Place]:
    """What a pod claims (NP-092, NP-100)."""
    if pod is None or pod.host_network or pod.terminal:
        return []
    return _places_of(Host(pod.v4, pod.v6))


def _places_of(host: Host) -> list[Place]:
    places: list[Place] = []
    if host.v4 is not None:
        places.append((4, host.v4))
    if host.v6 is not None:
        places.append((6, host.v6))
    return places


def _is_same(one: Pod, other: Pod | None) -> bool:
    """Whether they are one pod, as it was at two times."""
    return other is not None and (one.namespace, one.name) == (other.namespace, other.name)


def _are_same(one: Row, other: Row) -> bool:
    """Whether nothing is different about them."""
    return one.host == other.host and len(one.pods) == len(other.pods) and all(map(_is, one.pods, other.pods))


def _is(one: Pod, other: Pod) -> bool:
    return one is other
