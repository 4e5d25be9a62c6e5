"""The chart in a cluster: each of its switches does what it says, and its way out leaves nothing."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection
from ipaddress import ip_interface
from typing import Any

import pytest

from policyd.lab.probes import Probe, Result, probe_all
from policyd.lab.servers import Servers
from policyd.version import VERSION
from tests.cluster.client import Manifest
from tests.cluster.cluster import Cluster
from tests.cluster.failures import wait_until
from tests.cluster.policyd.installation import DAEMONSET, LISTEN, NAMESPACE, SELECTOR, TABLE, Installation
from tests.cluster.policyd.pods import Place, Pod, Pods, network_of, policy
from tests.cluster.policyd.removal import remove
from tests.deploy.rendering import CHART, helm

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

PORT = 8080
NODE_PORT = 8443
SERVICE = "server"
ELSEWHERE = "/var/lib/elsewhere"
#: server: nobody may come in. recluse: may not go out. open: no policy.
SERVER, RECLUSE, OPEN = "server", "recluse", "open"
PLACES = {
    SERVER: Place("n1", {"app": SERVER}),
    RECLUSE: Place("n1", {"app": RECLUSE}),
    OPEN: Place("n2", {"app": OPEN}),
}
OPERATOR = {"PodMonitor": "podmonitors", "PrometheusRule": "prometheusrules"}
SETTLE_SECONDS = 30.0
#: Both pods at once, and no probe is waited for longer than needed.
QUICK = {"maxUnavailable": "100%"}


@dataclass(frozen=True, slots=True)
class Release:
    """The chart as it is installed in a cluster."""

    installation: Installation

    @property
    def cluster(self) -> Cluster:
        """The cluster that it is in."""
        return self.installation.cluster

    def put(self, **values: object) -> None:
        """Install the chart with these values and no others, and wait until it has rolled out."""
        how = ("upgrade", "--install", "policyd", str(CHART), "--create-namespace", "--values", "-")
        self.helm(*how, stdin=json.dumps({**QUICK, **values}))
        self.installation.roll_out()

    def helm(self, *arguments: str, stdin: str = "") -> str:
        """Run helm in policyd's namespace."""
        access = ("--kubeconfig", str(self.cluster.kubeconfig), "--namespace", NAMESPACE)
        result = helm(*access, *arguments, stdin=stdin)
        assert result.returncode == 0, result.stderr
        return result.stdout

    def leave(self) -> None:
        """Do what the uninstall page says of the chart, if it is installed."""
        if "policyd" not in self.helm("list", "--short"):
            return
        self.helm("upgrade", "policyd", str(CHART), "--reuse-values", "--set", "cleanup=true")
        self.installation.roll_out()
        self.helm("uninstall", "policyd")
        self.cluster.kubectl("delete", "namespace", NAMESPACE)


@pytest.fixture(scope="module")
def release(installation: Installation) -> Iterator[Release]:
    """Give a cluster for the chart, which knows the objects of the Prometheus Operator by name."""
    remove(installation)
    cluster = installation.cluster
    cluster.apply(*(definition(kind, plural) for kind, plural in OPERATOR.items()))
    names = [f"crd/{plural}.monitoring.coreos.com" for plural in OPERATOR.values()]
    cluster.wait(*names, until="condition=Established")
    found = Release(installation)
    yield found
    found.leave()
    cluster.delete(*names)


def definition(kind: str, plural: str) -> Manifest:
    schema = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    version = {"name": "v1", "served": True, "storage": True, "schema": {"openAPIV3Schema": schema}}
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"{plural}.monitoring.coreos.com"},
        "spec": {
            "group": "monitoring.coreos.com",
            "scope": "Namespaced",
            "names": {"kind": kind, "plural": plural, "singular": kind.lower()},
            "versions": [version],
        },
    }


