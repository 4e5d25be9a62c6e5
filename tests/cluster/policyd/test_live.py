"""What a node enforces can be had, byte for byte, by whoever may read the API server."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cluster.policyd.image import ROOT
from tests.cluster.policyd.installation import Installation
from tests.cluster.policyd.pods import Place, Pods, policy

pytestmark = pytest.mark.cluster

COMPILE_SECONDS = 60
TRIES = 10


def compiled(policyd: Installation, node: str) -> str:
    """What `policyd compile --live` makes for a node, with the settings that its agent has."""
    settings = policyd.state(node)["settings"]
    flags = {
        "kubeconfig": policyd.cluster.kubeconfig,
        "node": node,
        "generation": policyd.generation(node),
        "pod-interfaces": ",".join(settings["pod_interfaces"]),
    }
    given = [part for name, value in flags.items() for part in (f"--{name}", str(value))]
    result = subprocess.run(
        [sys.executable, "-m", "policyd", "compile", "--live", *given],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=COMPILE_SECONDS,
        check=False,
    )
    assert (result.returncode, result.stderr) == (0, "")
    return result.stdout


def agreed(policyd: Installation, node: str) -> tuple[str, str]:
    """What a node enforces and what is compiled for it, when both are the same, or else after some tries.

    Between two questions the cluster changes, as when the pods of another test end.
    """
    enforced, printed = "", compiled(policyd, node)
    for _ in range(TRIES):
        enforced = policyd.ask(node, "/debug/ruleset")[1]
        if printed == enforced:
            break
        printed = compiled(policyd, node)
    return enforced, printed


def test_compile_live_prints_what_each_node_enforces(policyd: Installation, pods: Pods) -> None:
    namespace = pods.namespace("live", {"team": "live"})
    places = {
        "web": Place("n1", {"app": "web"}, {"http": 8080}),
        "client": Place("n2", {"app": "client"}),
    }
    web, client = ({"podSelector": {"matchLabels": {"app": app}}} for app in ("web", "client"))
    policyd.cluster.apply(
        policy("web", namespace, **web, ingress=[{"from": [client], "ports": [{"port": "http"}]}]),
        policy("client", namespace, **client, policyTypes=["Egress"], egress=[{"to": [web]}]),
    )
    started = pods.start(namespace, places)
    for name, place in places.items():
        enforced, printed = agreed(policyd, place.node)
        assert printed == enforced
        assert [address for address in started[name].addresses if address not in enforced] == []
