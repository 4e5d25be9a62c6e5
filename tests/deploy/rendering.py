"""What is made from the chart: the schema of its settings, install.yaml, uninstall.yaml, kustomize's base.

Helm is the one that deploy/tools pins; Go builds it on first use, which takes minutes.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from policyd.config import Settings
from policyd.errors import EnvironmentRefused

ROOT = Path(__file__).resolve().parent.parent.parent
DEPLOY = ROOT / "deploy"
CHART = DEPLOY / "chart" / "policyd"
SCHEMA = CHART / "values.schema.json"
BASE = DEPLOY / "kustomize" / "base"
MONITORING = DEPLOY / "kustomize" / "overlays" / "monitoring"
NAMESPACE = "policyd"

#: Settings that are no values of the chart, and why.
NO_VALUES = {
    "node": "each pod is told the name of its own node",
    "manifests": "in a cluster the objects come from the API server",
    "recursive": "it belongs to manifests",
    "kubeconfig": "the pod has its service account",
    "context": "it belongs to kubeconfig",
    "state_dir": "the chart mounts it, from stateDirectory",
    "cni_cache": "the chart mounts it, from cniResults",
    "kubelet_pods": "the chart mounts it, from kubeletPods",
    "run_dir": "the chart mounts it",
    "cni_plugin": "the chart sets it, from cniPlugin.mode",
    "cni_conf_dir": "the chart mounts it, from cniPlugin.configurations",
    "cni_bin_dir": "the chart mounts it, from cniPlugin.programs",
}


def render() -> dict[Path, str]:
    """Every file that is made from the chart, with what belongs into it."""
    namespace = (BASE / "namespace.yaml").read_text()
    objects = _template()
    monitoring = _template(
        *(f"monitoring.{switch}=true" for switch in ("podMonitor", "rules", "dashboard")),
        only=("podmonitor", "prometheusrule", "dashboard"),
    )
    cleanup = _template("cleanup=true", only=("daemonset",))
    objects_inside = _template(INSIDE)
    cleanup_inside = _template(INSIDE, "cleanup=true", only=("daemonset",))
    return {
        BASE / "policyd.yaml": f"{_made('')}{objects}",
        MONITORING / "monitoring.yaml": f"{_made('')}{monitoring}",
        DEPLOY / "install.yaml": f"{_made(INSTALL)}---\n{namespace}{objects}",
        DEPLOY / "install-auto.yaml": f"{_made(INSTALL_AUTO)}---\n{namespace}{objects_inside}",
        DEPLOY / "uninstall.yaml": f"{_made(UNINSTALL)}{cleanup}",
        DEPLOY / "uninstall-auto.yaml": f"{_made(UNINSTALL_AUTO)}{cleanup_inside}",
    }


INSTALL = """\
# All of policyd for a cluster whose nodes have the image or can pull it:
#
#   kubectl apply --filename install.yaml
#   kubectl --namespace policyd rollout status daemonset/policyd
"""
INSIDE = "settings.placement=auto"
INSTALL_AUTO = """\
# The same for any network: pods whose packets their node does not see are judged in their own network
# namespaces, and each agent finds out which those are. It takes the capability SYS_ADMIN, and the node's
# directory of these namespaces.
#
#   kubectl apply --filename install-auto.yaml
#   kubectl --namespace policyd rollout status daemonset/policyd
"""
UNINSTALL_AUTO = """\
# The way out for install-auto.yaml: the rules are removed from the pods' namespaces, too.
#
#   kubectl apply --filename uninstall-auto.yaml
#   kubectl --namespace policyd rollout status daemonset/policyd
#   kubectl delete --filename install-auto.yaml
"""
UNINSTALL = """\
# The way out: each pod of policyd gives way to one that removes the rules from its node, and waits.
#
#   kubectl apply --filename uninstall.yaml
#   kubectl --namespace policyd rollout status daemonset/policyd
#   kubectl delete --filename install.yaml
"""


def settings_schema() -> dict[str, Any]:
    """The JSON schema of the chart's `settings`, from the agent's own model."""
    properties = Settings.model_json_schema()["properties"]
    noise = ("title", "default")
    return {
        "type": "object",
        "description": "Settings of `policyd run`, by their names.",
        "additionalProperties": False,
        "properties": {
            name: {key: value for key, value in told.items() if key not in noise}
            for name, told in properties.items()
            if name not in NO_VALUES
        },
    }


def schema_text() -> str:
    """What belongs into values.schema.json: what it says, with the settings as they are."""
    schema: Any = json.loads(SCHEMA.read_text())
    schema["properties"]["settings"] = settings_schema()
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def helm(*arguments: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Run the pinned helm, and give its result, also when it failed."""
    if shutil.which("go") is None:
        raise EnvironmentRefused("no `go` on PATH: to build helm needs Go 1.24 or newer")
    command = ("nice", "go", "tool", "-C", str(DEPLOY / "tools"), "helm", *arguments)
    return subprocess.run(command, input=stdin, check=False, capture_output=True, text=True)


def template(values: Mapping[str, Any]) -> subprocess.CompletedProcess[str]:
    """Render the chart with these values, as `helm install` would."""
    command = ("template", "policyd", str(CHART), "--namespace", NAMESPACE, "--skip-tests", "--values", "-")
    return helm(*command, stdin=json.dumps(dict(values)))


def _template(*settings: str, only: tuple[str, ...] = ()) -> str:
    options = [option for setting in settings for option in ("--set", setting)]
    options += [option for name in only for option in ("--show-only", f"templates/{name}.yaml")]
    result = helm("template", "policyd", str(CHART), "--namespace", NAMESPACE, "--skip-tests", *options)
    if result.returncode != 0:
        raise EnvironmentRefused(f"helm cannot render the chart: {result.stderr.strip()}")
    lines = result.stdout.splitlines(keepends=True)
    return "".join(line for line in lines if not line.startswith("# Source:"))


def _made(text: str) -> str:
    return f"# Made from the chart by `make manifests`; change that.\n{text}"
