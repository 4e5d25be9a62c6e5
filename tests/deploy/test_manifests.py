"""The manifests against the code: what they set exists, and what they allow is what is asked for."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
import yaml

from policyd.agent.daemon import STOP_SECONDS
from policyd.agent.reporting.http import StatusProvider, public
from policyd.config import PREFIX, Settings, load_settings
from policyd.kube.registry import followed
from policyd.version import VERSION
from policyd.watcher import event_writer
from tests.deploy.rendering import BASE, CHART, DEPLOY, MONITORING, NAMESPACE, NO_VALUES

INSTALL = DEPLOY / "install.yaml"
UNINSTALL = DEPLOY / "uninstall.yaml"
#: For any network: pods may be judged in their own namespaces.
INSTALL_AUTO, UNINSTALL_AUTO = DEPLOY / "install-auto.yaml", DEPLOY / "uninstall-auto.yaml"
ALL = (INSTALL, UNINSTALL, INSTALL_AUTO, UNINSTALL_AUTO)
MANIFESTS = (*ALL, *sorted((DEPLOY / "kustomize").rglob("*.yaml")))
IMAGE = f"policyd:{VERSION}"


def documents(path: Path) -> list[dict[str, Any]]:
    return [document for document in yaml.safe_load_all(path.read_text()) if document is not None]


def only(kind: str, path: Path = INSTALL) -> dict[str, Any]:
    (found,) = (document for document in documents(path) if document["kind"] == kind)
    return found


def pod_spec(path: Path = INSTALL) -> dict[str, Any]:
    spec: dict[str, Any] = only("DaemonSet", path)["spec"]["template"]["spec"]
    return spec


def containers(path: Path) -> list[dict[str, Any]]:
    spec = pod_spec(path)
    return [*spec.get("initContainers", ()), *spec["containers"]]


def environment(path: Path = INSTALL) -> dict[str, Any]:
    (container,) = pod_spec(path)["containers"]
    return {entry["name"]: entry.get("value", entry.get("valueFrom")) for entry in container["env"]}


def patches() -> Iterator[dict[str, Any]]:
    for path in (DEPLOY / "kustomize" / "overlays").glob("*/kustomization.yaml"):
        for entry in documents(path)[0].get("patches", ()):
            yield yaml.safe_load(entry["patch"])


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.relative_to(DEPLOY).as_posix())
def test_manifests_are_objects(path: Path) -> None:
    assert documents(path) != []
    assert all(document["apiVersion"] and document["kind"] for document in documents(path))


def test_install_is_the_namespace_and_what_kustomize_starts_from() -> None:
    base = [*documents(BASE / "namespace.yaml"), *documents(BASE / "policyd.yaml")]
    assert documents(INSTALL) == base
    kinds = [document["kind"] for document in base]
    roles = ["ClusterRole", "ClusterRoleBinding", "Role", "RoleBinding"]
    assert kinds == ["Namespace", "ServiceAccount", *roles, "DaemonSet"]


def test_every_object_is_in_the_namespace_or_in_none() -> None:
    for path in (*ALL, MONITORING / "monitoring.yaml"):
        for document in documents(path):
            if document["kind"] not in ("Role", "RoleBinding"):
                assert document["metadata"].get("namespace", NAMESPACE) == NAMESPACE
    assert only("Namespace")["metadata"]["name"] == NAMESPACE


def test_roles_are_bound_to_the_account_of_the_pods() -> None:
    account = {
        "kind": "ServiceAccount",
        "name": pod_spec()["serviceAccountName"],
        "namespace": only("DaemonSet")["metadata"]["namespace"],
    }
    assert only("ServiceAccount")["metadata"]["name"] == account["name"]
    for kind in ("ClusterRole", "Role"):
        binding = only(f"{kind}Binding")
        assert binding["subjects"] == [account]
        assert (binding["roleRef"]["kind"], binding["roleRef"]["name"]) == (
            kind,
            only(kind)["metadata"]["name"],
        )
        assert binding["metadata"].get("namespace") == only(kind)["metadata"].get("namespace")


def test_the_role_allows_to_write_the_events_of_nodes_and_nothing_else() -> None:
    role = only("Role")
    assert role["metadata"]["namespace"] == event_writer.NAMESPACE
    assert event_writer._PATH.endswith("/events")
    assert role["rules"] == [{"apiGroups": [""], "resources": ["events"], "verbs": ["create", "patch"]}]


@pytest.mark.parametrize(("path", "inside"), [(INSTALL, False), (INSTALL_AUTO, True)])
def test_the_cluster_role_allows_what_the_watcher_asks_for_and_nothing_else(
    path: Path, *, inside: bool
) -> None:
    wanted = {
        (kind.group, kind.plural, verb) for kind in followed(inside=inside) for verb in ("list", "watch")
    }
    allowed = [
        (group, resource, verb)
        for rule in only("ClusterRole", path)["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]
    assert sorted(allowed) == sorted(wanted)


def test_settings_of_the_manifests_are_settings_of_the_agent() -> None:
    known = {PREFIX + name.upper() for name in Settings.model_fields}
    set_by_patches = {
        entry["name"]
        for patch in patches()
        for container in patch["spec"]["template"]["spec"]["containers"]
        for entry in container["env"]
    }
    assert (set(environment()) | set_by_patches) - known == set()
    values = {name: value for name, value in environment().items() if isinstance(value, str)}
    load_settings({}, values)
    assert environment()["POLICYD_NODE"] == {"fieldRef": {"fieldPath": "spec.nodeName"}}


def test_settings_that_are_no_values_are_not_set_by_values() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())["settings"]
    assert set(values) <= set(Settings.model_fields) - set(NO_VALUES)


def test_probes_ask_for_paths_that_the_agent_serves_where_it_listens() -> None:
    served = set(public(cast(StatusProvider, None)))  # nobody is asked
    (container,) = pod_spec()["containers"]
    probes = [container["livenessProbe"]["httpGet"], container["readinessProbe"]["httpGet"]]
    assert [probe["path"] for probe in probes] == ["/livez", "/readyz"]
    assert {"/livez", "/readyz", "/metrics"} <= served
    assert {f"{probe['host']}:{probe['port']}" for probe in probes} == {environment()["POLICYD_LISTEN"]}


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_a_container_may_no_more_than_nftables_needs(path: Path) -> None:
    """And, where pods' network namespaces are entered, what that takes."""
    enters = ["SYS_ADMIN"] if path in (INSTALL_AUTO, UNINSTALL_AUTO) else []
    for container in containers(path):
        assert container["securityContext"] == {
            "runAsUser": 0,
            "privileged": False,
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN", *enters]},
            "seccompProfile": {"type": "RuntimeDefault"},
        }
    spec = pod_spec(path)
    assert spec["hostNetwork"] is True
    assert {"hostPID", "hostIPC", "hostUsers"} & set(spec) == set()


