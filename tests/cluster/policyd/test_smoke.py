"""policyd as it is installed does what policies say: real pods, two nodes, both families."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.cluster.client import Manifest
from tests.cluster.policyd.installation import Installation
from tests.cluster.policyd.pods import policy
from tests.cluster.policyd.scene import NAMED, TEAM, Connection, Scene, opened_scene

pytestmark = pytest.mark.cluster

TO_WEB = {"podSelector": {"matchLabels": {"app": "web"}}}
BY_STRANGER = {"podSelector": {"matchLabels": {"role": "stranger"}}}
CLIENTS = {"podSelector": {"matchLabels": {"role": "client"}}}


@pytest.fixture(scope="module")
def scene(installation: Installation) -> Iterator[Scene]:
    installation.install()
    with opened_scene(installation.cluster) as found:
        yield found


@pytest.fixture(autouse=True)
def _no_policies(scene: Scene, policyd: Installation) -> None:
    scene.replace_policies()


def to_web(scene: Scene, *sources: str, port: str = "") -> frozenset[Connection]:
    """The connections to `web`; only from these sources, only to this port."""
    return frozenset(
        connection
        for connection in scene.connections()
        if connection[1] == "web"
        and (not sources or connection[0] in sources)
        and (not port or connection[3] == port)
    )


def ingress(scene: Scene, *rules: object) -> Manifest:
    return policy("web", scene.shop, **TO_WEB, policyTypes=["Ingress"], ingress=list(rules))


def test_without_policies_everybody_reaches_everybody(scene: Scene) -> None:
    assert scene.connections() == scene.settles(scene.connections())


def test_denied_ingress(scene: Scene) -> None:
    scene.replace_policies(ingress(scene))
    expected = scene.connections() - to_web(scene)
    assert expected == scene.settles(expected)


def test_ingress_allowed_by_label(scene: Scene) -> None:
    """A podSelector means pods of the policy's own namespace: the visitor has the label, and stays out."""
    scene.replace_policies(ingress(scene, {"from": [CLIENTS]}))
    expected = scene.connections() - to_web(scene) | to_web(scene, "client")
    assert expected == scene.settles(expected)


def test_ingress_allowed_by_namespace(scene: Scene) -> None:
    scene.replace_policies(ingress(scene, {"from": [{"namespaceSelector": {"matchLabels": TEAM}}]}))
    expected = scene.connections() - to_web(scene) | to_web(scene, "visitor")
    assert expected == scene.settles(expected)


def test_ingress_allowed_by_range_with_an_exception(scene: Scene) -> None:
    ranges = {4: ("0.0.0.0/0", "/32"), 6: ("::/0", "/128")}
    blocks = []
    for address in scene.pods["client"].addresses:
        everything, one = ranges[6 if ":" in address else 4]
        blocks.append({"ipBlock": {"cidr": everything, "except": [address + one]}})
    scene.replace_policies(ingress(scene, {"from": blocks}))
    expected = scene.connections() - to_web(scene, "client")
    assert expected == scene.settles(expected)


def test_ingress_allowed_to_a_named_port(scene: Scene) -> None:
    scene.replace_policies(ingress(scene, {"ports": [{"port": NAMED}]}))
    expected = scene.connections() - to_web(scene) | to_web(scene, port="tcp/8080")
    assert expected == scene.settles(expected)


def test_egress_allowed_to_a_port_of_a_pod(scene: Scene) -> None:
    rule = {"to": [TO_WEB], "ports": [{"port": 8080, "protocol": "UDP"}]}
    scene.replace_policies(
        policy("stranger", scene.shop, **BY_STRANGER, policyTypes=["Egress"], egress=[rule])
    )
    by_stranger = {connection for connection in scene.connections() if connection[0] == "stranger"}
    expected = scene.connections() - by_stranger | to_web(scene, "stranger", port="udp/8080")
    assert expected == scene.settles(expected)


def test_a_policy_that_is_deleted_denies_no_more(scene: Scene) -> None:
    scene.replace_policies(policy("closed", scene.shop, policyTypes=["Ingress", "Egress"]))
    assert frozenset() == scene.settles(frozenset())
    scene.replace_policies()
    assert scene.connections() == scene.settles(scene.connections())
