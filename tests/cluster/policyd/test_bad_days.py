"""Bad days of a real cluster: what is denied stays denied, what is allowed flows, and then all is well."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from policyd.agent.reporting.conditions import STALE_SECONDS
from policyd.kube.registry import KINDS
from policyd.saved_state import load_state
from policyd_compiler.nft.json_parser import parse_listing
from policyd_compiler.nft.stamp import unstamp
from policyd_compiler.plan import differences
from tests.cluster.addresses import API_PORT, CONTROL_PLANE, NODES
from tests.cluster.certificates import Authority
from tests.cluster.client import Manifest
from tests.cluster.cluster import NODE_SECONDS, Cluster
from tests.cluster.failures import wait_until
from tests.cluster.policyd.api import opened_api
from tests.cluster.policyd.day import DENIED, FLOW_SECONDS, WEB, Day, opened_day, selecting
from tests.cluster.policyd.image import image_archive
from tests.cluster.policyd.installation import NAMESPACE, PLAIN, TABLE, Installation, manifest
from tests.cluster.policyd.pods import policy
from tests.cluster.policyd.stream import Stream
from tests.cluster.policyd.unruly import (
    Churn,
    LooseAgent,
    killed_again_and_again,
    saved_ruleset,
    strangers,
    tasks,
)

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

Tell = Callable[[str], None]

KILLS, SEED = 100, 1
EARLY, LATE = "early", "late"
#: Kubelets look at what they have mounted once a minute, and a half.
KUBELET_SECONDS = 180
#: A restored API server keeps a watch from its future open and silent: after two silences one lists again.
#: If what the cluster writes reaches that future earlier, the watch goes on as if nothing were missing, and
#: the list that was planned when the connection broke shows the difference: within five minutes.
NOTICED_SECONDS, CHANGES_SINCE_BACKUP = 400, 2000
#: By how many revisions versions are moved forward, for lack of knowledge how many were lost.
REVISIONS = 1_000_000


@pytest.fixture
def installation(own_cluster: Cluster) -> Installation:
    """Give a cluster of the test's own, which it may break."""
    return Installation(own_cluster, image_archive())


@pytest.fixture
def day(policyd: Installation) -> Iterator[Day]:
    """Give policyd as users install it, with packets flowing."""
    with opened_day(policyd) as found:
        early = policy(EARLY, found.namespace, **selecting(EARLY), policyTypes=["Egress"])
        policyd.cluster.apply(early)
        yield found


def test_without_an_api_server_what_is_in_force_stays(day: Day, tell: Tell) -> None:
    plane = day.cluster.plane
    plane.apiserver.stop()
    failing = "watch-failing"
    told = day.waits_for(lambda node: failing in day.conditions(node), "no trouble is told", seconds=30)
    for node in NODES:  # what is in force may well be right still
        assert day.installation.ask(node, "/readyz")[0] == 200
    stale = day.waits_for(
        lambda node: "watch-stale" in day.installation.ask(node, "/readyz")[1],
        "the agents stay ready, however old what they know",
        seconds=STALE_SECONDS + 60,
    )
    for node in NODES:
        assert day.installation.ask(node, "/livez")[0] == 200
        assert day.metric(node, "policyd_enforcing") == 0
        staleness = [
            day.metric(node, f'policyd_watch_staleness_seconds{{kind="{kind}"}}') for kind in KINDS.names
        ]
        assert max(staleness) > STALE_SECONDS
    plane.apiserver.start()
    plane.wait_until_ready()
    tell(f"API server away: told after {told:.1f} s, unready after {told + stale:.0f} s")
    tell(f"API server back: well {day.recovers():.0f} s later; {day.is_well()}")
    assert day.restarts() == 0


def test_a_version_that_was_compacted_away_costs_a_new_list(day: Day, tell: Tell) -> None:
    plane = day.cluster.plane
    expired = 'policyd_watch_restarts_total{kind="NetworkPolicy",reason="expired"}'
    before = {node: day.metric(node, expired) for node in NODES}
    plane.apiserver.stop()
    with cut_off(day):
        plane.apiserver.start()
        plane.wait_until_ready()
        # Missed by everybody: one policy goes, another comes.
        day.cluster.delete("networkpolicy", "early", namespace=day.namespace)
        day.cluster.apply(policy("late", day.namespace, **selecting(LATE), policyTypes=["Egress"]))
        plane.compact()
        plane.apiserver.restart()
        plane.wait_until_ready()
    met = day.waits_for(
        lambda node: day.metric(node, expired) > before[node], "no watch met a 410", seconds=90
    )
    tell(f"compacted: refused {met:.0f} s after the way was free, well {day.recovers():.0f} s later")
    tell(day.is_well())
    assert day.restarts() == 0


