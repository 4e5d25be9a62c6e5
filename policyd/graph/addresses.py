"""Which pod claims an address, kept up to date pod by pod: of the plain case only, one claimant each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypeAlias

from policyd.cluster.ownership import Claims, addresses_of_nodes, why_impossible
from policyd.kube.objects import Node, Pod
from policyd_compiler.ir import Host
from policyd_compiler.one_host import CannotTell

#: By address who claims it alone; None: several pods do (NP-166).
_Held: TypeAlias = dict[int, Pod | None]


class Addresses:
    """The addresses of all pods that take part in policy, by family."""

    def __init__(self, claims: Claims, nodes: Iterable[Node]) -> None:
        self._of_nodes = addresses_of_nodes(nodes)
        pairs = list(zip(claims.hosts, claims.pods, strict=False))  # of a host's pods the first
        v4: _Held = {host.v4: pod for host, pod in pairs if host.v4 is not None}
        v6: _Held = {host.v6: pod for host, pod in pairs if host.v6 is not None}
        self._held: Mapping[int, _Held] = {4: v4, 6: v6}
        for host in (claims.hosts[bit] for bit in claims.rivals):
            for family, value in _values(host):
                self._held[family][value] = None

    def leave(self, pod: Pod) -> Host | None:
        """A pod goes: what it held, None if nothing. Raises CannotTell where others claim that, too."""
        host = self._claim(pod)
        for family, value in _values(host):
            if not _is_same(self._held[family].pop(value, None), pod):
                raise CannotTell("an address is claimed by several pods (NP-166)")
        return host

    def enter(self, pod: Pod) -> Host | None:
        """A pod comes: what it holds, None if nothing. Raises CannotTell where others claim that already."""
        host = self._claim(pod)
        for family, value in _values(host):
            if self._held[family].setdefault(value, pod) is not pod:
                raise CannotTell("an address is claimed by several pods (NP-166)")
        return host

    def _claim(self, pod: Pod) -> Host | None:
        if pod.host_network or pod.terminal or (pod.v4 is None and pod.v6 is None):
            return None
        host = Host(pod.v4, pod.v6)
        for family, value in _values(host):
            if why_impossible(family, value, self._of_nodes[family]):
                raise CannotTell("no pod can have an address that one claims (NP-167)")
        return host


def _is_same(one: Pod | None, other: Pod) -> bool:
    """Whether they are one pod, as it was at two times."""
    return one is not None and (one.namespace, one.name) == (other.namespace, other.name)


def _values(host: Host | None) -> list[tuple[int, int]]:
    pairs = () if host is None else ((4, host.v4), (6, host.v6))
    return [(family, value) for family, value in pairs if value is not None]
