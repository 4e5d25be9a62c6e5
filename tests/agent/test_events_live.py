"""Events on a real API server: one for each condition, kept up to date, with the rights create and patch."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from policyd.agent.reporting.conditions import NAMES
from policyd.lab.lab import Lab
from policyd.lab.namespace import Namespace
from policyd.lab.plan import NodePlan, PodPlan
from policyd.node.facts import BRIDGE4, BRIDGE6, FORWARD4, FORWARD6
from policyd.watcher.event_writer import NodeEvent, write_event
from policyd.watcher.failure import WatchError
from policyd.watcher.transport import Kubeconfig, connect
from tests.agent.live import running_live
from tests.cases.form import block, ingress
from tests.cluster.control_plane import ControlPlane
from tests.node.ebpf import attach, load_redirect_peer, send
from tests.oracle import Manifest
from tests.support.no_bridge import BRIDGE, put_in_path
from tests.support.setting_back import setting_back
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
        topic=changes.get("topic", "bridge-netfilter-off"),
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


ON = {BRIDGE4: "1", BRIDGE6: "1", FORWARD4: "1", FORWARD6: "1"}


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


async def test_every_condition_has_an_event_of_its_own(control_plane: ControlPlane, tmp_path: Path) -> None:
    allowed = access(control_plane, "every", "create, patch", tmp_path)
    await write(allowed, *(event("e4", 1, topic=name) for name in NAMES))
    found = {each["reason"]: each["metadata"]["name"] for each in events(control_plane, "e4")}
    assert found == {reason(name): f"e4.policyd-{name}" for name in NAMES}


def reason(condition: str) -> str:
    """A condition's name in one word."""
    return condition.title().replace("-", "")


@contextmanager
def pods(plane: ControlPlane, node: str, addresses: dict[str, str], *policies: Manifest) -> Iterator[None]:
    """Pods of a node that run, by address, in a namespace that has the node's name; gone at the end."""
    places = [
        {"apiVersion": "v1", "kind": kind, "metadata": {"name": node}} for kind in ("Namespace", "Node")
    ]
    plane.apply(*places, *policies)
    try:
        for name, address in addresses.items():
            metadata = {"name": name, "namespace": node, "labels": {"pod": name}}
            spec = {"nodeName": node, "containers": [{"name": "c", "image": "none"}]}
            plane.apply({"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec})
            status = {"status": {"phase": "Running", "podIP": address, "podIPs": [{"ip": address}]}}
            patch = ("--subresource", "status", "--type", "merge", "-p", json.dumps(status))
            plane.kubectl("patch", "pod", name, "-n", node, *patch)
        yield
    finally:
        plane.kubectl("delete", "pods,networkpolicies", "-n", node, "--all", "--force", "--grace-period=0")


def warnings(plane: ControlPlane, node: str) -> dict[str, str]:
    """The message of each Event about a node that warns, by its reason."""
    return {each["reason"]: each["message"] for each in events(plane, node) if each["type"] == "Warning"}


def test_an_agent_reports_its_node(control_plane: ControlPlane, node: Namespace, tmp_path: Path) -> None:
    """Of a bridge that hides packets, where somebody undoes what the agent repairs."""
    with (
        setting_back(node),
        pods(control_plane, "hiding", {"p": "10.0.0.99"}),
        running_live(control_plane, node, "hiding", tmp_path),
    ):
        until(lambda: "BridgeNetfilterOff" in warnings(control_plane, "hiding"))
        assert "cni0" in warnings(control_plane, "hiding")["BridgeNetfilterOff"]


#: For which policies, addresses and a kernel there is which condition, and what its Event says of whom.
SAID = {
    "PolicyQuarantined": "walls/refused",
    "PolicyTooLarge": "walls/dear",
    "BridgeUnguarded": "the ports of cni0 are not guarded",
    "HttpUnavailable": "127.0.0.1:9471",
    "AddressClaimed": "10.0.0.3",
    "AddressImpossible": "127.0.0.9",
    "PodsUnbound": "cni_cache",
}


def test_what_tenants_and_kernels_can_do_is_in_events(
    control_plane: ControlPlane, node: Namespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    node.set_sysctls(ON)
    monkeypatch.setenv("PATH", put_in_path(tmp_path / "bin", os.environ["PATH"], f"{BRIDGE}|dport 666"))
    many = [{"from": [block(f"198.18.{n}.0/24")], "ports": [{"port": 1000 + 2 * n}]} for n in range(40)]
    policies = (
        ingress("walls", "web", {"ports": [{"port": 666}]}, name="refused"),
        ingress("walls", "db", *many, name="dear"),
    )
    addresses = {
        "web": "10.0.0.1",
        "db": "10.0.0.2",
        "twin": "10.0.0.3",
        "other-twin": "10.0.0.3",
        "loopback": "127.0.0.9",
    }
    flags = ("--backend", "program", "--pod-interfaces", "cni0,veth*", "--policy-budget", "500")
    with node.entered():
        taken = socket.create_server(("127.0.0.1", 9471))
    with (
        taken,
        pods(control_plane, "walls", addresses, *policies),
        running_live(control_plane, node, "walls", tmp_path, *flags),
    ):
        until(lambda: SAID.keys() <= warnings(control_plane, "walls").keys())
        found = warnings(control_plane, "walls")
        assert {name: said for name, said in SAID.items() if said not in found[name]} == {}


def test_blindness_is_reported_in_an_event(control_plane: ControlPlane, tmp_path: Path) -> None:
    """An eBPF program hands what a pod sends to its neighbour past every hook, as Cilium's do."""
    addresses = {"web": "10.0.0.1", "db": "10.0.0.2"}
    plans = tuple(PodPlan(f"blind/{name}", (address,)) for name, address in addresses.items())
    with (
        Lab([NodePlan("blind", ("192.0.2.1", "2001:db8:1::1"), plans)]) as lab,
        pods(control_plane, "blind", addresses),
    ):
        node, sender = lab.nodes["blind"], lab.pods["blind/web"]
        assert node.run(["tc", "qdisc", "add", "dev", sender.device, "clsact"]).returncode == 0
        with node.entered():
            program = load_redirect_peer(socket.if_nametoindex(lab.pods["blind/db"].device))
            attach(program, socket.if_nametoindex(sender.device))
            os.close(program)

        def is_told() -> bool:
            send(sender.namespace, "10.0.0.2", 10)
            return "netfilter saw" in warnings(control_plane, "blind").get("PodsUnseen", "")

        with running_live(control_plane, node, "blind", tmp_path):
            until(is_told)
