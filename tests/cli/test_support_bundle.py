"""policyd support-bundle: from it the ruleset can be compiled again, and it holds no secret."""

from __future__ import annotations

import io
import json
import os
import shlex
import signal
import socket
import subprocess
import tarfile
import tempfile
from pathlib import Path

import pytest
from hypothesis import given

from policyd.agent_api import AgentState
from policyd.cluster.anonymise import anonymise
from policyd.cluster.state import ClusterState
from policyd.doctor.bundle import ANONYMOUS, MEANINGS, replay
from policyd.kube.decode import decode_live
from policyd.lab.namespace import Namespace
from policyd.pipeline import Build, build
from policyd_compiler.ir import Isolation
from policyd_compiler.nft.json_parser import parse_listing
from policyd_compiler.options import Options
from tests.agent.agents import command, run, running
from tests.cli.calls import finish, start
from tests.cli.node import manifests, node
from tests.oracle import Manifest
from tests.strategies.worlds import worlds
from tests.support.waiting import until

__all__ = ["manifests", "node"]

kernel = pytest.mark.kernel


def unpack(packed: bytes) -> dict[str, str]:
    """The files of an archive, which all lie in one folder."""
    found = {}
    with tarfile.open(fileobj=io.BytesIO(packed), mode="r:gz") as archive:
        for member in archive.getmembers():
            content = archive.extractfile(member)
            assert content is not None
            folder, name = member.name.split("/")
            found[name] = content.read().decode()
            assert (folder[:8], member.mode) == ("policyd-", 0o600)
    return found


def without_places(script: str) -> list[str]:
    return [line.split(" (")[0] for line in script.splitlines()]


@kernel
def test_the_command_in_the_readme_compiles_the_ruleset_again(
    node: Namespace, manifests: Path, tmp_path: Path
) -> None:
    state = ("--state-dir", str(tmp_path / "state"))
    flags = ("--pod-interfaces", "cni0,veth*", "--deny", "reject")
    with running(node, manifests, *state, *flags):
        until((tmp_path / "state" / "policyd.nft").exists)
        path = tmp_path / "bundle.tar.gz"
        done = run(node, "support-bundle", "-o", str(path))
    assert (done.returncode, done.stdout) == (0, "")
    assert (path.stat().st_mode & 0o777, list(tmp_path.glob(".*"))) == (0o600, [])
    files = unpack(path.read_bytes())
    assert set(files) == {*MEANINGS, "README.md"}
    for name in ("objects.json", "attachments.json"):
        (tmp_path / name).write_text(files[name])
    [line] = [line for line in files["README.md"].splitlines() if line.startswith("    policyd compile")]
    words = shlex.split(line)
    replayed = subprocess.run(
        command(*words[1:]), cwd=tmp_path, capture_output=True, text=True, check=False, env=environment()
    )
    assert (replayed.returncode, replayed.stderr) == (0, "")
    assert without_places(replayed.stdout) == without_places(files["ruleset.nft"])
    assert "reject" in replayed.stdout
    assert "table bridge policyd" in replayed.stdout
    assert files["saved.nft"] == files["ruleset.nft"]
    assert "enforcing" in files["status.txt"]
    assert parse_listing(files["kernel.json"], "policyd") is not None
    assert parse_listing(files["kernel.json"], "policyd", "bridge") is not None
    assert '"veth1" . 10.0.0.1' in replayed.stdout


@pytest.mark.parametrize(("directory", "unknown"), [("", True), ("manifests", False)])
def test_what_is_replayed_knows_what_may_still_come(directory: str, unknown: bool) -> None:
    """NP-040, NP-168: an agent on an API server takes a missing Namespace otherwise than `compile -f`."""
    line = replay(AgentState(settings={"node": "n1", "manifests": directory}), ())
    assert ("--missing-namespaces unknown" in line) is unknown


def environment() -> dict[str, str]:
    root = Path(__file__).resolve().parents[2]
    return {**os.environ, "PYTHONPATH": os.pathsep.join((str(root), str(root / "compiler")))}


