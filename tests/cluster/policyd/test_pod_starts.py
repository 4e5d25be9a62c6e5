"""policyd-cni on a real cluster: containerd calls it, kubelets hear its refusals, nodes reboot with it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from policyd.cni.conflist import PLUGIN
from tests.cluster.addresses import NODES
from tests.cluster.cluster import NODE_SECONDS, Cluster
from tests.cluster.failures import wait_until
from tests.cluster.policyd.image import ROOT, image_archive
from tests.cluster.policyd.installation import DAEMONSET, Installation
from tests.cluster.policyd.pods import Place, Pods, pod, policy

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

OVERLAY = ROOT / "deploy" / "kustomize" / "overlays" / "cni-plugin"
NODE, PORT = "n1", 8080
AWAY = '{"spec": {"template": {"spec": {"nodeSelector": {"nowhere": "nobody"}}}}}'
BACK = '[{"op": "remove", "path": "/spec/template/spec/nodeSelector/nowhere"}]'


@pytest.fixture
def installation(own_cluster: Cluster) -> Installation:
    """policyd with the plugin, by the overlay, as the install page says."""
    found = Installation(own_cluster, image_archive())
    own_cluster.kubectl("apply", "--kustomize", str(OVERLAY))
    found.roll_out()
    return found


def chain(installation: Installation, node: str) -> list[str]:
    """The types of the plugins in a node's chain."""
    script = 'cat "$(ls /etc/cni/net.d/*.conflist | head -1)"'
    text = installation.cluster.node(node).run("sh", "-c", script).stdout
    return [plugin["type"] for plugin in json.loads(text)["plugins"]]


def reaches(cluster: Cluster, name: str, namespace: str, address: str) -> bool:
    """Whether a pod's connection to the server's port comes about."""
    command = ("/agnhost", "connect", f"{address}:{PORT}", "--timeout=2s")
    return cluster.exec(name, *command, namespace=namespace).returncode == 0


def test_pods_start_with_their_rules_and_not_without(installation: Installation) -> None:
    cluster = installation.cluster
    eventually(
        cluster, lambda: all(chain(installation, node)[-1] == PLUGIN for node in NODES), "it is in no chain"
    )
    with Pods(cluster) as pods:
        namespace = pods.namespace("starts")
        friends = {"from": [{"podSelector": {"matchLabels": {"kind": "friend"}}}]}
        subject = {"matchLabels": {"kind": "server"}}
        rules = {"policyTypes": ["Ingress"], "ingress": [friends]}
        cluster.apply(policy("in", namespace, podSelector=subject, **rules))
        server: Any = pod("server", namespace, Place(NODE, subject["matchLabels"]), cluster.agnhost)
        server["spec"]["containers"][0]["args"] = ["netexec", f"--http-port={PORT}"]
        cluster.apply(server)
        pods.start(namespace, {"friend": Place(NODE, {"kind": "friend"}), "foe": Place(NODE)})
        cluster.wait("pod/server", namespace=namespace)
        address = cluster.get("pod", "server", namespace=namespace)["status"]["podIP"]
        assert reaches(cluster, "friend", namespace, address)
        assert not reaches(cluster, "foe", namespace, address)
        assert 'policyd_pod_starts_total{result="passed"}' in installation.ask(NODE, "/metrics")[1]

        # Without an agent a pod is refused, and its kubelet says why.
        installation.kubectl("patch", DAEMONSET, "--patch", AWAY)
        eventually(cluster, lambda: not installation.pods(), "the agents stay")
        cluster.apply(pod("late", namespace, Place(NODE), cluster.agnhost))
        told = "has not answered"
        eventually(cluster, lambda: told in events(cluster, namespace, "late"), "nobody says why")
        assert phase(cluster, namespace, "late") == "Pending"
        installation.kubectl("patch", DAEMONSET, "--type=json", "--patch", BACK)
        cluster.wait("pod/late", namespace=namespace, seconds=180)

        # A node that boots starts its pods all at once, policyd among them.
        cluster.reboot(NODE)
        names = ("server", "friend", "foe", "late")
        cluster.wait(*(f"pod/{name}" for name in names), namespace=namespace, seconds=NODE_SECONDS)
        address = cluster.get("pod", "server", namespace=namespace)["status"]["podIP"]
        assert reaches(cluster, "friend", namespace, address)
        assert not reaches(cluster, "foe", namespace, address)
        assert chain(installation, NODE)[-1] == PLUGIN

        installation.uninstall()
        for node in NODES:
            assert PLUGIN not in chain(installation, node)
            assert cluster.node(node).run("test", "-e", f"/opt/cni/bin/{PLUGIN}", check=False).returncode == 1
        pods.start(namespace, {"after": Place(NODE)})


def eventually(cluster: Cluster, holds: Callable[[], bool], what: str) -> None:
    """Wait until something holds, two minutes at the most."""
    wait_until(holds, what, seconds=120, check=cluster.check)


def events(cluster: Cluster, namespace: str, name: str) -> str:
    """What is said about a pod."""
    which = f"--field-selector=involvedObject.name={name}"
    found: list[Any] = cluster.get("events", which, namespace=namespace)["items"]
    return "\n".join(event["message"] for event in found)


def phase(cluster: Cluster, namespace: str, name: str) -> str:
    """How far a pod is."""
    return str(cluster.get("pod", name, namespace=namespace)["status"]["phase"])