@dataclass(frozen=True, slots=True)
class Ground:
    """Pods that serve, a server on the node n1, a Service of the server, and who asks whom."""

    cluster: Cluster
    pods: dict[str, Pod]
    services: tuple[str, ...]

    def results(self, source: str, *addresses: str, port: int = PORT) -> set[Result]:
        """Try to connect from a pod to these addresses, and give what became of it."""
        probes = [Probe(self.pods[source].network, address, "tcp", port) for address in addresses]
        return {outcome.result for outcome in probe_all(probes)}

    def become(self, expected: set[Result], source: str, *addresses: str, port: int = PORT) -> None:
        """Try until the connections end so, or time is up."""
        deadline = time.monotonic() + SETTLE_SECONDS
        while (found := self.results(source, *addresses, port=port)) != expected:
            assert time.monotonic() < deadline, f"{source} to {addresses}: {found}, not {expected}"


@pytest.fixture(scope="module")
def ground(installation: Installation) -> Iterator[Ground]:
    cluster = installation.cluster
    node = cluster.node("n1")
    with (
        Pods(cluster) as pods,
        network_of("n1", node.machine) as machine,
        Servers() as servers,
    ):
        namespace = pods.namespace("chart")
        found = pods.start(namespace, PLACES)
        for pod in found.values():
            for address in pod.addresses:
                servers.listen(pod.network, "tcp", address, PORT)
        for address in (node.addresses.v4, node.addresses.v6):
            servers.listen(machine, "tcp", address, NODE_PORT)
        cluster.apply(
            policy("in", namespace, podSelector=labelled(SERVER), policyTypes=["Ingress"]),
            policy("out", namespace, podSelector=labelled(RECLUSE), policyTypes=["Egress"]),
            service(namespace),
        )
        addresses = cluster.get("service", SERVICE, namespace=namespace)["spec"]["clusterIPs"]
        yield Ground(cluster, found, tuple(addresses))


def labelled(app: str) -> Manifest:
    return {"matchLabels": {"app": app}}


def service(namespace: str) -> Manifest:
    spec = {"selector": {"app": SERVER}, "ports": [{"port": PORT}], "ipFamilyPolicy": "RequireDualStack"}
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": SERVICE, "namespace": namespace},
        "spec": spec,
    }


@pytest.mark.parametrize(("deny", "result"), [("drop", "silent"), ("reject", "unreachable")])
def test_deny_says_how_a_connection_ends(release: Release, ground: Ground, deny: str, result: Result) -> None:
    release.put(settings={"deny": deny})
    for source in (RECLUSE, OPEN):
        ground.become({result}, source, *ground.pods[SERVER].addresses)


@pytest.mark.parametrize(("node_egress", "result"), [("enforce", "silent"), ("exempt", "answered")])
def test_node_egress_says_whether_a_pod_may_not_reach_its_node(
    release: Release, ground: Ground, node_egress: str, result: Result
) -> None:
    release.put(settings={"node_egress": node_egress})
    addresses = release.cluster.node("n1").addresses
    ground.become({result}, RECLUSE, addresses.v4, addresses.v6, port=NODE_PORT)
    ground.become({"silent"}, RECLUSE, *ground.pods[OPEN].addresses)
    ground.become({"answered"}, OPEN, addresses.v4, addresses.v6, port=NODE_PORT)


@pytest.mark.parametrize(("hairpin", "result"), [("allow", "answered"), ("evaluate", "silent")])
def test_hairpin_says_whether_a_pod_reaches_itself_by_its_service(
    release: Release, ground: Ground, hairpin: str, result: Result
) -> None:
    release.put(settings={"hairpin": hairpin})
    ground.become({result}, SERVER, *ground.services)
    ground.become({"silent"}, OPEN, *ground.services)


