"""policyd as its users get it: the commands of the install and uninstall pages, run as they are."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.cluster import programs
from tests.cluster.cluster import Cluster
from tests.cluster.policyd.image import ROOT
from tests.cluster.policyd.installation import NAMESPACE, TABLE, Installation
from tests.cluster.policyd.removal import remove

pytestmark = [pytest.mark.cluster, pytest.mark.slow]

PAGES = ROOT / "docs" / "install"
PAGE_SECONDS = 600


def run_page(cluster: Cluster, name: str) -> str:
    """Run a page's blocks of `sh`, as a user would in a checkout, and give what they print."""
    blocks = re.findall(r"^```sh\n(.*?)^```$", (PAGES / name).read_text(), re.MULTILINE | re.DOTALL)
    assert blocks != []
    path = f"{Path(programs.program('kubectl')).parent}:{os.environ['PATH']}"
    result = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", "".join(blocks)],
        cwd=ROOT,
        env={**os.environ, "KUBECONFIG": str(cluster.kubeconfig), "PATH": path},
        check=False,
        capture_output=True,
        text=True,
        timeout=PAGE_SECONDS,
    )
    cluster.check()
    assert result.returncode == 0, result.stdout + result.stderr
    return result.stdout + result.stderr


def test_the_pages_hold_from_installing_to_uninstalling(installation: Installation) -> None:
    remove(installation)
    cluster = installation.cluster
    told = run_page(cluster, "README.md").splitlines()
    assert [line for line in told if line in ("reached", "timed out")] == ["reached", "timed out"]
    for name, node in cluster.nodes.items():
        assert TABLE in installation.tables(name)
        # The nodes' nft is older than the image's, and kube-proxy uses it: it must be able to list our sets.
        assert "table inet policyd" in node.run("nft", "list", "ruleset").stdout
        assert node.run("ls", "/var/lib/policyd").stdout.split() == ["policyd.nft"]

    run_page(cluster, "uninstall.md")
    for name, node in cluster.nodes.items():
        assert TABLE not in installation.tables(name)
        assert node.run("ls", "/var/lib/policyd").stdout == ""
    left = cluster.kubectl("get", "namespaces,clusterroles,clusterrolebindings", "--output", "name").stdout
    assert "policyd" not in left
    assert "policyd" not in cluster.kubectl("get", "roles,rolebindings", "--output", "name").stdout


def test_a_container_holds_one_capability_and_can_write_nothing_else(policyd: Installation) -> None:
    pod = policyd.pods()["n1"]

    def python(code: str) -> str:
        result = policyd.cluster.exec(pod, "python3", "-Ic", code, namespace=NAMESPACE)
        return result.stdout + result.stderr

    status = python("print(open('/proc/1/status').read())")
    assert re.findall(r"^(?:CapEff|CapBnd):\t(\w+)$", status, re.MULTILINE) == ["0000000000001000"] * 2
    assert re.findall(r"^(?:NoNewPrivs|Seccomp):\t(\d)$", status, re.MULTILINE) == ["1", "2"]
    assert "Read-only file system" in python("open('/usr/x', 'w')")
    assert "Read-only file system" in python("open('/var/lib/cni/results/x', 'w')")
    assert "not found" in policyd.cluster.exec(pod, "sh", namespace=NAMESPACE).stderr
