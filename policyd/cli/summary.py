"""A ruleset for people: which pods are isolated by which policies, and how large it is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from policyd.cluster.state import ClusterState
from policyd.kube.objects import ClusterNetworkPolicy, Pod
from policyd.pipeline import Build
from policyd_compiler.addr import print_address
from policyd_compiler.ir import Endpoint, Host, Isolation

#: Names in a cell; the rest is counted.
_NAMED = 4


def print_summary(state: ClusterState, built: Build) -> str:
    """The summary of one node's ruleset, as text."""
    snapshot, stats = built.snapshot, built.stats
    isolated = f"{stats.isolated} isolated, by {_count(stats.policies, 'policy', 'policies')}"
    lines = [f"node {snapshot.node}: {_count(stats.pods, 'pod', 'pods')}, {isolated}"]
    pods = [
        (endpoint.key, _addresses(endpoint.host), _isolation(endpoint.ingress), _isolation(endpoint.egress))
        for endpoint in snapshot.endpoints
    ]
    lines.extend(_table(("POD", "ADDRESSES", "INGRESS", "EGRESS"), pods))
    lines.extend(_table(("POLICY", "ISOLATES IN", "PODS OF THIS NODE"), _policies(state, snapshot.endpoints)))
    outside = [
        f"{key} ({why})"
        for key, pod in sorted(state.pods.items())
        if pod.node == snapshot.node and (why := _why(pod, built))
    ]
    if outside:
        lines.extend(("", f"outside of policy: {', '.join(outside)}"))
    sizes = [(str(stats.sets), str(stats.elements), str(stats.chains), str(stats.rules))]
    lines.extend(_table(("SETS AND MAPS", "ELEMENTS", "CHAINS", "RULES"), sizes))
    return "\n".join(lines) + "\n"


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> Iterator[str]:
    if not rows:
        return
    yield ""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for row in (head, *rows):
        yield "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


def _addresses(host: Host) -> str:
    v4 = () if host.v4 is None else (print_address(4, host.v4),)
    v6 = () if host.v6 is None else (print_address(6, host.v6),)
    return ", ".join((*v4, *v6))


def _isolation(isolation: Isolation | None) -> str:
    return "open" if isolation is None else _names([origin.policy for origin in isolation.policies])


def _policies(state: ClusterState, endpoints: tuple[Endpoint, ...]) -> list[tuple[str, str, str]]:
    selected: dict[str, list[str]] = {}
    for endpoint in endpoints:
        isolations = (i for i in (endpoint.ingress, endpoint.egress) if i is not None)
        for key in sorted({origin.policy for isolation in isolations for origin in isolation.policies}):
            selected.setdefault(key, []).append(endpoint.key)
    rows = []
    policies = {key: item for kind in state.kinds if kind.policy for key, item in state.all(kind).items()}
    for key, policy in sorted(policies.items()):
        directions = [word for word in ("ingress", "egress") if getattr(policy, word) is not None]
        tier = f" ({policy.tier} {policy.priority})" if isinstance(policy, ClusterNetworkPolicy) else ""
        rows.append((key + tier, ", ".join(directions), _names(selected.get(key, []))))
    return rows


def _names(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return (", ".join(names[:_NAMED]) or "none") + more


def _why(pod: Pod, built: Build) -> str:
    """Why a pod is neither judged nor a peer; "" if it is."""
    if pod.host_network:
        return "on the network of the node"
    if pod.terminal:
        return "terminal"
    if not pod.has_address:
        return "no address yet"
    judged = {(family, e.host.address(family)) for e in built.snapshot.endpoints for family in (4, 6)}
    counts = not judged.isdisjoint({(4, pod.v4), (6, pod.v6)} - {(4, None), (6, None)})
    return "" if counts else "no address that a pod can have"