@pytest.mark.parametrize(("interfaces", "result"), [([], "answered"), (["cni0"], "silent")])
def test_pod_interfaces_close_addresses_that_nobody_knows(
    release: Release, ground: Ground, interfaces: list[str], result: Result
) -> None:
    release.put(settings={"pod_interfaces": interfaces})
    pod = ground.pods[SERVER]
    target = ground.pods[OPEN].addresses
    pairs = [(strange(address), other) for address in pod.addresses for other in target]
    pairs = [(source, other) for source, other in pairs if (":" in source) == (":" in other)]
    for source, _ in pairs:  # without a preferred lifetime, so that only who asks for it gets it
        family = "nodad" if ":" in source else ""
        pod.network.ip([f"address replace {source} dev eth0 preferred_lft 0 {family}"])
    probes = [Probe(pod.network, other, "tcp", PORT, source) for source, other in pairs]
    wait_until(
        lambda: {outcome.result for outcome in probe_all(probes)} == {result},
        f"unknown addresses are not {result}",
        seconds=SETTLE_SECONDS,
        check=release.cluster.check,
    )
    ground.become({"answered"}, SERVER, *target)


def strange(address: str) -> str:
    """An address of the same range that no pod has."""
    network = ip_interface(f"{address}/{64 if ':' in address else 24}").network
    return str(network[250])


def test_the_test_of_the_chart_sees_whether_policies_hold(release: Release) -> None:
    """It succeeds and leaves nothing; where nothing is enforced it fails, and leaves the pod that says so."""
    release.put()
    release.helm("test", "policyd", "--timeout", "200s")
    kinds = "pods,deployments,services,networkpolicies"
    wait_until(
        lambda: "policyd-test" not in release.installation.kubectl("get", kinds, "--output", "name"),
        "the test leaves something behind",
        seconds=SETTLE_SECONDS,
        check=release.cluster.check,
    )
    release.put(cleanup=True)
    with pytest.raises(AssertionError, match="policyd-test-enforced"):
        release.helm("test", "policyd", "--timeout", "250s")
    assert "ports ['8080', '8081'] are reached" in release.installation.kubectl(
        "logs", "pod/policyd-test-enforced"
    )
    release.installation.kubectl("delete", "pod/policyd-test-enforced")
    release.put()


def test_the_log_level_decides_what_is_logged(release: Release) -> None:
    for level, logged in (("info", True), ("warning", False)):
        release.put(settings={"log_level": level})
        lines = release.installation.kubectl("logs", f"--selector={SELECTOR}", "--tail=-1").splitlines()
        assert ("info" in {json.loads(line)["level"] for line in lines}) is logged


def test_the_image_is_the_one_that_is_named(release: Release) -> None:
    release.installation.tag(f"policyd:{VERSION}", "policyd:other")
    release.put(image={"tag": "other"})
    images = release.installation.kubectl("get", "pods", "--output", "jsonpath={..spec.containers[*].image}")
    assert set(images.split()) == {"policyd:other"}


def test_directories_of_the_node_are_those_that_are_named(release: Release) -> None:
    release.put(stateDirectory=ELSEWHERE, cniResults="")
    nodes = release.cluster.nodes.values()
    kept = ("test", "-f", f"{ELSEWHERE}/policyd.nft")
    wait_until(
        lambda: all(node.run(*kept, check=False).returncode == 0 for node in nodes),
        "the ruleset is not kept",
        seconds=SETTLE_SECONDS,
        check=release.cluster.check,
    )
    release.put()
    for node in nodes:
        node.run("rm", "-r", ELSEWHERE)


def test_monitoring_makes_its_objects_and_opens_the_metrics_only(release: Release) -> None:
    switches = dict.fromkeys(("service", "podMonitor", "rules", "dashboard"), True)
    release.put(monitoring={**switches, "labels": {"release": "prometheus"}})
    kinds = "service,podmonitor,prometheusrule,configmap"
    listed = release.installation.kubectl("get", kinds, "-l", "release=prometheus", "--output", "name")
    assert set(listed.split()) == {
        "service/policyd",
        "podmonitor.monitoring.coreos.com/policyd",
        "prometheusrule.monitoring.coreos.com/policyd",
        "configmap/policyd-dashboard",
    }
    nodes = {node.addresses.v4: node for node in release.cluster.nodes.values()}
    assert endpoints(release) == set(nodes)
    (first, second) = nodes
    assert ask(release.cluster, "n2", first, "/metrics") == 200
    assert ask(release.cluster, "n2", first, "/debug/state") == 404
    assert ask(release.cluster, "n1", second, "/metrics") == 200

    release.put()
    assert "policyd" not in release.installation.kubectl("get", "service,podmonitor", "--output", "name")
    with pytest.raises(ConnectionRefusedError):
        ask(release.cluster, "n2", first, "/metrics")


