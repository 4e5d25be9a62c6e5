"""Which pod holds an address. Only a pod that holds one takes part in policy, as subject and as peer."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from policyd.kube.cidr import parse_ip, print_ip
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
    owners: dict[tuple[int, int], Pod] = {}
    conflicts: list[str] = []
    for pod in pods:
        # Host-network pods share the node's addresses (NP-092); a terminal pod's may be reused (NP-100).
        if pod.host_network or pod.terminal:
            continue
        for text in pod.ips:
            address = parse_ip(text)
            other = owners.setdefault(address, pod)
            if other is pod:
                continue
            winner, loser = (pod, other) if _rank(pod) > _rank(other) else (other, pod)
            owners[address] = winner
            conflicts.append(
                f"pods {_key(winner)} and {_key(loser)} both claim {print_ip(*address)}; "
                f"{_key(winner)} counts, as it is the newer"
            )
    held: dict[str, dict[int, int]] = {}
    by_key: dict[str, Pod] = {}
    for (family, value), pod in owners.items():
        key = _key(pod)
        held.setdefault(key, {})[family] = value
        by_key[key] = pod
    rows = sorted(((h.get(4), h.get(6), key) for key, h in held.items()), key=_by_address)
    return Owned(
        tuple(by_key[key] for _, _, key in rows),
        tuple(Host(v4, v6) for v4, v6, _ in rows),
        tuple(sorted(conflicts)),
    )


def _rank(pod: Pod) -> tuple[bool, str, str]:
    """Not deleting, then the newest, then the greatest uid."""
    return (not pod.deleting, pod.started, pod.uid)


def _by_address(row: tuple[int | None, int | None, str]) -> tuple[int, int, str]:
    v4, v6, key = row
    return (1 << 32 if v4 is None else v4, -1 if v6 is None else v6, key)


def _key(pod: Pod) -> str:
    return f"{pod.namespace}/{pod.name}"