def test_certificates_are_rotated(day: Day, tell: Tell) -> None:
    """First the API server's alone, then its authority, as Kubernetes' manual has it done."""
    cluster, plane = day.cluster, day.cluster.plane
    plane.sign()
    plane.apiserver.restart()
    plane.wait_until_ready()
    tell(f"another certificate of the same authority: well {day.recovers():.0f} s later; {day.is_well()}")

    old = Pair.read(plane.authority)
    plane.authority.make()
    new = Pair.read(plane.authority)
    trust(cluster, old, new)
    known = pods_know(day, old, new)
    trust(cluster, new, old)
    tell(f"pods knew of another authority {known:.0f} s after it was published")
    tell(f"it signed everything: well {day.recovers():.0f} s later; {day.is_well()}")

    trust(cluster, new)
    known = pods_know(day, new)
    tell(f"pods knew that the old one is worth nothing any more {known:.0f} s after it was withdrawn")
    tell(f"well {day.recovers():.0f} s later; {day.is_well()}")
    assert day.restarts() == 0


def test_a_token_that_is_refused_is_read_again(day: Day, tell: Tell) -> None:
    cluster, plane = day.cluster, day.cluster.plane
    before = {node: mounted(day, node, "token") for node in NODES}
    plane.authority.make_service_account_key()  # no token of before is worth anything
    plane.apiserver.restart()
    plane.wait_until_ready()
    refused = 'policyd_watch_restarts_total{kind="NetworkPolicy",reason="unauthorized"}'
    day.waits_for(lambda node: day.metric(node, refused) > 1, "no agent is refused", seconds=60)
    day.waits_for(lambda node: "watch-failing" in day.conditions(node), "no trouble is told", seconds=10)
    cluster.controllers.restart()
    for node in cluster.nodes.values():  # a kubelet asks for other tokens when these end, or when it starts
        node.kubelet.restart()
    day.waits_for(
        lambda node: mounted(day, node, "token") != before[node], "no other token", seconds=KUBELET_SECONDS
    )
    tell(f"token refused: well {day.recovers():.0f} s after another was there")
    tell(day.is_well())
    assert day.restarts() == 0


def test_rights_that_are_taken_away_are_missed_aloud(day: Day, tell: Tell) -> None:
    cluster = day.cluster
    cluster.kubectl("delete", "clusterrolebinding", "policyd")
    cluster.plane.apiserver.restart()  # a watch that runs is not asked for its rights again
    cluster.plane.wait_until_ready()
    told = day.waits_for(
        lambda node: "watch-forbidden" in day.installation.ask(node, "/readyz")[1],
        "the agents stay ready without their rights",
        seconds=60,
    )
    for node in NODES:
        assert day.metric(node, "policyd_enforcing") == 0
        assert day.metric(node, 'policyd_condition{condition="watch-forbidden"}') == 1
    day.waits_for(lambda node: "WatchForbidden" in events(cluster, node), "no Event says so", seconds=60)
    cluster.delete("networkpolicy", "early", namespace=day.namespace)
    cluster.kubectl("apply", "--filename", manifest("install", PLAIN))
    tell(f"rights: missed after {told:.1f} s, well {day.recovers():.0f} s after they were given back")
    tell(day.is_well())
    assert day.restarts() == 0


@pytest.mark.parametrize(
    ("changes", "bump"),
    [(CHANGES_SINCE_BACKUP, 0), (0, 0), (0, REVISIONS)],
    ids=["old", "new", "bumped"],
)
def test_a_backup_of_etcd_is_restored(day: Day, tell: Tell, changes: int, bump: int) -> None:
    """An old one, a new one, and one whose versions are moved forward, as etcd's manual has it done."""
    cluster = day.cluster
    backup = cluster.plane.snapshot()
    versions_grow(day, changes)
    cluster.delete("networkpolicy", EARLY, namespace=day.namespace)
    cluster.apply(policy(LATE, day.namespace, **selecting(LATE), policyTypes=["Egress"]))
    day.wait_until_right()
    assert [policies(day, node) for node in NODES] == [{"web", LATE}] * 2
    cluster.restore(backup, bump_revision=bump)
    noticed = day.waits_for(
        lambda node: policies(day, node) == {"web", EARLY},
        "the agents do not notice that the cluster is another",
        seconds=NOTICED_SECONDS,
    )
    tell(f"restored: noticed after {noticed:.0f} s, well {day.recovers():.0f} s later; {day.is_well()}")
    assert day.restarts() == 0


