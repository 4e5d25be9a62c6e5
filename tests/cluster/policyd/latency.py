"""From the API server's answer to the first packet that meets the change, many times over."""

from __future__ import annotations

import random
import secrets
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from tests.cluster.client import Manifest
from tests.cluster.cluster import Cluster
from tests.cluster.failures import ClusterFailed
from tests.cluster.policyd.api import Api, opened_api
from tests.cluster.policyd.pods import Place, Pod, Pods, cluster_policy, policy
from tests.cluster.policyd.stream import Stream

#: What is promised of 99 changes in 100, where the processors had this share of the time left.
P99_SECONDS, IDLE_SHARE = 0.1, 0.2
#: Elsewhere only what is broken shall fail: a change that waits for a timer of seconds, or most of them for
#: one of half a second.
WORST_SECONDS, MEDIAN_SECONDS = 5.0, 0.4
IN_FORCE_SECONDS = 30.0
#: Between two changes, so that each comes at another moment of what the agent does beside.
REST_SECONDS = (0.02, 0.2)
SOURCE, TARGET = "source", "target"
#: The label that takes a namespace out of the subject of the ClusterNetworkPolicy.
EXEMPT = "exempt"


@dataclass(frozen=True, slots=True)
class Change:
    """One request that changes whether the stream arrives; `arrives`: whether it does afterwards."""

    kind: str
    arrives: bool
    request: Callable[[Api], float]


#: From the names of the target's namespace and of the source's, and the label of the latter.
Cycle: TypeAlias = Callable[[str, str, str], list[Change]]


@dataclass(frozen=True, slots=True)
class Subject:
    """Two pods on two nodes, and the changes that decide whether the one reaches the other."""

    cluster: Cluster
    source: Pod
    target: Pod
    cycle: list[Change]

    def measure(self, samples: int) -> Mapping[str, list[float]]:
        """Make every kind of change at least so many times; the seconds by kind of change."""
        found: dict[str, list[float]] = {change.kind: [] for change in self.cycle}
        address = self.target.addresses[0]
        with (
            opened_api(self.cluster.plane) as api,
            Stream(self.source.network, self.target.network, address) as stream,
        ):
            if stream.wait_for_arrival(0, IN_FORCE_SECONDS) is None:
                raise ClusterFailed("without a policy no packet arrives")
            while min(map(len, found.values())) < samples:
                for change in self.cycle:
                    found[change.kind].append(_measure(change, api, stream))
                    time.sleep(random.uniform(*REST_SECONDS))
        return found


@contextmanager
def opened_subject(cluster: Cluster, cycle: Cycle) -> Iterator[Subject]:
    """Start the pods."""
    with Pods(cluster) as pods:
        team = f"team-{secrets.token_hex(3)}"
        namespace, peers = pods.namespace("latency"), pods.namespace("peers", {"team": team})
        target = pods.start(namespace, {TARGET: Place("n1", {"app": TARGET})})[TARGET]
        source = pods.start(peers, {SOURCE: Place("n2", {"role": "friend"})})[SOURCE]
        yield Subject(cluster, source, target, cycle(namespace, peers, team))


def changes(namespace: str, peers: str, team: str) -> list[Change]:
    """A cycle of changes that ends as it began: without a policy."""
    deny = policy("deny", namespace, podSelector={"matchLabels": {"app": TARGET}}, policyTypes=["Ingress"])
    friends = {"podSelector": {"matchLabels": {"role": "friend"}}}
    allow = [{"from": [{**friends, "namespaceSelector": {"matchLabels": {"team": team}}}]}]
    pod: Manifest = {"kind": "Pod", "metadata": {"name": SOURCE, "namespace": peers}}
    its_namespace: Manifest = {"kind": "Namespace", "metadata": {"name": peers}}

    def rules(ingress: object) -> Callable[[Api], float]:
        return lambda api: api.patch(deny, {"spec": {"ingress": ingress}})

    return [
        Change("policy created", False, lambda api: api.create(deny)),
        Change("policy changed", True, rules(allow)),
        Change("pod label", False, label(pod, role="foe")),
        Change("pod label", True, label(pod, role="friend")),
        Change("namespace label", False, label(its_namespace, team="strangers")),
        Change("namespace label", True, label(its_namespace, team=team)),
        Change("policy changed", False, rules([])),
        Change("policy deleted", True, lambda api: api.delete(deny)),
    ]


