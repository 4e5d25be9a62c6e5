"""Questions by somebody whom the API server lets read one namespace, as a RoleBinding for `view` does."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from tests.cluster.control_plane import ControlPlane
from tests.cluster.policyd.image import ROOT

pytestmark = pytest.mark.cluster

NAMESPACE = "live-shop"
RESOURCES = (
    "namespaces,pods,services,replicationcontrollers,deployments.apps,statefulsets.apps,daemonsets.apps,"
    "replicasets.apps,jobs.batch,cronjobs.batch,networkpolicies.networking.k8s.io"
)


def make(plane: ControlPlane) -> None:
    for name, labels in ((NAMESPACE, {"team": "shop"}), ("live-data", {"team": "data"})):
        plane.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}})
    for name, address in (("web", "10.244.7.10"), ("db", "10.244.7.11")):
        plane.apply(
            {
                "apiVersion": "v1",
                "kind": "Pod",
                "metadata": {"name": name, "namespace": NAMESPACE, "labels": {"app": name}},
                "spec": {"containers": [{"name": "c", "image": "i"}]},
            }
        )
        status = json.dumps({"status": {"podIP": address, "podIPs": [{"ip": address}]}})
        plane.kubectl("patch", "pod", name, "-n", NAMESPACE, "--subresource", "status", "--patch", status)
    where, whom = ({"matchLabels": labels} for labels in ({"team": "shop"}, {"app": "web"}))
    peers = [{"namespaceSelector": where, "podSelector": whom}]
    plane.apply(
        {
            "apiVersion": "networking.k8s.io/v1",
            "kind": "NetworkPolicy",
            "metadata": {"name": "db", "namespace": NAMESPACE},
            "spec": {"podSelector": {"matchLabels": {"app": "db"}}, "ingress": [{"from": peers}]},
        }
    )


def viewer(plane: ControlPlane, folder: Path) -> Path:
    """A kubeconfig of somebody who may view the one namespace."""
    plane.kubectl("create", "serviceaccount", "viewer", "-n", NAMESPACE)
    subject = f"--serviceaccount={NAMESPACE}:viewer"
    # As `view` says it, which controllers put together that do not run here.
    what = ("--verb=get,list,watch", f"--resource={RESOURCES}")
    plane.kubectl("create", "role", "viewer", "-n", NAMESPACE, *what)
    plane.kubectl("create", "rolebinding", "viewer", "-n", NAMESPACE, "--role=viewer", subject)
    token = plane.kubectl("create", "token", "viewer", "-n", NAMESPACE).stdout.strip()
    config = yaml.safe_load(Path(plane.kubeconfig).read_text())
    config["users"] = [{"name": config["users"][0]["name"], "user": {"token": token}}]
    path = folder / "viewer"
    path.write_text(yaml.safe_dump(config))
    return path


def ask(config: Path, *line: str) -> tuple[dict[str, object], str]:
    command = [sys.executable, "-m", "policyd", "why", *line, "-o", "json", "-n", NAMESPACE]
    command += ["--live", "--kubeconfig", str(config)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.stdout, done.stderr
    return json.loads(done.stdout), done.stderr


def test_one_namespace_is_enough_for_questions_about_it(control_plane: ControlPlane, tmp_path: Path) -> None:
    """`view` also lets its Namespace be read, so that selectors of it are decided."""
    make(control_plane)
    config = viewer(control_plane, tmp_path)
    answer, told = ask(config, f"{NAMESPACE}/web", f"{NAMESPACE}/db:80")
    assert (answer["verdict"], f"only namespace {NAMESPACE} may be listed" in told) == ("allowed", True)
    assert "Namespace may not be listed" not in told
    answer, _ = ask(config, "10.244.9.9", f"{NAMESPACE}/db:80")
    assert answer["verdict"] == "unknown"
    answer, told = ask(Path(control_plane.kubeconfig), "10.244.9.9", f"{NAMESPACE}/db:80")
    assert (answer["verdict"], "may not be listed" in told) == ("denied", False)
