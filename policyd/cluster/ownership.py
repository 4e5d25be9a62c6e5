"""Which pod holds an address. Only a pod that holds one takes part in policy, as subject and as peer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from policyd.kube.cidr import print_ip
from policyd.kube.objects import Pod
from policyd_compiler.ir import Host


@dataclass(frozen=True, slots=True)
class Owned:
    """Pods that hold at least one address, with what they hold, in order of their addresses."""

    pods: tuple[Pod, ...]
    hosts: tuple[Host, ...]
    conflicts: tuple[str, ...]


def own_addresses(pods: Iterable[Pod]) -> Owned:
    """Give every address to one pod. The loser of a conflict counts in nothing by that address (NP-110)."""
    owners: dict[int, dict[int, Pod]] = {4: {}, 6: {}}
    conflicts: list[str] = []
    # Host-network pods share the node's addresses (NP-092); a terminal pod's may be reused (NP-100).
    eligible = [pod for pod in pods if not pod.host_network and not pod.terminal]
    for family, by_address in owners.items():
        for pod in eligible:
            value = pod.v4 if family == 4 else pod.v6
            if value is None:
                continue
            other = by_address.setdefault(value, pod)
            if other is pod:
                continue
            winner, loser = (pod, other) if _rank(pod) > _rank(other) else (other, pod)
            by_address[value] = winner
            conflicts.append(
                f"pods {_key(winner)} and {_key(loser)} both claim {print_ip(family, value)}; "
                f"{_key(winner)} counts, as it is the newer"
            )
    rows: list[tuple[Pod, Host]] = []
    for pod in eligible:
        v4 = pod.v4 if pod.v4 is not None and owners[4][pod.v4] is pod else None
        v6 = pod.v6 if pod.v6 is not None and owners[6][pod.v6] is pod else None
        if v4 is not None or v6 is not None:
            rows.append((pod, Host(v4, v6)))
    rows.sort(key=_by_address)
    holding, hosts = zip(*rows, strict=True) if rows else ((), ())
    return Owned(holding, hosts, tuple(sorted(conflicts)))


def _rank(pod: Pod) -> tuple[bool, str, str]:
    """Not deleting, then the newest, then the greatest uid."""
    return (not pod.deleting, pod.started, pod.uid)


def _by_address(row: tuple[Pod, Host]) -> tuple[int, int]:
    """An order that depends on nothing else: no two pods hold one address."""
    _, host = row
    return (1 << 32 if host.v4 is None else host.v4, -1 if host.v6 is None else host.v6)


def _key(pod: Pod) -> str:
    return f"{pod.namespace}/{pod.name}"
