"""The state file: what was in force is there again after a reboot; what is not ours, or torn, is not used."""

from __future__ import annotations

import asyncio
import os
import subprocess
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from policyd.agent.reporting.status import Swap
from policyd.agent.saver import MOST_REST_SECONDS, REST_SECONDS, RESTS, Saver
from policyd.applier.listing import list_tables
from policyd.applier.program import NftProgram
from policyd.cluster.attachments import Attachments
from policyd.cluster.state import ClusterState
from policyd.lab.namespace import Namespace
from policyd.manifests.load import load_manifest
from policyd.pipeline import build
from policyd.saved_state import BadState, Saved, load_state, save_state, state_file
from policyd_compiler.ir import Attachment
from policyd_compiler.nft.stamp import stamp, unstamp
from policyd_compiler.options import Options
from policyd_compiler.plan import differences
from tests.agent.agents import WORLD, nft, policy, running, write
from tests.agent.asking import ask_root
from tests.routes import compile_world
from tests.support.clock import TurnedClock
from tests.support.waiting import eventually, until
from tests.worlds import recorded_cases

ROUTED = Attachments({"shop/web": Attachment("veth1"), "shop/db": Attachment("veth2")})
BRIDGED = Attachments(
    {"shop/web": Attachment("veth1", "cni0", 0x02_00_00_00_00_01), "shop/db": Attachment("veth2", "cni0")},
    ("cni0",),
    ("veth1", "veth2"),
    ("eth1",),
)


@pytest.fixture
def saved() -> Saved:
    table, _ = unstamp(compile_world(recorded_cases()[0].objects, "n1").table)
    return Saved(table, 41)


def test_what_is_saved_is_loaded(tmp_path: Path, saved: Saved) -> None:
    path = state_file(tmp_path, "policyd")
    assert load_state(path, "n1", "policyd") is None
    save_state(path, "n1", saved)
    save_state(path, "n1", saved)
    assert load_state(path, "n1", "policyd") == saved
    assert [entry.name for entry in tmp_path.iterdir()] == ["policyd.nft"]
    assert path.stat().st_mode & 0o777 == 0o600


@pytest.mark.kernel
def test_both_tables_are_saved_loaded_and_brought_back_by_nft(tmp_path: Path) -> None:
    """As the unit of systemd does it before any pod runs: the hash in the file is a comment to nft."""
    with closing(Namespace("node")) as node:
        for attachments in (BRIDGED, ROUTED):
            state = replace(
                ClusterState.of(load_manifest((WORLD + "---\n" + policy("web", "web", 80)).encode(), "x")[0]),
                attachments=attachments,
            )
            table, _ = unstamp(build(state, "n1", Options(pod_interfaces=("cni0",))).table)
            assert (table.bridge is not None) == bool(attachments.bridges)
            path = state_file(tmp_path, "policyd")
            save_state(path, "n1", Saved(table, 41))
            assert load_state(path, "n1", "policyd") == Saved(table, 41)
            nft(node, "flush", "ruleset")
            nft(node, "-f", str(path))
            held = asyncio.run(list_tables(NftProgram(node.path), "policyd"))
            assert held.foreign == ()
            assert held.table is not None
            assert unstamp(held.table)[1] == 41
            assert differences(held.table, stamp(table, 41)) == ()


def test_torn_at_any_byte_it_is_not_used(tmp_path: Path, saved: Saved) -> None:
    path = state_file(tmp_path, "policyd")
    save_state(path, "n1", saved)
    whole = path.read_bytes()
    for length in range(0, len(whole), 97):
        path.write_bytes(whole[:length])
        with pytest.raises(BadState):
            load_state(path, "n1", "policyd")
    for at in range(0, len(whole), 101):
        path.write_bytes(whole[:at] + bytes((whole[at] ^ 1,)) + whole[at + 1 :])
        with pytest.raises(BadState):
            load_state(path, "n1", "policyd")


def _link(path: Path) -> None:
    path.rename(path.with_suffix(".other"))
    path.symlink_to(path.with_suffix(".other"))


