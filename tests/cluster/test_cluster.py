"""What a test does to a cluster has the effect that it names, and nothing else."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.cluster import programs
from tests.cluster.client import Client, Manifest
from tests.cluster.cluster import Cluster
from tests.cluster.failures import ClusterFailed, wait_until
from tests.cluster.image import write_image

pytestmark = pytest.mark.cluster


def pod(name: str, node: str, image: str) -> Manifest:
    container = {"name": "server", "image": image, "args": ["netexec", "--http-port=8080"]}
    spec = {"nodeName": node, "containers": [container], "terminationGracePeriodSeconds": 0}
    return {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name}, "spec": spec}


def start_pods(cluster: Client, *, image: str = "", **pods: str) -> None:
    """Start pods, by name and node, and wait until they answer."""
    cluster.apply(*(pod(name, node, image or cluster.agnhost) for name, node in pods.items()))
    cluster.wait(*(f"pod/{name}" for name in pods))


def container_of(cluster: Client, name: str) -> str:
    return str(cluster.get("pod", name)["status"]["containerStatuses"][0]["containerID"])


def reaches(cluster: Client, source: str, target: str) -> bool:
    address = cluster.get("pod", target)["status"]["podIP"]
    return cluster.exec(source, "/agnhost", "connect", f"{address}:8080", "--timeout=2s").returncode == 0


def test_a_reboot_takes_rules_and_containers_of_one_node(own_cluster: Cluster) -> None:
    start_pods(own_cluster, rebooted="n1", other="n2")
    before = {name: container_of(own_cluster, name) for name in ("rebooted", "other")}
    node = own_cluster.node("n1")
    node.run("nft", "add", "table", "inet", "left-by-a-test")
    own_cluster.reboot("n1")
    own_cluster.wait("pod/rebooted", "pod/other")
    assert "left-by-a-test" not in node.run("nft", "list", "tables").stdout
    assert container_of(own_cluster, "rebooted") != before["rebooted"]
    assert container_of(own_cluster, "other") == before["other"]
    assert reaches(own_cluster, "other", "rebooted")
    own_cluster.check()


def test_pods_go_on_while_kubelet_and_proxy_are_stopped(own_cluster: Cluster) -> None:
    start_pods(own_cluster, one="n1", two="n2")
    node = own_cluster.node("n1")
    node.kubelet.stop()
    node.proxy.kill()
    assert reaches(own_cluster, "two", "one")
    own_cluster.check()
    node.kubelet.start()
    node.proxy.start()
    start_pods(own_cluster, three="n1")
    own_cluster.check()


def test_a_kubelet_that_ends_by_itself_is_named_with_its_log(own_cluster: Cluster) -> None:
    own_cluster.node("n2").kubelet._signal(signal.SIGKILL)
    with pytest.raises(ClusterFailed, match=r"(?s)kubelet on n2 ended by itself with status -9:\n    \S"):
        wait_until(lambda: False, "nothing", seconds=10, check=own_cluster.check)


def test_the_cluster_works_on_after_new_certificates(own_cluster: Cluster) -> None:
    start_pods(own_cluster, old="n1")
    before = container_of(own_cluster, "old")
    own_cluster.replace_certificates()
    start_pods(own_cluster, new="n2")
    assert container_of(own_cluster, "old") == before
    assert reaches(own_cluster, "new", "old")
    own_cluster.check()


def test_a_restored_backup_forgets_later_pods(own_cluster: Cluster) -> None:
    start_pods(own_cluster, kept="n1")
    backup = own_cluster.plane.snapshot()
    start_pods(own_cluster, lost="n2")
    own_cluster.restore(backup)
    start_pods(own_cluster, later="n2")
    assert {pod["metadata"]["name"] for pod in own_cluster.get("pods")["items"]} == {"kept", "later"}
    assert reaches(own_cluster, "later", "kept")
    own_cluster.check()


def test_two_clusters_do_not_see_each_other(cluster: Cluster) -> None:
    with Cluster.up(network="ptp") as second:
        second.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "second"}})
        second.node("n1").run("nft", "add", "table", "inet", "second")
        assert "second" not in cluster.kubectl("get", "namespaces").stdout
        assert "second" not in cluster.node("n1").run("nft", "list", "tables").stdout
    cluster.check()


def test_an_image_of_our_own_runs_on_both_nodes(cluster: Cluster, tmp_path: Path) -> None:
    tag = f"{programs.REGISTRY}/own:1"
    archive = tmp_path / "own.tar"
    program = {"agnhost": Path(programs.program("agnhost"))}
    write_image(archive, "agnhost", programs=program, tags=(tag,), command=("pause",))
    cluster.load_image(archive)
    start_pods(cluster, image=tag, own1="n1", own2="n2")
    assert reaches(cluster, "own1", "own2")


@pytest.mark.slow
def test_upstream_tests_pass_and_fail_as_they_must(cluster: Cluster) -> None:
    """Without a policy engine, what a policy allows works, and what it denies works too."""
    one = r"NetworkPolicy between server and client should support"
    report = cluster.e2e(rf"{one} (allow-all policy|a 'default-deny-ingress' policy)", procs=2)
    assert [name for name in report.passed if "allow-all" in name] == list(report.passed) != []
    assert [failure.test for failure in report.failed if "default-deny" in failure.test] != []
    assert len(report.passed) == len(report.failed) == 1
