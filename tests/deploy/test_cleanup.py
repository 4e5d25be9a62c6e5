"""The way out: cleanup reads the agent's settings, and leaves nothing that the next agent would restore."""

from __future__ import annotations

import os
import subprocess
from contextlib import closing
from pathlib import Path

import pytest

from policyd.lab.namespace import Namespace
from tests.agent.agents import WORLD, command, nft, policy, running, write
from tests.support.waiting import until

pytestmark = pytest.mark.kernel


def cleanup(namespace: Namespace, **settings: str) -> subprocess.CompletedProcess[str]:
    variables = {f"POLICYD_{name.upper()}": value for name, value in settings.items()}
    with namespace.entered():
        return subprocess.run(
            command("cleanup"), check=False, capture_output=True, text=True, env={**os.environ, **variables}
        )


def test_cleanup_removes_what_the_variables_of_the_agent_name(tmp_path: Path) -> None:
    manifests, state = tmp_path / "manifests", tmp_path / "state"
    manifests.mkdir()
    write(manifests, "world.yaml", WORLD)
    write(manifests, "web.yaml", policy("web", "web", 80))
    with closing(Namespace("cleanup")) as namespace:
        with running(namespace, manifests, "--state-dir", str(state), "--table", "other"):
            until((state / "other.nft").exists)
            refused = cleanup(namespace, table="other", state_dir=str(state))
            assert refused.returncode == 4
            assert (state / "other.nft").exists()
        done = cleanup(namespace, table="other", state_dir=str(state))
        assert (done.returncode, done.stdout) == (0, "")
        assert "removed" in done.stderr
        assert nft(namespace, "list", "tables") == ""
        assert list(state.iterdir()) == []
        again = cleanup(namespace, table="other", state_dir=str(state))
        assert again.returncode == 0
        assert "nothing to remove" in again.stderr


def test_cleanup_removes_both_tables_and_names_them() -> None:
    with closing(Namespace("cleanup")) as namespace:
        for families in (("inet",), ("bridge",), ("inet", "bridge")):
            for family in families:
                nft(namespace, "add", "table", family, "policyd")
            nft(namespace, "add", "table", "bridge", "other")
            done = cleanup(namespace)
            names = " and ".join(f"table {family} policyd" for family in families)
            said = f"policyd: {names} removed: nothing is enforced any more\n"
            assert (done.returncode, done.stderr) == (0, said)
            assert nft(namespace, "list", "tables") == "table bridge other\n"


def test_cleanup_removes_what_a_killed_trial_of_elements_left() -> None:
    with closing(Namespace("cleanup")) as namespace:
        nft(namespace, "add", "table", "inet", "policyd-elements-4294967000")
        assert cleanup(namespace).returncode == 0
        assert nft(namespace, "list", "tables") == ""


def test_a_state_that_cannot_be_removed_is_reported(tmp_path: Path) -> None:
    (tmp_path / "policyd.nft").mkdir()
    with closing(Namespace("cleanup")) as namespace:
        result = cleanup(namespace, state_dir=str(tmp_path))
    assert result.returncode == 4
    assert str(tmp_path / "policyd.nft") in result.stderr
    assert "Traceback" not in result.stderr
