"""What the agent makes of addresses that pods cannot all have, and of Namespaces not known yet."""

from __future__ import annotations

import asyncio

import pytest

from policyd.agent.daemon import _missing_namespaces
from policyd.agent.reporting.conditions import Condition, of_reconciler
from policyd.agent.reporting.status import AgentStatus, Enforced
from policyd.cluster.events import Delete, Upsert
from policyd.cluster.state import MissingNamespaces
from policyd.config import load_settings
from policyd.kube.decode import decode_live
from policyd.kube.registry import KINDS
from policyd.object_store import ObjectStore
from policyd.pipeline import build
from policyd_compiler.options import Options
from policyd_compiler.sim import Packet, Simulator
from tests.cases.form import ingress, namespace, namespaces, pod, policy, requirement
from tests.oracle import Manifest


def upsert(raw: Manifest) -> Upsert:
    item = decode_live(raw).item
    assert item is not None
    return Upsert(KINDS.key(item), item)


def store(*objects: Manifest) -> ObjectStore:
    held = ObjectStore("n1", asyncio.Event())
    held.apply([upsert(raw) for raw in objects])
    return held


def test_a_pod_whose_namespace_is_not_known_is_let_in_by_no_selector() -> None:
    """NP-168: while the watch of Namespaces is down, and for the moment between two watches."""
    held = store(
        namespace("shop"),
        pod("shop/db", "10.0.0.1"),
        ingress("shop", "db", {"from": [namespaces(requirement("tenant", "NotIn", "evil"))]}),
        pod("attacker/x", "10.9.9.9", node="n2"),
    )

    def verdict() -> str:
        packet = Packet(4, 10 << 24 | 9 << 16 | 9 << 8 | 9, 10 << 24 | 1, "tcp", 80)
        return Simulator(build(held.state(), "n1", Options()).table).evaluate(packet).verdict

    assert verdict() == "drop"
    held.apply([upsert(namespace("attacker", tenant="evil"))])
    assert verdict() == "drop"
    held.apply([upsert(namespace("attacker", tenant="good"))])
    assert verdict() == "accept"
    held.apply([Delete("Namespace", "attacker")])
    assert verdict() == "drop"


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, MissingNamespaces.UNKNOWN), ({"manifests": "manifests"}, MissingNamespaces.NAMED)],
)
def test_only_a_directory_is_all_there_is(settings: dict[str, str], expected: MissingNamespaces) -> None:
    """NP-040, NP-168: a server may still tell of a Namespace."""
    assert _missing_namespaces(load_settings({"node": "n1", **settings}, {}).settings) is expected


def conditions(held: ObjectStore, options: Options) -> tuple[Condition, ...]:
    built = build(held.state(), "n1", options)
    enforced = Enforced(1, 0.0, built.stats, built.warnings, built.findings)
    return of_reconciler(AgentStatus(enforced=enforced), (), now=0.0)


def test_claimants_of_one_address_are_a_condition_that_names_them() -> None:
    """NP-166; all is closed that should be, so enforcement is true."""
    held = store(pod("x/a", "10.0.0.1"), pod("y/b", "10.0.0.1", node="n2"))
    [found] = conditions(held, Options())
    assert (found.name, found.degraded) == ("address-claimed", False)
    assert found.text.startswith("10.0.0.1 is claimed by 2 pods, y/b, x/a: it is isolated as all of them")


@pytest.mark.parametrize(
    ("node", "selected", "interfaces", "degraded"),
    [
        ("n1", "x", (), True),
        ("n1", "x", ("veth*",), False),  # closed as an unknown pod (NP-107)
        ("n1", "y", (), False),  # no policy wants anything of it
    ],
)
def test_a_pod_without_a_possible_address_may_be_open(
    node: str, selected: str, interfaces: tuple[str, ...], degraded: bool
) -> None:
    """NP-167: then what is in force is not what the policies say."""
    held = store(pod("x/a", "127.0.0.1", node=node), policy(selected))
    [found] = conditions(held, Options(pod_interfaces=interfaces))
    assert (found.name, found.degraded) == ("address-impossible", degraded)


def test_far_pods_are_not_this_nodes_condition() -> None:
    """A warning is enough: else one odd pod would be an Event on each of a thousand nodes."""
    far = (
        pod("x/a", "127.0.0.1", node="n2"),
        pod("x/b", "10.0.0.1", node="n2"),
        pod("x/c", "10.0.0.1", node="n3"),
    )
    held = store(*far, policy("x"))
    assert conditions(held, Options()) == ()
    assert len(build(held.state(), "n1", Options()).warnings) == 3  # and one of them about the Namespace


def test_many_are_counted_and_the_open_one_is_named() -> None:
    odd = [pod(f"y/p{n}", f"127.0.0.{n}") for n in range(1, 9)]
    [found] = conditions(store(*odd, pod("x/z", "127.0.1.1"), policy("x")), Options())
    assert found.degraded
    assert found.text.startswith("pod x/z claims 127.0.1.1, a loopback address")
    assert found.text.endswith("; and 5 more")