@pytest.mark.parametrize(("path", "more"), [(INSTALL, []), (INSTALL_AUTO, ["/run/netns"])])
def test_nothing_else_of_the_node_is_mounted(path: Path, more: list[str]) -> None:
    spec = pod_spec(path)
    paths = {volume["name"]: volume["hostPath"]["path"] for volume in spec["volumes"]}
    pods = "/var/lib/kubelet/pods-api"
    found = sorted(paths.values())
    assert found == sorted(["/run/policyd", "/var/lib/cni/results", pods, "/var/lib/policyd", *more])
    (container,) = spec["containers"]
    mounts = {paths[mount["name"]]: mount for mount in container["volumeMounts"]}
    state, results = mounts["/var/lib/policyd"], mounts["/var/lib/cni/results"]
    assert state["mountPath"] == environment()["POLICYD_STATE_DIR"]
    assert (results["mountPath"], results["readOnly"]) == (environment()["POLICYD_CNI_CACHE"], True)
    assert (mounts[pods]["mountPath"], mounts[pods]["readOnly"]) == (pods, True)
    assert environment()["POLICYD_KUBELET_PODS"] == f"{pods}/pods-api.sock"
    assert mounts["/run/policyd"]["mountPath"] == load_settings({}, {}).settings.run_dir


