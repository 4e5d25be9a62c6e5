"""`policyd compile --live`: the cluster as it is, and what a person is told of it on the way."""

from __future__ import annotations

import asyncio
import signal
import socket
from pathlib import Path

import pytest

from policyd.errors import Exit
from tests.cases.form import ingress, namespaces, pod, requirement
from tests.cli.calls import SHOP, Result, as_list, finish, start
from tests.watcher.emulator import KINDS, POLICIES, Emulator
from tests.watcher.objects import policy
from tests.watcher.server import write_kubeconfig

INTERRUPTED = 130


def cluster() -> Emulator:
    """An API server that holds the shop."""
    emulator = Emulator()
    for path, kind in KINDS.items():
        emulator.put(path, *(manifest for manifest in SHOP if manifest["kind"] == kind))
    return emulator


async def compile_live(emulator: Emulator, folder: Path, *flags: str) -> Result:
    """Compile what a server holds: for n1, or as these flags say."""
    async with emulator.serve():
        write_kubeconfig(folder / "config", emulator.url)
        line = ("compile", "--live", "--kubeconfig", folder / "config")
        more = flags or ("--node", "n1")
        return await asyncio.to_thread(lambda: finish(start(*line, *more)))


async def test_a_cluster_and_its_manifests_are_the_same_bytes(tmp_path: Path) -> None:
    file = tmp_path / "shop.json"
    file.write_text(as_list(*SHOP))
    read = finish(start("compile", "-f", file, "--node", "n1", "--no-sources"))
    assert "10.244.1.10" in read.out
    assert await compile_live(cluster(), tmp_path) == Result(Exit.OK, read.out, "")


async def test_a_namespace_that_is_missing_may_still_come(tmp_path: Path) -> None:
    """NP-168: as for the agent, no namespaceSelector matches its pods; the objects alone say the same."""
    other = {"from": [namespaces(requirement("team", "NotIn", "evil"))]}
    objects = (*SHOP, pod("late/new", "10.244.9.9"), ingress("shop", "web", other, name="others"))
    emulator = cluster()
    for path, kind in KINDS.items():
        emulator.put(path, *(manifest for manifest in objects if manifest["kind"] == kind))
    live = await compile_live(emulator, tmp_path)
    assert live.code == Exit.OK
    assert "10.244.9.9" not in live.out
    assert "namespace late is not known yet" in live.err
    file = tmp_path / "objects.json"
    file.write_text(as_list(*objects))
    line = ("compile", "-f", file, "--node", "n1", "--no-sources")
    assert finish(start(*line, "--missing-namespaces", "unknown")).out == live.out
    assert "10.244.9.9" in finish(start(*line)).out


@pytest.mark.parametrize("source", ["environment", "file", "flag"])
async def test_it_compiles_with_the_settings_of_the_agent(
    source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As `kubectl exec POD -- policyd compile --live` must: the container's variables are the agent's."""
    file = tmp_path / "shop.json"
    file.write_text(as_list(*SHOP))
    flags = ("--node", "n1", "--pod-interfaces", "cni0,veth*", "--deny", "reject")
    expected = finish(start("compile", "-f", file, "--no-sources", *flags)).out
    settings = tmp_path / "settings.yaml"
    settings.write_text("node: n1\npod_interfaces: [cni0, veth*]\ndeny: reject\n")
    if source == "environment":
        monkeypatch.setenv("POLICYD_NODE", "n1")
        monkeypatch.setenv("POLICYD_POD_INTERFACES", "cni0,veth*")
        monkeypatch.setenv("POLICYD_DENY", "reject")
        result = await compile_live(cluster(), tmp_path, "-o", "nft")
    elif source == "file":
        monkeypatch.setenv("POLICYD_DENY", "drop")  # which a flag outweighs
        result = await compile_live(cluster(), tmp_path, "--config", str(settings), "--deny", "reject")
    else:
        monkeypatch.setenv("POLICYD_POD_INTERFACES", "eth9")
        result = await compile_live(cluster(), tmp_path, *flags)
    assert (result.code, result.out) == (Exit.OK, expected)
    origin = {"environment": "(environment)", "file": f"({settings})", "flag": ""}[source]
    assert ("--pod-interfaces cni0,veth*" in result.err) == bool(origin)
    assert origin in result.err


def test_manifests_are_compiled_the_same_whatever_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "shop.json"
    file.write_text(as_list(*SHOP))
    plain = finish(start("compile", "-f", file, "--node", "n1"))
    monkeypatch.setenv("POLICYD_POD_INTERFACES", "cni0")
    assert finish(start("compile", "-f", file, "--node", "n1")) == plain


async def test_what_is_not_understood_is_a_warning_with_its_place(tmp_path: Path) -> None:
    emulator = cluster()
    rule = {"from": [{"ipBlock": {"cidr": "10.0.0.0/99"}}]}
    emulator.put(POLICIES, policy("odd", {"podSelector": {}, "ingress": [rule]}))
    result = await compile_live(emulator, tmp_path)
    assert result.code == Exit.OK
    assert result.out.startswith("add table")
    told, count = result.err.splitlines()
    assert told.startswith("NetworkPolicy shop/odd: warning: spec.ingress[0].from[0].ipBlock.cidr: ")
    assert told.endswith("; what is not understood allows nothing")
    assert count == "policyd: 1 warning"


async def test_a_missing_permission_to_list_is_one_line(tmp_path: Path) -> None:
    emulator = cluster()
    emulator.forbidden.add(POLICIES)
    result = await compile_live(emulator, tmp_path)
    assert (result.code, result.out) == (Exit.ENVIRONMENT, "")
    (line,) = result.err.splitlines()
    assert line.startswith("policyd: error: the cluster cannot be listed: NetworkPolicy: HTTP 403")


def test_what_one_waits_for_is_reported_once_and_ctrl_c_ends_it(tmp_path: Path) -> None:
    with socket.socket() as silent:  # bound, and listening to nobody
        silent.bind(("127.0.0.1", 0))
        port = silent.getsockname()[1]
        write_kubeconfig(tmp_path / "config", f"http://127.0.0.1:{port}")
        process = start("compile", "--live", "--kubeconfig", tmp_path / "config", "--node", "n1")
        try:
            assert process.stderr is not None
            line = process.stderr.readline()
            process.send_signal(signal.SIGINT)
            result = finish(process)
        finally:
            process.kill()
    assert f": cannot connect to 127.0.0.1 port {port}: connection refused; " in line
    assert line.endswith("trying again, for 60 s in all\n")
    assert result == Result(INTERRUPTED, "", "")
