"""The bed is sound: without policies, pods reach each other on every network, by address and by Service."""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from functools import partial
from typing import get_args

import pytest

from tests.cluster import network
from tests.cluster.client import Client, Manifest
from tests.cluster.failures import wait_until

pytestmark = pytest.mark.cluster

PORT = 8080
CLOSED_PORT = 81


def server(name: str, namespace: str, node: str, image: str) -> tuple[Manifest, Manifest]:
    """Give a pod that answers on its port in both families, and its Service."""
    metadata = {"name": name, "namespace": namespace, "labels": {"app": name}}
    container = {"name": "server", "image": image, "args": ["netexec", f"--http-port={PORT}"]}
    pod = {"containers": [container], "nodeName": node, "terminationGracePeriodSeconds": 0}
    ports = [{"port": 80, "targetPort": PORT}]
    service = {"selector": {"app": name}, "ports": ports, "ipFamilyPolicy": "PreferDualStack"}
    return (
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": pod},
        {"apiVersion": "v1", "kind": "Service", "metadata": metadata, "spec": service},
    )


@pytest.fixture
def namespace(client: Client) -> Iterator[str]:
    name = f"connections-{secrets.token_hex(3)}"
    client.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})
    try:
        yield name
    finally:
        client.delete("namespace", name)


def addresses(client: Client, namespace: str, name: str) -> tuple[list[str], list[str]]:
    """Give a pod's own addresses, and its Service's, as they are written before a port."""
    entries = client.get("pod", name, namespace=namespace)["status"]["podIPs"]
    cluster_ips = client.get("service", name, namespace=namespace)["spec"]["clusterIPs"]
    return [bracketed(entry["ip"]) for entry in entries], [bracketed(address) for address in cluster_ips]


def bracketed(address: str) -> str:
    return f"[{address}]" if ":" in address else address


@pytest.mark.parametrize("client", get_args(network.Name), indirect=True)
def test_pods_on_two_nodes_reach_each_other_in_every_family(client: Client, namespace: str) -> None:
    nodes = [node["metadata"]["name"] for node in client.get("nodes")["items"]]
    pods = dict(zip(("a", "b"), nodes, strict=False))
    for name, node in pods.items():
        client.apply(*server(name, namespace, node, client.agnhost))
    client.wait(*(f"pod/{name}" for name in pods), namespace=namespace)

    def answers(source: str, place: str) -> bool:
        connect = ("/agnhost", "connect", place, "--timeout=2s")
        return client.exec(source, *connect, namespace=namespace).returncode == 0

    for source, target in (("a", "b"), ("b", "a"), ("a", "a")):
        own, of_service = addresses(client, namespace, target)
        places = [*(f"{address}:{PORT}" for address in own), *(f"{address}:80" for address in of_service)]
        assert len(places) >= 2
        for place in places:
            # kube-proxy needs a moment to learn of a Service.
            reaches = partial(answers, source, place)
            what = f"{source} does not reach {target} at {place}"
            wait_until(reaches, what, seconds=20, check=client.check)
        assert not answers(source, f"{own[0]}:{CLOSED_PORT}")
