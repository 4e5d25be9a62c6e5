"""Events on a real API server: one for each condition, kept up to date, with the rights create and patch."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from policyd.lab.namespace import Namespace
from policyd.node.facts import BRIDGE4, FORWARD4
from policyd.watcher.events import NodeEvent, write_event
from policyd.watcher.failure import WatchError
from policyd.watcher.transport import Kubeconfig, connect
from tests.agent.live import running_live
from tests.cluster.control_plane import ControlPlane
from tests.support.waiting import until

pytestmark = [pytest.mark.cluster, pytest.mark.kernel]

RIGHTS = """\
apiVersion: v1
kind: ServiceAccount
metadata: {name: NAME, namespace: default}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata: {name: NAME, namespace: default}
rules: [{apiGroups: [""], resources: [events], verbs: [VERBS]}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: NAME, namespace: default}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: NAME}
subjects: [{kind: ServiceAccount, name: NAME, namespace: default}]
"""


def access(plane: ControlPlane, name: str, verbs: str, folder: Path) -> Kubeconfig:
    """A kubeconfig of an account that has these rights to Events of the namespace default, and no others."""
    plane.apply(RIGHTS.replace("NAME", name).replace("VERBS", verbs))
    token = plane.kubectl("create", "token", name).stdout.strip()
    config: dict[str, Any] = json.loads(plane.kubectl("config", "view", "--raw", "-o", "json").stdout)
    config["users"] = [{"name": config["contexts"][0]["context"]["user"], "user": {"token": token}}]
    path = folder / f"{name}.json"
    path.write_text(json.dumps(config))
    return Kubeconfig(str(path))


def event(node: str, count: int, **changes: Any) -> NodeEvent:
    return NodeEvent(
        node=node,
        topic="bridge-netfilter-off",
        type=changes.get("type", "Warning"),
        message=changes.get("message", "off on cni0"),
        count=count,
        first=1_700_000_000,
        last=1_700_000_000 + count,
    )


async def write(where: Kubeconfig, *events: NodeEvent) -> list[int]:
    connection = await connect(where)
    try:
        return [await write_event(connection, each) for each in events]
    finally:
        await connection.close()


def events(plane: ControlPlane, node: str) -> list[dict[str, Any]]:
    selector = f"involvedObject.name={node},involvedObject.kind=Node"
    found = plane.kubectl("get", "events", "-n", "default", "--field-selector", selector, "-o", "json").stdout
    items: list[dict[str, Any]] = json.loads(found)["items"]
    return items


async def test_one_event_is_kept_up_to_date(control_plane: ControlPlane, tmp_path: Path) -> None:
    allowed = access(control_plane, "telling", "create, patch", tmp_path)
    first, second = event("e1", 1), event("e1", 2, type="Normal", message="over: off on cni0")
    assert await write(allowed, first, second) == [1, 2]
    [found] = events(control_plane, "e1")
    assert (found["reason"], found["type"], found["message"], found["count"]) == (
        "BridgeNetfilterOff", "Normal", "over: off on cni0", 2,
    )  # fmt: skip
    assert (found["source"], found["firstTimestamp"], found["lastTimestamp"]) == (
        {"component": "policyd", "host": "e1"}, "2023-11-14T22:13:20Z", "2023-11-14T22:13:22Z",
    )  # fmt: skip
    # A new agent does not know of it, and finds it.
    assert await write(allowed, event("e1", 1), event("e1", 3)) == [2, 3]
    assert len(events(control_plane, "e1")) == 1


async def test_one_that_the_server_forgot_is_made_again(control_plane: ControlPlane, tmp_path: Path) -> None:
    allowed = access(control_plane, "again", "create, patch", tmp_path)
    assert await write(allowed, event("e2", 5)) == [5]
    assert [e["count"] for e in events(control_plane, "e2")] == [5]


async def test_describe_node_shows_it(control_plane: ControlPlane, tmp_path: Path) -> None:
    allowed = access(control_plane, "described", "create, patch", tmp_path)
    control_plane.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "e3"}})
    await write(allowed, event("e3", 1))
    shown = control_plane.kubectl("describe", "node", "e3").stdout
    assert "BridgeNetfilterOff" in shown
    assert "off on cni0" in shown


async def test_long_names_and_messages_are_taken(control_plane: ControlPlane, tmp_path: Path) -> None:
    allowed = access(control_plane, "long", "create, patch", tmp_path)
    node = ".".join(["n" * 60] * 4)
    assert await write(allowed, event(node, 1, message="x" * 5000)) == [1]
    [found] = events(control_plane, node)
    assert len(found["message"]) == 1000


@pytest.mark.parametrize("verbs", ["create", "patch"])
async def test_without_the_right_it_is_said_which(
    control_plane: ControlPlane, verbs: str, tmp_path: Path
) -> None:
    allowed = access(control_plane, f"only-{verbs}", verbs, tmp_path)
    with pytest.raises(WatchError, match=r"403.*events"):
        await write(allowed, event(f"e-{verbs}", 1), event(f"e-{verbs}", 2))


@pytest.fixture
def node() -> Iterator[Namespace]:
    """A node with a pod on a bridge that hides packets."""
    made = Namespace("node")
    made.ip(
        [
            "link add cni0 type bridge",
            "link add veth1 type veth peer name eth0",
            "link set veth1 master cni0",
            "link set cni0 up",
            "link set veth1 up",
            "addr add 10.0.0.254/24 dev cni0",
        ]
    )
    made.set_sysctls({BRIDGE4: "0", FORWARD4: "1"})
    yield made
    made.close()


def test_an_agent_tells_of_its_node(control_plane: ControlPlane, node: Namespace, tmp_path: Path) -> None:
    pod = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "telling", "namespace": "default"},
        "spec": {"nodeName": "told", "containers": [{"name": "c", "image": "none"}]},
    }
    control_plane.apply({"apiVersion": "v1", "kind": "Node", "metadata": {"name": "told"}}, pod)
    status = {"status": {"phase": "Running", "podIP": "10.0.0.99", "podIPs": [{"ip": "10.0.0.99"}]}}
    control_plane.kubectl(
        "patch", "pod", "telling", "--subresource", "status", "--type", "merge", "-p", json.dumps(status)
    )
    with running_live(control_plane, node, "told", tmp_path):
        until(lambda: events(control_plane, "told"))
        [found] = events(control_plane, "told")
        assert (found["reason"], found["type"]) == ("BridgeNetfilterOff", "Warning")
        assert "cni0" in found["message"]