def test_a_node_that_restarts_without_an_api_server_enforces_what_was_saved(day: Day, tell: Tell) -> None:
    """No kubelet starts a pod then; what runs is an agent that something else has started, and strangers."""
    cluster, node = day.cluster, day.cluster.node("n1")
    agent = LooseAgent(day.installation, node)
    tell(f"before: {day.flowed()}")
    day.stop_flow()
    cluster.plane.apiserver.stop()
    node.power_off()
    node.boot()
    node.kubelet.start()
    assert TABLE not in day.installation.tables("n1")
    saved = load_state(saved_ruleset(node), "n1", TABLE[1])
    assert saved is not None
    with strangers(node) as (odd, even, address), Stream(odd, even, address) as stream:
        assert stream.wait_for_arrival(0, FLOW_SECONDS) is not None
        began = stream.now()
        agent.start()
        closed = stream.wait_for_loss(began, FLOW_SECONDS)
        assert closed is not None, "whom nobody knows may speak"
        tell(f"restored {stream.sent_at(closed) - stream.sent_at(began):.1f} s after the agent was started")
        listing = node.run("nft", "--json", "list", "table", *TABLE).stdout
        held = parse_listing(listing, TABLE[1])
        assert held is not None
        assert differences(unstamp(held)[0], saved.table) == ()
        why = "the agent does not say that it knows nothing of the cluster yet"
        wait_until(lambda: "syncing" in agent.told(), why, seconds=FLOW_SECONDS, check=cluster.check)
        assert len(tasks(node)) == 1  # the agent
        agent.kill()
    cluster.plane.apiserver.start()
    cluster.plane.wait_until_ready()
    comes_back(day, "n1")
    day.flow()
    tell(day.is_well())


def test_pods_are_closed_from_the_first_moment_if_a_node_loads_what_was_saved(day: Day, tell: Tell) -> None:
    """Which a unit of systemd does before kubelet starts: agents and other pods start in any order."""
    node = day.cluster.node("n1")
    tell(f"before: {day.flowed()}")
    day.stop_flow()
    node.power_off()
    node.boot()
    node.run("nft", "--file", "/var/lib/policyd/policyd.nft")
    node.kubelet.start()
    with ThreadPoolExecutor() as pool:
        back = pool.submit(comes_back, day, "n1")
        web, foe = (day.pods.appears("n1", day.namespace, f"{role}-n1") for role in (WEB, DENIED))
        with Stream(foe.network, web.network, web.addresses[0]) as stream:
            back.result()
            day.wait_until_right()
            assert stream.arrived() == []
            tell(f"of {stream.now()} denied packets of a node's first seconds none passed")
    day.flow()
    tell(day.is_well())