def tier_changes(namespace: str, peers: str, team: str) -> list[Change]:
    """A cycle of changes of an administrator, which ends as it began: without a policy.

    Its subject is every pod of the cluster, but those of namespaces with a label.
    """
    rule = {"action": "Deny", "from": [{"namespaces": {"matchLabels": {"team": team}}}]}
    exempt = {"key": EXEMPT, "operator": "NotIn", "values": ["yes"]}
    subject = {"namespaces": {"matchExpressions": [exempt]}}
    deny = cluster_policy(f"deny-{team}", "Admin", subject, ingress=[rule])
    own: Manifest = {"kind": "Namespace", "metadata": {"name": namespace}}
    peer: Manifest = {"kind": "Namespace", "metadata": {"name": peers}}

    def action(word: str) -> Callable[[Api], float]:
        return lambda api: api.patch(deny, {"spec": {"ingress": [{**rule, "action": word}]}})

    return [
        Change("ClusterNetworkPolicy created", False, lambda api: api.create(deny)),
        Change("its action changed", True, action("Accept")),
        Change("its action changed", False, action("Deny")),
        Change("label of a peer's namespace", True, label(peer, team="strangers")),
        Change("label of a peer's namespace", False, label(peer, team=team)),
        Change("label of a subject's namespace", True, label(own, **{EXEMPT: "yes"})),
        Change("label of a subject's namespace", False, label(own, **{EXEMPT: "no"})),
        Change("ClusterNetworkPolicy deleted", True, lambda api: api.delete(deny)),
    ]


def label(item: Manifest, **labels: str) -> Callable[[Api], float]:
    """Give the request that changes labels of an object."""
    return lambda api: api.patch(item, {"metadata": {"labels": labels}})


def check(found: Mapping[str, list[float]], idle: float) -> None:
    """Hold the figures against what is promised, or against what a busy machine, too, can do."""
    for kind, seconds in found.items():
        assert idle < IDLE_SHARE or quantile(seconds, 0.99) <= P99_SECONDS, kind
        assert quantile(seconds, 0.5) < MEDIAN_SECONDS, kind
        assert max(seconds) < WORST_SECONDS, kind


@contextmanager
def measured_idle() -> Iterator[Callable[[], float]]:
    """Give what tells, after the block, how much of the time this machine's processors had nothing to do."""
    before = _processor_times()
    spent: list[int] = []
    yield lambda: spent[3] / sum(spent)
    spent.extend(after - then for then, after in zip(before, _processor_times(), strict=True))


def _processor_times() -> list[int]:
    """Read ticks in user, nice, system, idle, iowait, irq, softirq, steal (proc_stat(5))."""
    first, _, _ = Path("/proc/stat").read_text().partition("\n")
    return [int(ticks) for ticks in first.split()[1:9]]


def table(found: Mapping[str, list[float]]) -> str:
    """Write the figures as rows of a table, in milliseconds."""
    rows = ["| change | samples | p50 | p90 | p99 | longest |", "|---|---|---|---|---|---|"]
    for kind, seconds in found.items():
        figures = [1000 * quantile(seconds, share) for share in (0.5, 0.9, 0.99, 1)]
        cells = " | ".join(f"{figure:.0f} ms" for figure in figures)
        rows.append(f"| {kind} | {len(seconds)} | {cells} |")
    return "\n".join(rows)


def quantile(values: Iterable[float], share: float) -> float:
    """Give the least value that is not exceeded by such a share of them."""
    ordered = sorted(values)
    return ordered[max(0, -int(-share * len(ordered) // 1) - 1)]


def _measure(change: Change, api: Api, stream: Stream) -> float:
    first = stream.now()
    answered = change.request(api)
    wait = stream.wait_for_arrival if change.arrives else stream.wait_for_loss
    met = wait(first, IN_FORCE_SECONDS)
    if met is None:
        raise ClusterFailed(f"{change.kind}: not in force {IN_FORCE_SECONDS:g} s after the answer")
    return stream.sent_at(met) - answered
