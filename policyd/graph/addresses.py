"""Which pod claims an address, kept up to date pod by pod: of the plain case only, one claimant each."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from policyd.cluster.ownership import Claims, addresses_of_nodes, why_impossible
from policyd.kube.objects import Node, Pod
from policyd_compiler.ir import Host
from policyd_compiler.one_host import CannotTell

#: The key of an address that several pods claim (NP-166).
_SEVERAL = ""


class Addresses:
    """The addresses of all pods that take part in policy, by family."""

    def __init__(self, claims: Claims, nodes: Iterable[Node]) -> None:
        self._of_nodes = addresses_of_nodes(nodes)
        self._held: Mapping[int, dict[int, str]] = {4: {}, 6: {}}
        for bit, host in enumerate(claims.hosts):
            pod = claims.pods[bit]
            key = _SEVERAL if bit in claims.rivals else f"{pod.namespace}/{pod.name}"
            for family, value in _values(host):
                self._held[family][value] = key

    def leave(self, key: str, pod: Pod) -> Host | None:
        """A pod goes: what it held, None if nothing. Raises CannotTell where others claim that, too."""
        host = self._claim(pod)
        for family, value in _values(host):
            if self._held[family].pop(value, None) != key:
                raise CannotTell("an address is claimed by several pods (NP-166)")
        return host

    def enter(self, key: str, pod: Pod) -> Host | None:
        """A pod comes: what it holds, None if nothing. Raises CannotTell where others claim that already."""
        host = self._claim(pod)
        for family, value in _values(host):
            if self._held[family].setdefault(value, key) != key:
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


def _values(host: Host | None) -> list[tuple[int, int]]:
    pairs = () if host is None else ((4, host.v4), (6, host.v6))
    return [(family, value) for family, value in pairs if value is not None]