def test_agents_that_are_killed_again_and_again(day: Day, tell: Tell) -> None:
    cluster, installation = day.cluster, day.installation
    agents = [LooseAgent(installation, node) for node in cluster.nodes.values()]
    installation.kubectl("delete", "daemonset", "policyd", seconds=120)
    began = [kernel_generation(day, node) for node in NODES]
    with Churn(day, SEED) as churn, ThreadPoolExecutor() as pool:
        killing = [
            pool.submit(killed_again_and_again, agent, KILLS // len(agents), SEED + number)
            for number, agent in enumerate(agents)
        ]
        enforced = [each.result() for each in killing]
    told = day.flowed()
    installation.install()
    swaps = sum(installation.generation(node) for node in NODES) - sum(began)
    assert sum(enforced) == KILLS // 2
    assert swaps > KILLS // 2
    tell(f"{KILLS} kills, half of them at work, during {churn.changes} changes and {swaps} swaps: {told}")
    tell(day.is_well())


def comes_back(day: Day, name: str) -> None:
    """Wait until a node that was restarted has its pods again, and find their networks."""
    cluster, old = day.cluster, {pod.addresses for pod in day.placed.values()}
    cluster._connect(cluster.node(name))
    here = [pod for pod in day.placed if pod.endswith(name)]

    def again() -> bool:
        found = {pod: day.pods.appears(name, day.namespace, pod) for pod in here}
        day.placed.update(found)
        return old.isdisjoint(pod.addresses for pod in found.values())

    wait_until(again, "the pods do not come back", seconds=NODE_SECONDS, check=cluster.check)
    cluster.wait(*(f"pod/{pod}" for pod in here), namespace=day.namespace)


def kernel_generation(day: Day, node: str) -> int:
    """Give the generation in the kernel of a node without an agent."""
    listing = day.cluster.node(node).run("nft", "--json", "list", "table", *TABLE).stdout
    table = parse_listing(listing, TABLE[1])
    assert table is not None
    return unstamp(table)[1]


@dataclass(frozen=True, slots=True)
class Pair:
    """An authority's certificate and key."""

    certificate: str
    key: str

    @classmethod
    def read(cls, authority: Authority) -> Pair:
        """Read what an authority uses now."""
        return cls(authority.file("ca.crt").read_text(), authority.file("ca.key").read_text())


def policies(day: Day, node: str) -> set[str]:
    """Name the policies of the day that the agent of a node knows."""
    found = json.loads(day.installation.ask(node, "/debug/objects")[1])["items"]
    known = [item["metadata"] for item in found if item["kind"] == "NetworkPolicy"]
    return {metadata["name"] for metadata in known if metadata["namespace"] == day.namespace}


def versions_grow(day: Day, changes: int) -> None:
    """Change what means nothing, so that a restored cluster needs long to come to these versions again."""
    namespace: Manifest = {"kind": "Namespace", "metadata": {"name": day.namespace}}
    with opened_api(day.cluster.plane) as api:
        for number in range(changes):
            api.patch(namespace, {"metadata": {"annotations": {"changed": str(number)}}})


def pods_know(day: Day, *pairs: Pair) -> float:
    """Wait until kubelets have written these authorities where the agents look; give how long that took."""
    bundle = "".join(pair.certificate for pair in pairs)
    why = "the agents' pods do not get the authorities that are published"
    return day.waits_for(lambda node: mounted(day, node, "ca.crt") == bundle, why, seconds=KUBELET_SECONDS)


def trust(cluster: Cluster, signer: Pair, *others: Pair) -> None:
    """Sign everything again by one authority, let it and others be trusted, and restart all but the pods."""
    authority = cluster.plane.authority
    authority.file("ca.key").write_text(signer.key)
    authority.file("ca.crt").write_text(signer.certificate + "".join(other.certificate for other in others))
    with cluster._all_restarted():
        cluster.plane.apiserver.stop()
        cluster.plane.sign()
        cluster._sign()
        cluster.plane.apiserver.start()
        cluster.plane.wait_until_ready()


def mounted(day: Day, node: str, name: str) -> str:
    """Read a file of the service account as the agent of a node has it now; empty while there is none."""
    root = Path(f"/proc/{day.cluster.node(node).machine.pid}/root")
    pod = day.cluster.get("pod", day.installation.pods()[node], namespace=NAMESPACE)["metadata"]["uid"]
    volumes = root / "var/lib/kubelet/pods" / pod / "volumes/kubernetes.io~projected"
    return "".join(path.read_text() for path in volumes.glob(f"kube-api-access-*/{name}"))


def events(cluster: Cluster, node: str) -> set[str]:
    """Give the reasons of the Events about a node."""
    found = cluster.get("events", "--field-selector", f"involvedObject.kind=Node,involvedObject.name={node}")
    return {event["reason"] for event in found["items"]}


@contextmanager
def cut_off(day: Day) -> Iterator[None]:
    """Let no connection from the nodes to the API server come about."""
    table = f"""table inet cut {{
        chain output {{
            type filter hook output priority 100
            ip daddr {CONTROL_PLANE.v4} tcp dport {API_PORT} reject with tcp reset
        }}
    }}"""
    for node in day.cluster.nodes.values():
        node.run("nft", "--file", "-", stdin=table)
    try:
        yield
    finally:
        for node in day.cluster.nodes.values():
            node.run("nft", "delete", "table", "inet", "cut")
