"""Whom rules mean in one family, as masks of addresses: selectors, blocks, nodes, and who has a named port.

Of an address that several pods claim there is a mask of all claims: an entry that accepts means it if it
selects every claimant, one that denies if it selects any (NP-166).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple, assert_never

from policyd.kube.objects import IPBlock, LabelSelector, NodePeer, Pod, PodPeer, Protocol
from policyd.proof.cluster import Cluster, means_every_namespace
from policyd.proof.line import block, mask_of
from policyd.proof.points import Addresses
from policyd_compiler.nft.keys import Family


class Whom(NamedTuple):
    """The addresses that a rule certainly means, and those that it may mean."""

    certain: int
    possible: int

    def only(self, other: Whom) -> Whom:
        """Those that another means, too."""
        return Whom(self.certain & other.certain, self.possible & other.possible)


@dataclass(frozen=True)
class Peers:
    """The peers of rules in one family."""

    cluster: Cluster
    family: Family
    line: Addresses
    _labelled: dict[LabelSelector, int] = field(default_factory=dict)

    def of(self, peers: Iterable[PodPeer | IPBlock | NodePeer] | None, namespace: str | None) -> Whom:
        """Whom the peers of a rule mean; None is everybody (NP-014).

        Pods without a namespaceSelector are those of `namespace`, or of all namespaces.
        """
        if peers is None:
            return Whom(self.line.full, self.line.full)
        certain = possible = 0
        for peer in peers:
            match peer:
                case PodPeer():
                    held, touched = self._addresses(self._selected(peer, namespace))
                    certain, possible = certain | held, possible | touched
                case IPBlock():
                    found = self._block(peer)
                    certain, possible = certain | found, possible | found
                case NodePeer(selector):
                    of_nodes = self.cluster.addresses_of_nodes(selector)[self.family]
                    found = self.line.mask((address, address) for address in of_nodes)
                    certain, possible = certain | found, possible | found
                case _:
                    assert_never(peer)
        return Whom(certain, possible)

    def exposing(self, name: str, protocol: Protocol) -> Mapping[int, Whom]:
        """By number, who has this name for it (NP-051)."""
        return self._by_name.get((name, protocol), {})

    @cached_property
    def pods(self) -> int:
        """The addresses of all pods."""
        return mask_of((self.line.bit(a) for a in self.cluster.claims[self.family]), self.line.count)

    def _selected(self, peer: PodPeer, namespace: str | None) -> int:
        """The claims of the pods that a peer selects."""
        pods = self._with_labels(peer.pods)
        if namespace is None and means_every_namespace(peer):
            return pods
        if peer.namespaces is None:
            return pods & self._in((namespace or "",))
        return pods & self._in(self.cluster.namespaces(peer.namespaces))

    def _block(self, of: IPBlock) -> int:
        if of.cidr is None or of.cidr.family != self.family:
            return 0
        found = self.line.mask((block(of.cidr.network, of.cidr.prefix, self.family),))
        for cidr in of.excepts:
            if cidr.family == self.family:
                found &= ~self.line.mask((block(cidr.network, cidr.prefix, self.family),))
        return found

    # --- claims ----------------------------------------------------------------------------------------

    @cached_property
    def _claims(self) -> tuple[tuple[int, Pod], ...]:
        """Every claim with its bit: the address's for its first claimant, else one behind all addresses."""
        found, further = [], self.line.count
        for address, pods in self.cluster.claims[self.family].items():
            found.append((self.line.bit(address), pods[0]))
            for pod in pods[1:]:
                found.append((further, pod))
                further += 1
        return tuple(found)

    @cached_property
    def _disputed(self) -> tuple[tuple[int, int], ...]:
        """The addresses with several claimants: its bit, and all bits of claims to it."""
        found, further = [], self.line.count
        for address, pods in self.cluster.claims[self.family].items():
            if len(pods) > 1:
                bit, more = self.line.bit(address), len(pods) - 1
                found.append((bit, 1 << bit | (1 << more) - 1 << further))
                further += more
        return tuple(found)

    def _addresses(self, claims: int) -> Whom:
        """The addresses to which every claim is among these, and those to which any is."""
        certain = possible = claims & self.line.full
        for bit, every in self._disputed:
            certain = certain | 1 << bit if not every & ~claims else certain & ~(1 << bit)
            possible = possible | 1 << bit if every & claims else possible
        return Whom(certain, possible)

    def _mask(self, bits: Iterable[int]) -> int:
        return mask_of(bits, self.line.count + len(self._claims))

    @cached_property
    def _everybody(self) -> int:
        return self._mask(bit for bit, _ in self._claims)

    @cached_property
    def _by_namespace(self) -> Mapping[str, int]:
        found: dict[str, list[int]] = {}
        for bit, pod in self._claims:
            found.setdefault(pod.namespace, []).append(bit)
        return {name: self._mask(bits) for name, bits in found.items()}

    @cached_property
    def _by_label(self) -> Mapping[str, dict[str, list[int]]]:
        found: dict[str, dict[str, list[int]]] = {}
        for bit, pod in self._claims:
            for key, value in pod.labels:
                found.setdefault(key, {}).setdefault(value, []).append(bit)
        return found

    def _in(self, namespaces: Iterable[str]) -> int:
        found = 0
        for name in namespaces:
            found |= self._by_namespace.get(name, 0)
        return found

    def _with_labels(self, selector: LabelSelector) -> int:
        """The claims of pods with labels that a selector matches."""
        found = self._labelled.get(selector)
        if found is None:
            found = self._everybody
            for requirement in selector.requirements:
                values = self._by_label.get(requirement.key, {})
                wanted = requirement.values if requirement.operator in ("In", "NotIn") else values
                having = self._mask(bit for value in wanted for bit in values.get(value, ()))
                found &= having if requirement.operator in ("In", "Exists") else ~having
            self._labelled[selector] = found
        return found

    @cached_property
    def _by_name(self) -> Mapping[tuple[str, Protocol], Mapping[int, Whom]]:
        return dict(self._named())

    def _named(self) -> Iterator[tuple[tuple[str, Protocol], Mapping[int, Whom]]]:
        found: dict[tuple[str, Protocol], dict[int, list[int]]] = {}
        for bit, pod in self._claims:
            for port in pod.ports:
                found.setdefault((port.name, port.protocol), {}).setdefault(port.number, []).append(bit)
        for name, numbers in found.items():
            yield name, {number: self._addresses(self._mask(bits)) for number, bits in numbers.items()}


class Blocks(Peers):
    """The peers of rules where no selector means anybody; a named port is that of whoever has an address."""

    def _selected(self, peer: PodPeer, namespace: str | None) -> int:  # noqa: ARG002 nobody
        return 0


class Strangers(Peers):
    """The peers of rules among addresses that are nobody's, whoever may claim them: no selector means one."""

    @cached_property
    def _claims(self) -> tuple[tuple[int, Pod], ...]:
        return ()

    @cached_property
    def _disputed(self) -> tuple[tuple[int, int], ...]:
        return ()


class Anybody(Strangers):
    """The peers of rules for a sender without any address: those that mean everybody."""

    def _block(self, of: IPBlock) -> int:  # noqa: ARG002 none holds it
        return 0
