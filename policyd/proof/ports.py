"""The ports of the node's bridges, and who is behind each: what both hooks of family bridge depend on."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

from policyd.kube.objects import Pod
from policyd.proof.cluster import FAMILIES, Cluster, Direction
from policyd.proof.meaning import Isolation, Meaning
from policyd_compiler.nft.keys import Family
from policyd_compiler.options import Options


@dataclass(frozen=True)
class Ports:
    """A node's bridges. A pod of which the port is not known may be behind any that is not known (NP-166)."""

    cluster: Cluster
    options: Options

    @property
    def others(self) -> frozenset[str]:
        """The ports that lead to no pod."""
        return frozenset(self.cluster.state.attachments.others)

    @property
    def guarded(self) -> tuple[str, ...]:
        """The ports that lead to pods, or may, some with a `*` behind them; none where nothing is guarded."""
        known = self.cluster.state.attachments
        if not known.bridges:
            return ()
        return tuple(sorted({*self.options.pod_interfaces, *known.ports, *self.names}))

    def is_of_pods(self, port: str) -> bool:
        """Whether what comes by a port comes from a pod."""
        return port not in self.others and any(
            port.startswith(name[:-1]) if name.endswith("*") else port == name for name in self.guarded
        )

    @cached_property
    def claims(self) -> tuple[tuple[Family, int, tuple[Pod, ...]], ...]:
        """Every address of the node's pods, and who claims it."""
        return tuple(
            (family, address, self.cluster.claims[family][address])
            for family in FAMILIES
            for address in self.cluster.local[family]
        )

    @cached_property
    def bound(self) -> Mapping[Family, frozenset[tuple[str, int]]]:
        """The ports of bridges, each with the addresses that are behind it (NP-162)."""
        return {
            family: frozenset(
                (port, address) for of, address, pods in self.claims if of == family for port in self.of(pods)
            )
            for family in FAMILIES
        }

    @cached_property
    def names(self) -> frozenset[str]:
        """The ports of which the pod is known."""
        return frozenset(port for pairs in self.bound.values() for port, _ in pairs)

    def of(self, pods: Iterable[Pod]) -> Iterator[str]:
        """The ports of bridges that are known to be those of pods."""
        for pod in pods:
            found = self.cluster.state.attachments.pods.get(f"{pod.namespace}/{pod.name}")
            if found is not None and found.bridge:
                yield found.interface

    @cached_property
    def macs(self) -> frozenset[tuple[str, int]]:
        """The ports of which the pod is known, each with the pod's hardware address, if that is known."""
        known = self.cluster.state.attachments.pods
        keys = {f"{pod.namespace}/{pod.name}" for _, _, pods in self.claims for pod in pods}
        found = (known[key] for key in keys if key in known)
        return frozenset((a.interface, a.mac) for a in found if a.bridge and a.mac is not None)

    def loose(self, family: Family) -> frozenset[int]:
        """The addresses of which no interface is known."""
        return frozenset(self.cluster.local[family]) - frozenset(self.cluster.attached[family])

    @cached_property
    def hidden(self) -> tuple[tuple[Family, int, tuple[Pod, ...]], ...]:
        """The addresses of which not every claimant's interface is known, and who claims them."""
        known = self.cluster.state.attachments.pods
        return tuple(
            claim
            for claim in self.claims
            if not all(f"{pod.namespace}/{pod.name}" in known for pod in claim[2])
        )

    def isolations(self, meaning: Meaning, direction: Direction) -> Mapping[str, tuple[Isolation, ...]]:
        """By port, all that isolates the pods behind it, in the family of a frame, whatever theirs is."""
        found: dict[str, dict[int, Isolation]] = {}
        for _, _, pods in self.claims:
            isolation = meaning.isolation_of(direction, pods)
            if isolation is not None:
                for port in self.of(pods):
                    found.setdefault(port, {})[id(isolation)] = isolation
        return {port: tuple(each.values()) for port, each in found.items()}

    def of_hidden(self, meaning: Meaning, direction: Direction) -> tuple[Isolation, ...]:
        """All that isolates pods of which the port is not known."""
        found = (meaning.isolation_of(direction, pods) for _, _, pods in self.hidden)
        return tuple({id(each): each for each in found if each is not None}.values())
