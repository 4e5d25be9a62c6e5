"""A real kubelet's Pods API says of its pods what the API server says, and policyd goes on with it alone."""

from __future__ import annotations

import asyncio
import json
from contextlib import aclosing
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from policyd.kube.decode import decode_live
from policyd.kube.objects import Pod
from policyd.kube.registry import POD
from policyd.kubelet.client import follow
from tests.cluster.cluster import Cluster
from tests.cluster.failures import wait_until
from tests.cluster.node import CONTAINERD
from tests.cluster.policyd.installation import Installation
from tests.cluster.policyd.pods import Place, Pods, pod

pytestmark = pytest.mark.cluster

NODE = "n1"
SOCKET = "var/lib/kubelet/pods-api/pods-api.sock"
SECONDS = 60
CTR = ("ctr", "--address", CONTAINERD, "--namespace", "k8s.io")


def socket(cluster: Cluster) -> Path:
    return Path(f"/proc/{cluster.node(NODE).machine.pid}/root", SOCKET)


async def listed(path: Path) -> dict[str, Pod]:
    """All pods that the kubelet says it has."""
    found: dict[str, Pod] = {}
    async with asyncio.timeout(SECONDS), aclosing(follow(path)) as stream:
        async for said in stream:
            if said.what == "complete":
                return found
            assert (said.what, said.mistakes) == ("is", ())
            assert said.pod is not None
            found[f"{said.pod.namespace}/{said.pod.name}"] = said.pod
    raise AssertionError("the list did not end")


def of_api(cluster: Cluster) -> dict[str, Pod]:
    """All pods of the node by the API server."""
    query = f"/api/v1/pods?fieldSelector=spec.nodeName={NODE}"
    items = json.loads(cluster.kubectl("get", "--raw", query).stdout)["items"]
    decoded = [decode_live(raw, POD).item for raw in items]
    return {f"{each.namespace}/{each.name}": each for each in decoded if isinstance(each, Pod)}


def rich(namespace: str, image: str) -> Any:
    """A pod with all that policyd reads of one."""
    made: Any = pod("rich", namespace, Place(NODE, {"app": "rich", "empty": ""}, {"http": 8080}), image)
    spec = made["spec"]
    spec["containers"][0]["ports"] += [
        {"name": "dns", "containerPort": 53, "protocol": "UDP"},
        {"containerPort": 99},
    ]
    container = {"image": image, "args": ["pause"]}
    side, none = {"name": "side", "containerPort": 7}, {"name": "none", "containerPort": 8}
    spec["initContainers"] = [
        {**container, "name": "sidecar", "restartPolicy": "Always", "ports": [side]},
        {**container, "name": "first", "args": ["--help"], "ports": [none]},
    ]
    return made


@pytest.fixture
def started(cluster: Cluster, pods: Pods) -> str:
    """The namespace in which such a pod runs."""
    namespace = pods.namespace("kubelet")
    cluster.apply(rich(namespace, cluster.agnhost))
    cluster.wait("pod/rich", namespace=namespace)
    return namespace


def test_the_kubelet_and_the_api_server_say_the_same(cluster: Cluster, started: str) -> None:
    def agree() -> bool:
        return asyncio.run(listed(socket(cluster))) == of_api(cluster)

    wait_until(agree, "they differ", seconds=SECONDS, check=cluster.check)
    found = asyncio.run(listed(socket(cluster)))[f"{started}/rich"]
    assert [port.name for port in found.ports] == ["http", "dns", "side"]
    assert found.has_address
    assert found.version > 0


async def test_what_becomes_of_a_pod_is_told(cluster: Cluster, pods: Pods) -> None:
    namespace = pods.namespace("told")
    delete = ("delete", "pod", "short", f"--namespace={namespace}", "--wait=false", "--grace-period=1")
    told: list[tuple[str, bool, bool]] = []
    async with asyncio.timeout(3 * SECONDS), aclosing(follow(socket(cluster))) as stream:
        async for said in stream:
            if said.what == "complete":
                made = pod("short", namespace, Place(NODE), cluster.agnhost)
                await asyncio.to_thread(cluster.apply, made)
            elif said.pod is not None and said.pod.namespace == namespace:
                told.append((said.what, said.pod.has_address, said.pod.deleting))
                if told.count(("is", True, False)) == 1 and told[-1] == ("is", True, False):
                    await asyncio.to_thread(cluster.kubectl, *delete)
                if said.what == "ended":
                    break
    assert told[0] == ("is", False, False)
    assert ("is", True, True) in told
    assert told[-1][0] == "ended"


def addresses(policyd: Installation, namespace: str) -> list[str]:
    """What the agent takes for the pod's addresses."""
    for item in json.loads(policyd.ask(NODE, "/debug/objects")[1])["items"]:
        if (item["kind"], item["metadata"].get("namespace")) == ("Pod", namespace):
            return [each["ip"] for each in item["status"].get("podIPs", ())]
    return []


def sandbox(cluster: Cluster, namespace: str) -> str:
    """The container that holds the pod's network."""
    chosen = f'labels."io.cri-containerd.kind"==sandbox,labels."io.kubernetes.pod.namespace"=={namespace}'
    return cluster.node(NODE).run(*CTR, "containers", "list", "--quiet", chosen).stdout.strip()


def test_without_an_api_server_a_new_address_is_known(policyd: Installation, started: str) -> None:
    """A sandbox that dies is made again, with another address, and the API server is not told of it."""
    cluster = policyd.cluster
    wait = partial(wait_until, seconds=3 * SECONDS, check=cluster.check)
    wait(lambda: policyd.state(NODE)["own_pods"]["kubelet"], "the kubelet is not followed")
    assert "policyd_kubelet_followed 1.0" in policyd.ask(NODE, "/metrics")[1]
    wait(lambda: len(addresses(policyd, started)) == 2, "its addresses are not known")
    before = addresses(policyd, started)
    cluster.plane.apiserver.stop()
    try:
        cluster.node(NODE).run(*CTR, "tasks", "kill", "--signal", "SIGKILL", sandbox(cluster, started))
        wait(
            lambda: (
                len(addresses(policyd, started)) == 2 and not set(addresses(policyd, started)) & set(before)
            ),
            "its new addresses are not known",
        )
        now = addresses(policyd, started)

        def enforced() -> bool:
            ruleset = policyd.ask(NODE, "/debug/ruleset")[1]
            return f" {now[0]}" in ruleset and f" {before[0]}," not in ruleset

        wait(enforced, "they are not in force")
    finally:
        cluster.plane.apiserver.start()
        cluster.plane.wait_until_ready()

    def written() -> list[str]:
        return [each["ip"] for each in cluster.get("pod/rich", namespace=started)["status"]["podIPs"]]

    wait(lambda: written() == now, "the API server was told something else")
    assert addresses(policyd, started) == now
