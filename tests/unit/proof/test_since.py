"""What a change leaves proved: all of it if the ruleset follows, nothing if it does not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from policyd.cluster.attachments import Attachments
from policyd.cluster.state import ClusterState
from policyd.kube.objects import KubeObject
from policyd.pipeline import build
from policyd.proof.prove import prove
from policyd.proof.since import Given, is_still_proved
from policyd_compiler.ir import Attachment
from policyd_compiler.nft.ast import Accept, Chain, Return, Rule, Set, Table, VerdictMap
from policyd_compiler.nft.expressions import Field, Match, Numbers, Prefix
from policyd_compiler.options import Options
from tests.cases.form import block, egress, ingress, namespace, namespaces, pod, pods
from tests.oracle import Manifest
from tests.routes import state_of
from tests.support.counting import lines_run

NODE, OPTIONS = "n1", Options()
WORLD: list[Manifest] = [
    {
        "kind": "Node",
        "apiVersion": "v1",
        "metadata": {"name": "n1"},
        "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.1"}]},
    },
    namespace("x"),
    namespace("y", team="red"),
    pod("x/a", "10.0.0.1", "fd00::1"),
    pod("x/b", "10.0.0.2"),
    pod("x/web", "10.0.1.1", "fd00::1:1", node="n2"),
    pod("x/other", "10.0.1.2", node="n2"),
    pod("y/c", "10.0.1.3", node="n2"),
    pod("x/named", "10.0.1.4", node="n2", ports=[{"name": "http", "containerPort": 8080}]),
    ingress(
        "x", "a", {"from": [pods(pod="web"), namespaces(team="blue")], "ports": [{"port": 80}]}, name="in"
    ),
    egress(
        "x",
        "b",
        {"to": [block("10.0.1.2/32")]},
        {"to": [pods(pod="named")], "ports": [{"port": "http"}]},
        name="out",
    ),
]


def given(*more: Manifest, closed: str = "", attachments: Attachments | None = None) -> Given:
    """The cluster, with further objects or others of the same names, and its ruleset."""
    keys = {(m["kind"], m["metadata"].get("namespace"), m["metadata"]["name"]): m for m in (*WORLD, *more)}
    state = state_of([m for m in keys.values() if "gone" not in m], live=True)
    state = state if attachments is None else replace(state, attachments=attachments)
    shut = frozenset({closed} - {""})
    return Given(state, build(state, NODE, OPTIONS, shut).table, shut)


def with_sets(table: Table, change: Callable[[Set], Set]) -> Table:
    found = replace(table, sets=tuple(map(change, table.sets)))
    assert found != table
    return found


def with_chains(table: Table, change: Callable[[Chain], Chain]) -> Table:
    found = replace(table, chains=tuple(map(change, table.chains)))
    assert found != table
    return found


def gone(path: str) -> Manifest:
    place, name = path.split("/")
    return {"kind": "Pod", "metadata": {"namespace": place, "name": name}, "gone": True}


BEFORE = given()
LINKS = Attachments({"x/a": Attachment("veth1")})
CHANGES = {
    "a pod is selected": given(pod("x/other", "10.0.1.2", node="n2", metadata={"labels": {"pod": "web"}})),
    "a pod is selected no more": given(
        pod("x/web", "10.0.1.1", "fd00::1:1", node="n2", metadata={"labels": {}})
    ),
    "a pod that is selected goes": given(gone("x/web")),
    "a pod that is selected has another address": given(pod("x/web", "10.0.1.9", node="n2")),
    "a port has another number": given(
        pod("x/named", "10.0.1.4", node="n2", ports=[{"name": "http", "containerPort": 8081}])
    ),
    "a namespace is selected": given(namespace("y", team="blue")),
    "a policy allows another port": given(
        ingress(
            "x",
            "a",
            {"from": [pods(pod="web"), namespaces(team="blue")], "ports": [{"port": 81}]},
            name="in",
        )
    ),
    "a policy is quarantined": given(closed="x/in"),
    "a pod comes to the node": given(pod("x/a2", "10.0.0.3", metadata={"labels": {"pod": "a"}})),
    "a pod of the node is isolated": given(pod("x/b", "10.0.0.2", metadata={"labels": {"pod": "a"}})),
    "a pod of the node goes": given(gone("x/a")),
    "somebody else claims the address": given(pod("y/c", "10.0.1.1", node="n2")),
    "an interface is known": given(attachments=LINKS),
}
#: Nobody is asked of a pod that is not isolated: the old ruleset is right for it.
HARMLESS = {"a pod of the node goes"}


def test_what_is_not_changed_is_still_proved() -> None:
    assert prove(BEFORE.state, NODE, OPTIONS, BEFORE.table).plain
    assert is_still_proved(BEFORE, BEFORE, NODE, OPTIONS)


@pytest.mark.parametrize("name", CHANGES)
def test_a_ruleset_that_follows_is_still_proved(name: str) -> None:
    now = CHANGES[name]
    assert prove(now.state, NODE, OPTIONS, now.table, now.closed).proved
    assert is_still_proved(BEFORE, now, NODE, OPTIONS)
    assert is_still_proved(now, BEFORE, NODE, OPTIONS)


@pytest.mark.parametrize("name", sorted(CHANGES.keys() - HARMLESS))
def test_a_ruleset_that_does_not_follow_is_not(name: str) -> None:
    for before, now in ((BEFORE, CHANGES[name]), (CHANGES[name], BEFORE)):
        stale = now._replace(table=before.table)
        if not prove(now.state, NODE, OPTIONS, stale.table, now.closed).proved:
            assert not is_still_proved(before, stale, NODE, OPTIONS)
    assert not prove(CHANGES[name].state, NODE, OPTIONS, BEFORE.table, CHANGES[name].closed).proved


def _without_web(part: Set) -> Set:
    return replace(part, elements=tuple(each for each in part.elements if each != 0x0A00_0101))


def _another_port(chain: Chain) -> Chain:
    first = Rule(Return(), (Match(Field.TCP_DPORT, Numbers(((81, 81),))),))
    return replace(chain, rules=(first, *chain.rules)) if chain.name.startswith("ports-") else chain


def _accepting(chain: Chain) -> Chain:
    first = Rule(Accept(), (Match(Field.IP_SADDR, Prefix(0x0A00_0102, 32)),))
    return replace(chain, rules=(first, *chain.rules)) if chain.is_at("forward") else chain


def _unasked(part: VerdictMap) -> VerdictMap:
    return replace(part, elements=tuple(each for each in part.elements if each[0] != 0x0A00_0001))


@pytest.mark.parametrize(
    "wrong",
    [
        with_sets(BEFORE.table, _without_web),
        with_chains(BEFORE.table, _another_port),
        with_chains(BEFORE.table, _accepting),
        replace(BEFORE.table, maps=tuple(map(_unasked, BEFORE.table.maps))),
    ],
    ids=["an element less", "a rule in a chain of ports", "a rule at a hook", "a pod that is not asked for"],
)
def test_a_ruleset_that_somebody_changed_is_not(wrong: Table) -> None:
    """Nothing has changed in the cluster: a ruleset is looked at, whoever says that it is the same."""
    assert not prove(BEFORE.state, NODE, OPTIONS, wrong).proved
    assert not is_still_proved(BEFORE, BEFORE._replace(table=wrong), NODE, OPTIONS)


def test_an_address_that_is_no_pods_any_more_may_be_forged() -> None:
    """A chain that lets a pod's address in before it refuses forged ones is right while that is a pod's."""
    spared = Rule(Return(), (Match(Field.IP_SADDR, Prefix(0x0A00_0102, 32)),))
    allowed = ingress("x", "a", {"from": [block("10.0.1.2/32")]}, name="in")

    def sparing(chain: Chain) -> Chain:
        return replace(chain, rules=(spared, *chain.rules)) if chain.name.startswith("in4-") else chain

    held, left = given(allowed), given(allowed, gone("x/other"))
    table = with_chains(held.table, sparing)
    assert prove(held.state, NODE, OPTIONS, table).plain
    assert not prove(left.state, NODE, OPTIONS, table).proved
    assert not is_still_proved(held._replace(table=table), left._replace(table=table), NODE, OPTIONS)


def test_nodes_that_differ_are_looked_at_from_nothing() -> None:
    node = {**WORLD[0], "status": {"addresses": [{"type": "InternalIP", "address": "192.0.2.9"}]}}
    now = given(node)
    assert prove(now.state, NODE, OPTIONS, now.table).proved
    assert not is_still_proved(BEFORE, now, NODE, OPTIONS)


def crowd(pods: int) -> list[Manifest]:
    """Pods of another node, every second of whom is selected."""
    return [
        pod(
            f"x/p{n}",
            f"10.1.{n >> 8}.{n & 255}",
            node="n2",
            metadata={"labels": {"pod": ("web", "b")[n & 1]}},
        )
        for n in range(pods)
    ]


def steps(pods: int) -> int:
    """What it takes to look at a pod that is selected no more, in a cluster of so many."""
    many = crowd(pods)
    before, now = given(*many), given(*many, pod("x/p2", "10.1.0.2", node="n2"))
    # As an agent has them: what is the same is the same object.
    now = now._replace(state=_shared(before.state, now.state))
    assert is_still_proved(before, now, NODE, OPTIONS)
    return lines_run(lambda: is_still_proved(before, now, NODE, OPTIONS))


def _shared(before: ClusterState, now: ClusterState) -> ClusterState:
    def kept(kind: str) -> dict[str, KubeObject]:
        was = before.by_kind[kind]
        return {key: was[key] if was.get(key) == item else item for key, item in now.by_kind[kind].items()}

    return replace(now, by_kind={kind: kept(kind) for kind in now.by_kind})


def test_what_it_takes_grows_with_the_change_and_not_with_the_cluster() -> None:
    few, many = steps(100), steps(800)
    assert many < 1.05 * few, (few, many)
    assert many < 0.3 * lines_run(lambda: prove(BEFORE.state, NODE, OPTIONS, BEFORE.table))
