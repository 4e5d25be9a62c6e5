"""The chart: its schema holds the agent's settings, and what is committed is what it renders."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from policyd.kube.registry import KINDS, SERVED
from tests.cluster import programs
from tests.deploy.chart_readme import README, readme_text, rows, settings_rows
from tests.deploy.rendering import CHART, DEPLOY, NAMESPACE, ROOT, SCHEMA, helm, render, schema_text, template

REMAKE = "run `make manifests`"


def test_the_schema_has_every_setting() -> None:
    assert SCHEMA.read_text() == schema_text(), REMAKE


def test_the_schema_has_every_value() -> None:
    values = yaml.safe_load((CHART / "values.yaml").read_text())
    properties = json.loads(SCHEMA.read_text())["properties"]
    assert set(values) == set(properties) - {"global"}
    for name, told in properties.items():
        if name not in ("settings", "global") and "properties" in told:
            assert set(values[name]) == set(told["properties"]), name


def test_the_readme_has_every_value_with_its_default_and_what_it_is_for() -> None:
    assert README.read_text() == readme_text(), REMAKE
    found = [*rows(), *settings_rows()]
    assert [name for name, _, text in found if not text] == []
    assert {name.partition(".")[0] for name, _, _ in rows()} | {"settings"} == set(
        yaml.safe_load((CHART / "values.yaml").read_text())
    )


def rendered(values: dict[str, Any]) -> list[dict[str, Any]]:
    result = template(values)
    assert result.returncode == 0, result.stderr
    return [document for document in yaml.safe_load_all(result.stdout) if document is not None]


def daemonset(values: dict[str, Any]) -> dict[str, Any]:
    (found,) = (document for document in rendered(values) if document["kind"] == "DaemonSet")
    return found


def container(values: dict[str, Any]) -> dict[str, Any]:
    (found,) = daemonset(values)["spec"]["template"]["spec"]["containers"]
    assert isinstance(found, dict)
    return found


@pytest.mark.cluster
def test_what_is_committed_is_what_the_chart_renders() -> None:
    old = [str(path.relative_to(ROOT)) for path, text in render().items() if path.read_text() != text]
    assert old == [], REMAKE


@pytest.mark.cluster
def test_the_test_of_the_chart_comes_in_order_and_goes() -> None:
    """A server, a client before the policy, the policy, a client after it; each next one has more weight."""
    hooks = {}
    only = ("--show-only", "templates/tests/enforcement.yaml")
    for each in yaml.safe_load_all(helm("template", "policyd", str(CHART), *only).stdout):
        annotations = each["metadata"].get("annotations", {})
        if "helm.sh/hook" in annotations:
            assert annotations["helm.sh/hook"] == "test"
            assert annotations["helm.sh/hook-delete-policy"] == "before-hook-creation,hook-succeeded"
            hooks[int(annotations["helm.sh/hook-weight"])] = each["kind"], each["metadata"]["name"]
    assert [hooks[weight] for weight in sorted(hooks)] == [
        ("Service", "policyd-test"),
        ("Deployment", "policyd-test"),
        ("Pod", "policyd-test-before"),
        ("NetworkPolicy", "policyd-test"),
        ("Pod", "policyd-test-enforced"),
    ]


@pytest.mark.cluster
def test_helm_finds_nothing_to_criticise() -> None:
    result = helm("lint", "--strict", str(CHART))
    assert result.returncode == 0, result.stdout


@pytest.mark.cluster
def test_settings_become_variables() -> None:
    settings = {"pod_interfaces": ["cni0", "veth*"], "verify_interval": 12.5, "deny": "reject", "table": "t"}
    variables = {entry["name"]: entry.get("value") for entry in container({"settings": settings})["env"]}
    del variables["POLICYD_NODE"]
    assert variables == {
        "POLICYD_POD_INTERFACES": "cni0,veth*",
        "POLICYD_VERIFY_INTERVAL": "12.5",
        "POLICYD_DENY": "reject",
        "POLICYD_TABLE": "t",
        "POLICYD_LISTEN": "127.0.0.1:9471",
        "POLICYD_STATE_DIR": "/var/lib/policyd",
        "POLICYD_CNI_CACHE": "/var/lib/cni/results",
        "POLICYD_KUBELET_PODS": "/var/lib/kubelet/pods-api/pods-api.sock",
    }


@pytest.mark.cluster
def test_the_kubelet_is_where_it_is_said_to_be_or_left_alone() -> None:
    values = {"kubeletPods": "/var/lib/k0s/kubelet/pods-api"}
    volumes = daemonset(values)["spec"]["template"]["spec"]["volumes"]
    [found] = [each["hostPath"] for each in volumes if each["name"] == "kubelet-pods"]
    assert found == {"path": values["kubeletPods"], "type": "DirectoryOrCreate"}
    off = daemonset({"kubeletPods": ""})["spec"]["template"]["spec"]
    [worker] = off["containers"]
    assert "kubelet-pods" not in [each["name"] for each in (*off["volumes"], *worker["volumeMounts"])]
    assert "POLICYD_KUBELET_PODS" not in [each["name"] for each in worker["env"]]


@pytest.mark.cluster
@pytest.mark.parametrize("mode", ["copy", "conflist", "drop-in"])
def test_the_plugin_is_installed_only_where_it_is_asked_for(mode: str) -> None:
    places = {"/etc/cni/net.d": "/var/lib/x/net.d", "/opt/cni/bin": "/opt/cni/bin"}
    assert places.keys().isdisjoint(mount["mountPath"] for mount in container({})["volumeMounts"])
    values = {"cniPlugin": {"mode": mode, "configurations": "/var/lib/x/net.d"}}
    variables = {entry["name"]: entry.get("value") for entry in container(values)["env"]}
    assert variables["POLICYD_CNI_PLUGIN"] == mode
    assert (variables["POLICYD_CNI_CONF_DIR"], variables["POLICYD_CNI_BIN_DIR"]) == tuple(places)
    mounts = {mount["mountPath"]: mount["name"] for mount in container(values)["volumeMounts"]}
    volumes = {each["name"]: each for each in daemonset(values)["spec"]["template"]["spec"]["volumes"]}
    assert {path: volumes[mounts[path]]["hostPath"]["path"] for path in places} == places


@pytest.mark.cluster
@pytest.mark.parametrize("cleanup", [False, True])
def test_what_enters_pods_namespaces_is_asked_for_only_where_it_is_needed(cleanup: bool) -> None:
    """CAP_SYS_ADMIN and the directory of namespaces: with the placement pod, and to clean up after it."""

    def asked(placement: str) -> tuple[list[str], bool]:
        found = daemonset({"settings": {"placement": placement}, "cleanup": cleanup})
        spec = found["spec"]["template"]["spec"]
        [worker] = spec["initContainers"] if cleanup else spec["containers"]
        mounts = {mount["mountPath"]: mount.get("mountPropagation") for mount in worker["volumeMounts"]}
        named = mounts.get("/run/netns") == "HostToContainer" and "/var/lib/cni/results" in mounts
        return worker["securityContext"]["capabilities"]["add"], named

    assert asked("host") == (["NET_ADMIN"], False)
    assert asked("pod") == (["NET_ADMIN", "SYS_ADMIN"], True)


@pytest.mark.cluster
def test_services_are_asked_for_only_where_pods_are_judged_by_their_addresses() -> None:
    def followed(placement: str) -> list[str]:
        rendered = template({"settings": {"placement": placement}})
        documents = [each for each in yaml.safe_load_all(rendered.stdout) if each]
        [role] = [each for each in documents if each["kind"] == "ClusterRole"]
        assert all(rule["verbs"] == ["list", "watch"] for rule in role["rules"])
        return sorted(plural for rule in role["rules"] for plural in rule["resources"])

    kinds = sorted(kind.plural for kind in KINDS)
    assert followed("host") == kinds
    assert followed("auto") == followed("pod") == sorted([*kinds, *(kind.plural for kind in SERVED)])


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"settings": {"denny": "drop"}}, "additional properties 'denny' not allowed"),
        ({"settings": {"deny": "refuse"}}, "'drop', 'reject'"),
        ({"settings": {"pod_interfaces": "cni0"}}, "got string, want array"),
        ({"setings": {}}, "additional properties 'setings' not allowed"),
        ({"image": {"tag": "latest"}}, "'not' failed"),
        ({"maxUnavailable": "some"}, "does not match pattern"),
    ],
)
def test_a_mistaken_value_is_refused(values: dict[str, Any], sentence: str) -> None:
    result = template(values)
    assert result.returncode != 0
    assert sentence in result.stderr


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("listen", "probe"),
    [
        ("127.0.0.1:9471", {"host": "127.0.0.1", "port": 9471}),
        (":8080", {"host": "127.0.0.1", "port": 8080}),
        ("0.0.0.0:9471", {"host": "127.0.0.1", "port": 9471}),
        ("[::]:9471", {"host": "::1", "port": 9471}),
        ("[fd00::1]:9471", {"host": "fd00::1", "port": 9471}),
        ("192.0.2.7:9471", {"host": "192.0.2.7", "port": 9471}),
    ],
)
def test_probes_ask_where_the_agent_listens(listen: str, probe: dict[str, Any]) -> None:
    found = container({"settings": {"listen": listen}})
    assert found["readinessProbe"]["httpGet"] == {"path": "/readyz", **probe}
    assert found["livenessProbe"]["httpGet"] == {"path": "/livez", **probe}


@pytest.mark.cluster
def test_without_a_listener_there_are_no_probes() -> None:
    assert {"livenessProbe", "readinessProbe", "ports"} & set(
        container({"settings": {"listen": ""}})
    ) == set()


@pytest.mark.cluster
@pytest.mark.parametrize(
    ("switch", "kind"),
    [
        ("service", "Service"),
        ("podMonitor", "PodMonitor"),
        ("rules", "PrometheusRule"),
        ("dashboard", "ConfigMap"),
    ],
)
def test_each_object_of_monitoring_has_a_switch_and_your_labels(switch: str, kind: str) -> None:
    labels = {"release": "prometheus"}
    found = {item["kind"]: item for item in rendered({"monitoring": {switch: True, "labels": labels}})}
    assert set(found) - {item["kind"] for item in rendered({})} == {kind}
    assert labels.items() <= found[kind]["metadata"]["labels"].items()


@pytest.mark.cluster
def test_metrics_that_somebody_collects_are_listened_for_on_the_node() -> None:
    for switch in ("service", "podMonitor"):
        found = container({"monitoring": {switch: True}})
        assert {"name": "POLICYD_LISTEN", "value": ":9471"} in found["env"]
        assert found["ports"] == [{"name": "metrics", "containerPort": 9471}]


@pytest.mark.cluster
def test_an_image_of_your_own_is_taken_as_you_name_it() -> None:
    image = {"repository": "registry.example/policyd", "tag": "x", "digest": "sha256:" + 64 * "0"}
    assert container({"image": image})["image"] == f"registry.example/policyd:x@sha256:{64 * '0'}"


@pytest.mark.cluster
@pytest.mark.parametrize("overlay", ["base", "overlays/cni-plugin", "overlays/debug", "overlays/monitoring"])
def test_kustomize_keeps_what_is_installed(overlay: str) -> None:
    """An overlay adds to what install.yaml has, and takes nothing away."""
    command = (programs.program("kubectl"), "kustomize", str(DEPLOY / "kustomize" / overlay))
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    found = {item["kind"]: item for item in yaml.safe_load_all(result.stdout)}
    for item in yaml.safe_load_all((DEPLOY / "install.yaml").read_text()):
        assert found[item["kind"]]["metadata"] == item["metadata"]
        if item["kind"] != "DaemonSet":
            assert found[item["kind"]] == item
    (before,), (after,) = (
        document["spec"]["template"]["spec"]["containers"]
        for document in (_daemonset(DEPLOY / "install.yaml"), found["DaemonSet"])
    )
    assert {entry["name"] for entry in before["env"]} <= {entry["name"] for entry in after["env"]}
    assert before["securityContext"] == after["securityContext"]


def _daemonset(path: Path) -> dict[str, Any]:
    (found,) = (item for item in yaml.safe_load_all(path.read_text()) if item["kind"] == "DaemonSet")
    assert found["metadata"]["namespace"] == NAMESPACE
    return dict(found)