def endpoints(release: Release) -> set[str]:
    flags = ("endpointslices", "--selector=kubernetes.io/service-name=policyd")
    slices = release.cluster.get(*flags, namespace=NAMESPACE)["items"]
    return {address for entry in slices for point in entry["endpoints"] for address in point["addresses"]}


def ask(cluster: Cluster, node: str, address: str, path: str) -> int:
    """Ask an agent from another machine, and give the status of the answer."""
    connection = HTTPConnection(address, LISTEN[1], timeout=10)
    with network_of(node, cluster.node(node).machine) as machine, closing(connection):
        with machine.entered():
            connection.connect()
        connection.request("GET", path)
        return connection.getresponse().status


def test_where_and_how_the_pods_run_is_yours(release: Release) -> None:
    release.put(
        nodeSelector={"kubernetes.io/hostname": "n1"},
        tolerations=[{"key": "only", "operator": "Exists"}],
        affinity={"podAntiAffinity": {}},
        priorityClassName="system-cluster-critical",
        podLabels={"team": "network"},
        podAnnotations={"note": "seen"},
        resources={"requests": {"memory": "200Mi"}},
        image={"pullSecrets": [{"name": "none"}], "pullPolicy": "Never"},
    )
    assert set(release.installation.pods()) == {"n1"}
    (pod,) = release.cluster.get("pods", f"--selector={SELECTOR},team=network", namespace=NAMESPACE)["items"]
    spec: Any = pod["spec"]
    assert pod["metadata"]["annotations"]["note"] == "seen"
    assert spec["priorityClassName"] == "system-cluster-critical"
    assert spec["containers"][0]["resources"]["requests"]["memory"] == "200Mi"
    assert spec["imagePullSecrets"] == [{"name": "none"}]
    release.put()
    assert set(release.installation.pods()) == {"n1", "n2"}


def test_a_settings_mistake_is_reported_before_anything_changes(release: Release) -> None:
    release.put()
    before = release.installation.kubectl("get", DAEMONSET, "--output", "jsonpath={.metadata.generation}")
    with pytest.raises(AssertionError, match="deny"):
        release.helm("upgrade", "policyd", str(CHART), "--set", "settings.deny=refuse")
    assert before == release.installation.kubectl(
        "get", DAEMONSET, "--output", "jsonpath={.metadata.generation}"
    )


def test_the_way_out_removes_the_table_that_the_settings_name(release: Release, ground: Ground) -> None:
    release.leave()
    release.put(settings={"table": "other"})
    ground.become({"silent"}, OPEN, *ground.pods[SERVER].addresses)
    for name in release.cluster.nodes:
        assert ("inet", "other") in release.installation.tables(name)
        assert TABLE not in release.installation.tables(name)
    release.leave()
    for name, node in release.cluster.nodes.items():
        assert ("inet", "other") not in release.installation.tables(name)
        assert node.run("ls", "/var/lib/policyd").stdout == ""
    ground.become({"answered"}, OPEN, *ground.pods[SERVER].addresses)


def test_the_overlays_do_what_they_are_for(release: Release, ground: Ground) -> None:
    release.leave()
    overlays = CHART.parent.parent / "kustomize" / "overlays"
    denied: dict[str, Result] = {"debug": "unreachable", "monitoring": "silent"}
    for overlay, result in denied.items():
        release.cluster.kubectl("apply", "--kustomize", str(overlays / overlay))
        release.installation.roll_out()
        ground.become({result}, OPEN, *ground.pods[SERVER].addresses)
    assert ask(release.cluster, "n2", release.cluster.node("n1").addresses.v4, "/metrics") == 200
    release.installation.kubectl("set", "env", DAEMONSET, "POLICYD_DENY=reject")
    release.installation.roll_out()
    ground.become({"unreachable"}, OPEN, *ground.pods[SERVER].addresses)
    remove(release.installation)