def test_a_manifest_for_any_network_says_so_and_is_the_same_otherwise() -> None:
    plain, auto = environment(), environment(INSTALL_AUTO)
    assert auto.pop("POLICYD_PLACEMENT") == "auto"
    assert auto == plain
    kinds = [[document["kind"] for document in documents(path)] for path in (INSTALL, INSTALL_AUTO)]
    assert kinds[0] == kinds[1]


@pytest.mark.parametrize("path", ALL, ids=lambda path: path.name)
def test_every_linux_node_gets_a_pod_that_is_not_evicted(path: Path) -> None:
    spec = pod_spec(path)
    assert spec["tolerations"] == [{"operator": "Exists"}]
    assert spec["nodeSelector"] == {"kubernetes.io/os": "linux"}
    assert spec["priorityClassName"] == "system-node-critical"


def test_updates_go_node_by_node_and_wait_for_the_last_transaction() -> None:
    assert only("DaemonSet")["spec"]["updateStrategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": "10%"},
    }
    assert pod_spec()["terminationGracePeriodSeconds"] > STOP_SECONDS


@pytest.mark.parametrize(
    ("install", "uninstall", "more"),
    [(INSTALL, UNINSTALL, set()), (INSTALL_AUTO, UNINSTALL_AUTO, {"/run/netns", "/var/lib/cni/results"})],
    ids=["plain", "auto"],
)
def test_uninstalling_replaces_the_agent_and_runs_cleanup_first(
    install: Path, uninstall: Path, more: set[str]
) -> None:
    """The pods of one DaemonSet never run side by side, and so the agent cannot put the table back."""
    before, after = only("DaemonSet", install), only("DaemonSet", uninstall)
    assert [document["kind"] for document in documents(uninstall)] == ["DaemonSet"]
    assert before["metadata"] == after["metadata"]
    assert before["spec"]["selector"] == after["spec"]["selector"]
    (cleanup,) = pod_spec(uninstall)["initContainers"]
    assert cleanup["args"] == ["cleanup"]
    (agent,) = pod_spec(install)["containers"]
    assert cleanup["env"] == [entry for entry in agent["env"] if entry["name"] != "POLICYD_NODE"]
    [state] = [mount for mount in agent["volumeMounts"] if mount["name"] == "state"]
    assert cleanup["volumeMounts"][0] == state
    # Also where the agent was not to write: whatever was installed by an earlier setting is removed.
    there = {mount["mountPath"] for mount in cleanup["volumeMounts"]}
    assert there == {"/var/lib/policyd", "/etc/cni/net.d", "/opt/cni/bin", *more}
    assert pod_spec(uninstall)["automountServiceAccountToken"] is False


def test_the_image_has_one_name() -> None:
    assert {container["image"] for path in ALL for container in containers(path)} == {IMAGE}
    chart = yaml.safe_load((CHART / "Chart.yaml").read_text())
    assert (chart["version"], chart["appVersion"]) == (VERSION, VERSION)
    script = (DEPLOY.parent / "scripts" / "image").read_text()
    assert "image=policyd:$version\n" in script
    for page in (DEPLOY.parent / "docs" / "install").glob("*.md"):
        named = set(re.findall(r"\bpolicyd:\d[\w.-]*", page.read_text()))
        assert named <= {IMAGE}, page


def test_the_namespace_admits_the_pods() -> None:
    labels = only("Namespace")["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "privileged"