def _fifo(path: Path) -> None:
    path.unlink()
    os.mkfifo(path, 0o600)


@pytest.mark.parametrize(
    "forge",
    [
        lambda path: path.chmod(0o666),
        lambda path: os.chown(path, 12345, 12345),
        _link,
        _fifo,
        lambda path: path.write_bytes(b"\xff" * 100),
    ],
)
def test_forged_it_is_not_used(tmp_path: Path, saved: Saved, forge: Callable[[Path], None]) -> None:
    path = state_file(tmp_path, "policyd")
    save_state(path, "n1", saved)
    forge(path)
    with pytest.raises(BadState):
        load_state(path, "n1", "policyd")


def test_another_nodes_or_tables_state_is_not_used(tmp_path: Path, saved: Saved) -> None:
    path = state_file(tmp_path, "policyd")
    save_state(path, "n1", saved)
    for node, table in (("n2", "policyd"), ("n1", "other")):
        with pytest.raises(BadState):
            load_state(path, node, table)


@pytest.mark.kernel
class TestReboot:
    """A node is rebooted: its kernel is empty, its disk is not."""

    def test_it_enforces_what_it_last_knew(self, tmp_path: Path) -> None:
        directory, state = tmp_path / "manifests", tmp_path / "state"
        directory.mkdir()
        write(directory, "world.yaml", f"{WORLD}---\n{policy('web', 'web', 80)}")
        before = Namespace("before")
        with running(before, directory, "--state-dir", str(state)) as agent:
            assert agent.kill(15) == 0
            held = nft(before, "list", "table", "inet", "policyd")
        before.close()
        # Nothing is known of the cluster: the agent waits for its first complete list.
        write(directory, "world.yaml", "{{ not yet there\n")
        after = Namespace("after")
        with running(
            after, directory, "--state-dir", str(state), sentence="the ruleset from before"
        ) as agent:
            [line] = agent.says("the ruleset from before is in force")
            assert line["generation"] == 2
            again = nft(after, "list", "table", "inet", "policyd")
            assert again.replace("generation 2", "generation 1") == held
            write(directory, "world.yaml", f"{WORLD}---\n{policy('web', 'web', 81)}")
            until(lambda: "tcp dport 81 return" in nft(after, "list", "table", "inet", "policyd"))
        after.close()

    def test_a_torn_state_is_reported_and_does_no_harm(self, tmp_path: Path) -> None:
        directory, state = tmp_path / "manifests", tmp_path / "state"
        directory.mkdir()
        state.mkdir()
        write(directory, "world.yaml", f"{WORLD}---\n{policy('web', 'web', 80)}")
        (state / "policyd.nft").write_text("# policyd state 1\n")
        namespace = Namespace("node")
        with running(namespace, directory, "--state-dir", str(state)) as agent:
            assert agent.says("the saved ruleset is not used")
            until(lambda: "generation 1" in (state / "policyd.nft").read_text())
        namespace.close()

    def test_a_state_that_the_kernel_refuses_is_reported_and_the_agent_starts(self, tmp_path: Path) -> None:
        """As after a change of the kernel, or of nft: everything fits but one name."""
        directory, state = tmp_path / "manifests", tmp_path / "state"
        directory.mkdir()
        write(directory, "world.yaml", "{{ not yet there\n")
        objects, _ = load_manifest(f"{WORLD}---\n{policy('web', 'web', 80)}".encode(), "world.yaml")
        table = build(ClusterState.of(objects), "n1", Options()).table
        broken = replace(table, sets=table.sets[1:])
        assert broken != table
        save_state(state_file(state, "policyd"), "n1", Saved(broken, 7))
        namespace = Namespace("node")
        sentence = "the saved ruleset is not used"
        with running(namespace, directory, "--state-dir", str(state), sentence=sentence) as agent:
            [line] = agent.says(sentence)
            assert (line["event"], "nft refused line" in str(line["reason"])) == ("state.unusable", True)
            write(directory, "world.yaml", f"{WORLD}---\n{policy('web', 'web', 81)}")
            until(lambda: "tcp dport 81 return" in nft(namespace, "list", "table", "inet", "policyd"))
            until(lambda: "state-unusable" not in ask_root("/debug/state")[1])
            assert (state / "policyd.nft").read_text().count("generation 8") == 1
        namespace.close()

    def test_a_full_disk_is_reported_and_does_no_harm(self, tmp_path: Path) -> None:
        directory, state = tmp_path / "manifests", tmp_path / "state"
        directory.mkdir()
        state.mkdir()
        write(directory, "world.yaml", f"{WORLD}---\n{policy('web', 'web', 80)}")
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", state], check=True)
        namespace = Namespace("node")
        try:
            (state / "filler").write_bytes(bytes(64 << 10))
            with running(namespace, directory, "--state-dir", str(state)) as agent:
                until(lambda: agent.says("the ruleset could not be saved"))
                write(directory, "web.yaml", policy("db", "db", 81))
                until(lambda: "tcp dport 81 return" in nft(namespace, "list", "table", "inet", "policyd"))
                assert len(agent.says("the ruleset could not be saved")) == 1
                (state / "filler").unlink()  # somebody made room
                until(lambda: "tcp dport 81" in _content(state / "policyd.nft"))
        finally:
            namespace.close()
            subprocess.run(["umount", state], check=True)


