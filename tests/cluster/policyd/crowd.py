"""Ten thousand pods that only the API server knows: objects with a status, which no kubelet runs."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address

from tests.cluster.client import Manifest
from tests.cluster.cluster import Cluster
from tests.cluster.failures import wait_until
from tests.cluster.policyd.api import create_all
from tests.cluster.policyd.pods import policy

PREFIX = "crowd-"
NAMESPACES, PODS, POLICIES = 50, 10_000, 1_000
#: Of these, so many are on the node where policyd is measured; the rest on nodes that do not exist.
LOCAL_PODS, LOCAL_NODE = 100, "n1"
APPS = 10
#: A pod is selected by the two policies of its app in its namespace.
LOCAL_POLICIES = 200
#: Within the pods' range, behind what the two nodes use of it.
FIRST4, FIRST6 = IPv4Address("10.244.64.0"), IPv6Address("fd00:244:0:40::")
ACCOUNT_SECONDS = 60


def gather(cluster: Cluster) -> None:
    """Bring them into the API server.

    Nobody may run, count or collect them: the controllers and that node's kubelet are stopped for good.
    """
    cluster.apply(*(_namespace(number) for number in range(NAMESPACES)))
    wait_until(
        lambda: _accounts(cluster) == NAMESPACES,
        "the namespaces have no service accounts, and no pod may be without",
        seconds=ACCOUNT_SECONDS,
        check=cluster.check,
    )
    for component in (cluster.controllers, cluster.scheduler, cluster.node(LOCAL_NODE).kubelet):
        component.stop()
    create_all(cluster.plane, [*map(_pod, range(PODS)), *map(_policy, range(POLICIES))])


def _accounts(cluster: Cluster) -> int:
    template = "jsonpath={range .items[*]}{.metadata.namespace} {end}"
    how = ("--all-namespaces", "--field-selector=metadata.name=default", f"--output={template}")
    return cluster.kubectl("get", "serviceaccounts", *how).stdout.count(PREFIX)


def _name(number: int) -> str:
    return f"{PREFIX}{number % NAMESPACES:02}"


def _labels(number: int) -> dict[str, str]:
    return {"app": f"app-{number // NAMESPACES % APPS}"}


def _namespace(number: int) -> Manifest:
    metadata = {"name": _name(number), "labels": {"crowd": str(number % 5)}}
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": metadata}


def _pod(number: int) -> Manifest:
    node = LOCAL_NODE if number < LOCAL_PODS else f"elsewhere-{number % 100:02}"
    addresses = [str(FIRST4 + number), str(FIRST6 + number)]
    ports = [{"name": "http", "containerPort": 8080}]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": f"pod-{number}", "namespace": _name(number), "labels": _labels(number)},
        "spec": {"nodeName": node, "containers": [{"name": "pod", "image": "none", "ports": ports}]},
        "status": {
            "phase": "Running",
            "podIP": addresses[0],
            "podIPs": [{"ip": address} for address in addresses],
        },
    }


def _policy(number: int) -> Manifest:
    """Each selects the pods of an app, for those of another, in this namespace and in a fifth of all."""
    friends = {"podSelector": {"matchLabels": _labels(number + NAMESPACES)}}
    anywhere = {**friends, "namespaceSelector": {"matchLabels": {"crowd": str(number % 5)}}}
    return policy(
        f"policy-{number}",
        _name(number),
        podSelector={"matchLabels": _labels(number)},
        ingress=[{"from": [friends, anywhere], "ports": [{"port": "http"}, {"port": 9000 + number}]}],
    )
