"""On a kernel without family bridge policies are enforced all the same, and what passes there is said."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from policyd.errors import Exit
from policyd.lab.namespace import Namespace
from tests.agent.agents import nft, run, running
from tests.agent.asking import ask
from tests.cli.node import manifests, node
from tests.support.no_bridge import put_in_path
from tests.support.waiting import until

__all__ = ["manifests", "node"]

pytestmark = pytest.mark.kernel

FLAGS = ("--backend", "program", "--pod-interfaces", "cni0,veth*")
TEXT = "the ports of cni0 are not guarded, so between their pods tagged frames, "
NFT_SAYS = "Could not process rule: Operation not supported"


@pytest.fixture
def without_bridge(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", put_in_path(tmp_path / "bin", os.environ["PATH"]))


@pytest.mark.usefixtures("without_bridge")
def test_all_but_the_ports_of_bridges_is_enforced_and_everything_says_so(
    node: Namespace, manifests: Path
) -> None:
    """NP-160, NP-161."""
    with running(node, manifests, *FLAGS) as agent:
        assert agent.says("ruleset in force")
        assert nft(node, "list", "tables").splitlines() == ["table inet policyd"]
        # Who hears a group nobody can tell, so isolated pods are closed to all of them.
        assert "ip daddr 224.0.0.0/4" in nft(node, "list", "table", "inet", "policyd")
        until(lambda: f"[-] bridge-unguarded: {TEXT}" in ask(node, "/readyz")[1])
        metrics = ask(node, "/metrics")[1]
        assert 'policyd_condition{condition="bridge-unguarded"} 1.0' in metrics
        assert "policyd_enforcing 0.0" in metrics
        until(lambda: agent.says("a condition began"))
        status, doctor = run(node, "status"), run(node, "doctor")
    assert (status.returncode, f"DEGRADED: bridge-unguarded: {TEXT}" in status.stdout) == (Exit.FINDING, True)
    said = [line for line in doctor.stdout.splitlines() if line.startswith("FAIL    ports ")]
    assert ([NFT_SAYS in line for line in said], doctor.returncode) == ([True], Exit.FINDING)


def test_where_the_kernel_takes_it_the_table_stands_alongside(node: Namespace, manifests: Path) -> None:
    with running(node, manifests, *FLAGS):
        assert nft(node, "list", "tables").splitlines() == ["table inet policyd", "table bridge policyd"]
        until(lambda: ask(node, "/readyz")[0] == 200)


def test_a_saved_ruleset_of_another_kernel_comes_into_force_without_it(
    node: Namespace, manifests: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    with running(node, manifests, *FLAGS, "--state-dir", str(state)):
        until((state / "policyd.nft").exists)
    assert "table bridge policyd" in (state / "policyd.nft").read_text()
    nft(node, "flush", "ruleset")
    monkeypatch.setenv("PATH", put_in_path(tmp_path / "bin", os.environ["PATH"]))
    with running(node, manifests, *FLAGS, "--state-dir", str(state)) as agent:
        assert agent.says("the ruleset from before is in force until the cluster is known again")
        assert nft(node, "list", "tables").splitlines() == ["table inet policyd"]