def _content(path: Path) -> str:
    return path.read_text() if path.exists() else ""


async def test_what_is_cancelled_on_the_way_is_saved_on_the_way_out(tmp_path: Path, saved: Saved) -> None:
    """SIGTERM may come before the disk's thread has begun."""

    pool, release = ThreadPoolExecutor(1), threading.Event()
    asyncio.get_running_loop().set_default_executor(pool)
    busy = asyncio.create_task(asyncio.to_thread(release.wait))  # the only thread
    saver = Saver(tmp_path, "n1", "policyd")
    saver.note(Swap(None, saved.table, saved.generation))
    task = asyncio.create_task(saver.run())
    await eventually(lambda: pool._work_queue.qsize() == 1)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert not state_file(tmp_path, "policyd").exists()
    release.set()
    await busy
    await saver.flush()
    assert load_state(state_file(tmp_path, "policyd"), "n1", "policyd") == saved


@pytest.mark.parametrize(("takes", "rests"), [(0.01, REST_SECONDS), (1.0, RESTS), (9.0, MOST_REST_SECONDS)])
async def test_what_takes_long_to_save_is_saved_less_often(
    tmp_path: Path, saved: Saved, monkeypatch: pytest.MonkeyPatch, takes: float, rests: float
) -> None:
    turned, done = TurnedClock(), list[int]()

    def save(_path: Path, _node: str, ruleset: Saved) -> None:
        turned.now += takes
        done.append(ruleset.generation)

    monkeypatch.setattr("policyd.agent.saver.save_state", save)
    saver = Saver(tmp_path, "n1", "policyd", turned.clock)
    saver.note(Swap(None, saved.table, 1))
    task = asyncio.create_task(saver.run())
    await turned.turn(0.0)
    saver.note(Swap(None, saved.table, 2))
    await turned.turn(rests * 0.9)
    assert done == [1]
    await turned.turn(rests * 0.2)
    assert done == [1, 2]
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


async def test_under_churn_only_the_last_of_many_rulesets_is_written(tmp_path: Path, saved: Saved) -> None:
    turned = TurnedClock()
    saver = Saver(tmp_path, "n1", "policyd", turned.clock)

    def generation() -> int | None:
        found = load_state(state_file(tmp_path, "policyd"), "n1", "policyd")
        return found.generation if found else None

    saver.note(Swap(None, saved.table, 1))
    task = asyncio.create_task(saver.run())
    await turned.turn(0.0)
    assert generation() == 1  # the first is not kept waiting
    for number in range(2, 12):
        saver.note(Swap(None, saved.table, number))
        await turned.turn(REST_SECONDS / 20)
        assert generation() == 1
    await turned.turn(REST_SECONDS / 2)
    assert generation() == 11
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
