"""The control plane does what tests of the watcher rely on."""

from __future__ import annotations

import json
import signal

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.cluster.failures import ClusterFailed, wait_until

pytestmark = pytest.mark.cluster


def make_namespace(plane: ControlPlane, name: str) -> None:
    plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}})


def namespaces(plane: ControlPlane) -> set[str]:
    return {item["metadata"]["name"] for item in plane.get("namespaces")["items"]}


def watch(plane: ControlPlane, version: str) -> str:
    """Watch namespaces from a version on for a second; give the events, or the refusal."""
    path = f"/api/v1/namespaces?watch=true&timeoutSeconds=1&resourceVersion={version}"
    return plane.kubectl("get", "--raw", path).stdout


def test_pods_are_objects_without_nodes(control_plane: ControlPlane) -> None:
    make_namespace(control_plane, "pods")
    containers = [{"name": "web", "image": "web"}]
    metadata = {"name": "web", "namespace": "pods"}
    control_plane.apply(
        {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": {"containers": containers}}
    )
    status = '{"status": {"podIP": "10.244.0.7"}}'
    control_plane.kubectl("patch", "pod", "web", "-n", "pods", "--subresource", "status", "--patch", status)
    assert control_plane.get("pod", "web", namespace="pods")["status"]["podIP"] == "10.244.0.7"


def test_objects_survive_a_crash_of_everything(own_control_plane: ControlPlane) -> None:
    make_namespace(own_control_plane, "kept")
    own_control_plane.apiserver.kill()
    own_control_plane.etcd.kill()
    own_control_plane.etcd.start()
    own_control_plane.apiserver.start()
    own_control_plane.wait_until_ready()
    assert "kept" in namespaces(own_control_plane)


def test_a_compacted_version_is_gone_after_a_restart(own_control_plane: ControlPlane) -> None:
    listed = own_control_plane.kubectl("get", "--raw", "/api/v1/namespaces").stdout
    before = json.loads(listed)["metadata"]["resourceVersion"]
    make_namespace(own_control_plane, "later")
    assert '"ADDED"' in watch(own_control_plane, before)
    own_control_plane.compact()
    own_control_plane.apiserver.restart()
    own_control_plane.wait_until_ready()
    assert '"code":410' in watch(own_control_plane, before)


@pytest.mark.parametrize(("bump_revision", "direction"), [(0, "back"), (1_000_000, "forward")])
def test_a_restored_backup_moves_versions(
    own_control_plane: ControlPlane, bump_revision: int, direction: str
) -> None:
    backup = own_control_plane.snapshot()
    for number in range(20):
        make_namespace(own_control_plane, f"lost-{number}")
    before = own_control_plane.revision()
    own_control_plane.restore(backup, bump_revision=bump_revision)
    assert "lost-0" not in namespaces(own_control_plane)
    assert (own_control_plane.revision() < before) is (direction == "back")


def test_old_access_is_refused_after_new_certificates(own_control_plane: ControlPlane) -> None:
    old = own_control_plane.kubeconfig.read_text()
    own_control_plane.replace_certificates()
    assert "default" in namespaces(own_control_plane)
    own_control_plane.kubeconfig.write_text(old)
    with pytest.raises(ClusterFailed, match="certificate signed by unknown authority"):
        own_control_plane.get("namespaces")


def test_a_paused_api_server_hangs_and_goes_on(own_control_plane: ControlPlane) -> None:
    own_control_plane.apiserver.pause()
    with pytest.raises(ClusterFailed, match=r"Timeout|timeout"):
        own_control_plane.kubectl("get", "namespaces", "--request-timeout", "1s")
    own_control_plane.apiserver.resume()
    assert own_control_plane.ready()


def test_a_closed_door_is_a_broken_network(own_control_plane: ControlPlane) -> None:
    own_control_plane.door.stop()
    with pytest.raises(ClusterFailed, match=r"[Tt]imeout"):
        own_control_plane.kubectl("get", "namespaces", "--request-timeout", "1s")
    own_control_plane.door.start()
    assert own_control_plane.ready()
    own_control_plane.check()


def test_flags_reach_the_api_server() -> None:
    with ControlPlane.up(flags=("--max-requests-inflight", "7")) as plane:
        command = plane.machine.run("ps", "-ww", "-C", "kube-apiserver", "-o", "args=").stdout
    assert "--max-requests-inflight 7" in command


def test_a_component_that_ends_by_itself_is_named_with_its_log(own_control_plane: ControlPlane) -> None:
    own_control_plane.etcd._signal(signal.SIGKILL)
    with pytest.raises(ClusterFailed, match=r"(?s)etcd ended by itself with status -9:\n    \S"):
        wait_until(lambda: False, "nothing", seconds=10, check=own_control_plane.check)