@kernel
def test_it_goes_to_standard_output_and_nothing_else_does(node: Namespace, manifests: Path) -> None:
    with running(node, manifests), node.entered():
        done = subprocess.run(command("support-bundle", "-o", "-"), capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert "objects.json" in unpack(done.stdout)


@kernel
def test_without_an_agent_it_holds_what_there_is_and_says_what_is_missing(
    node: Namespace, tmp_path: Path
) -> None:
    path = tmp_path / "bundle.tar.gz"
    done = run(node, "support-bundle", "-o", str(path))
    assert done.returncode == 1
    assert "missing in the bundle: objects.json: no agent answers" in done.stderr
    files = unpack(path.read_bytes())
    assert set(files) == {"README.md", "doctor.txt", "doctor.json", "settings.json"}
    assert "- kernel.json: there is no table inet policyd" in files["README.md"]


@kernel
def test_it_holds_no_secret(node: Namespace, manifests: Path, tmp_path: Path) -> None:
    """Neither the environment, nor what a kubeconfig holds, nor what objects hold that decides nothing."""
    secret = "s3cr3t-in-many-places"  # noqa: S105 it is nobody's
    config = tmp_path / "kubeconfig"
    config.write_text(f"users: [{{name: u, user: {{token: {secret}}}}}]\n")
    (manifests / "pod.yaml").write_text(
        "apiVersion: v1\nkind: Pod\nmetadata: {name: s, namespace: shop, annotations: {key: SECRET}}\n"
        "spec: {nodeName: n1, containers: [{name: c, env: [{name: P, value: SECRET}]}]}\n".replace(
            "SECRET", secret
        )
    )
    path = tmp_path / "bundle.tar.gz"
    with running(node, manifests), node.entered():
        done = subprocess.run(
            command("support-bundle", "--kubeconfig", str(config), "-o", str(path)),
            capture_output=True, text=True, check=False, env={**os.environ, "PASSWORD": secret},
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    files = unpack(path.read_bytes())
    assert json.loads(files["settings.json"])["kubeconfig"] == str(config)
    assert [name for name, text in files.items() if secret in text] == []


@kernel
def test_an_anonymous_one_names_nobody_and_compiles(node: Namespace, manifests: Path, tmp_path: Path) -> None:
    path = tmp_path / "bundle.tar.gz"
    with running(node, manifests):
        done = run(node, "support-bundle", "--anonymise", "-o", str(path))
        plain = run(node, "compile", "-f", str(manifests), "--node", "n1")
    assert done.returncode == 0
    files = unpack(path.read_bytes())
    assert set(files) == {*ANONYMOUS, "README.md"}
    assert [
        (n, w) for n, text in files.items() for w in ("shop", "web", "db", "n1", "app") if w in words(text)
    ] == []
    (tmp_path / "objects.json").write_text(files["objects.json"])
    done = run(node, "compile", "-f", str(tmp_path / "objects.json"), "--node", "node-1", "--no-sources")
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("\n") == plain.stdout.count("\n")


def words(text: str) -> set[str]:
    return set("".join(c if c.isalnum() else " " for c in text).split())


@given(worlds())
def test_other_names_mean_the_same(world: list[Manifest]) -> None:
    decoded = (decode_live(raw).item for raw in world)
    state = ClusterState.of(item for item in decoded if item is not None)
    renamed = anonymise(state)
    nodes, other_nodes = state.node_names(), renamed.node_names()
    assert len(nodes) == len(other_nodes)
    for name, other in zip(nodes, other_nodes, strict=True):
        assert shape(build(state, name, Options())) == shape(build(renamed, other, Options()))


def said(isolation: Isolation | None) -> str:
    """What an isolation allows, whoever says so."""
    if isolation is None:
        return "open"
    rules = [rule for stage in isolation.stages for rule in stage.rules]
    return repr(sorted((repr(r.peers), repr(r.ports)) for r in rules))


def shape(built: Build) -> object:
    """A ruleset without names: who is judged by which rules, by address."""
    hosts = built.snapshot.hosts
    judged = sorted(
        (e.host.v4 or 0, e.host.v6 or 0, said(e.ingress), said(e.egress)) for e in built.snapshot.endpoints
    )
    return hosts, judged, built.stats


def test_an_archive_is_not_for_a_terminal(tmp_path: Path) -> None:
    shell = ["script", "-qec", shlex.join(command("support-bundle", "-o", "-")), "/dev/null"]
    done = subprocess.run(shell, capture_output=True, text=True, check=False, env=environment())
    assert done.returncode == 2
    assert "an archive is not for a terminal" in done.stdout


def test_a_place_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    done = finish(start("support-bundle", "--run-dir", tmp_path, "-o", tmp_path / "none" / "x"))
    assert (done.code, done.out) == (4, "")
    assert "cannot be written: no such file or directory; -o names another place" in done.err


def test_ctrl_c_leaves_nothing_behind(tmp_path: Path) -> None:
    """While it waits for an answer that does not come."""
    with tempfile.TemporaryDirectory() as folder, socket.socket(socket.AF_UNIX) as silent:
        silent.bind(f"{folder}/policyd.sock")
        silent.listen()
        process = start("support-bundle", "--run-dir", folder, "-o", tmp_path / "b.tar.gz")
        connection, _ = silent.accept()
        with connection:
            process.send_signal(signal.SIGINT)
            done = finish(process)
    assert (done.code, done.out, done.err) == (130, "", "")
    assert list(tmp_path.iterdir()) == []
