"""What a packet meets when a node boots, is upgraded, or loses its agent, API server or network plugin.

Each test is a row of the table in docs/reliability.md, each placement a column: pods behind links of their
own, judged by the node; ports of a bridge; and pods that only their own network namespace sees.
"""

from __future__ import annotations

import signal
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.cni.bed import needs_plugins
from tests.networks.beside import Pod
from tests.networks.moments import CLOSED, NAMES, OPEN, WIRINGS, ApiServer, Ground, followed
from tests.support.waiting import until

pytestmark = [pytest.mark.kernel, needs_plugins]


@pytest.fixture(params=list(WIRINGS))
def ground(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Ground]:
    with ExitStack() as stack:
        yield Ground(stack, tmp_path, request.param)


def test_a_node_that_boots_is_open_until_its_first_rules_are_in_force(ground: Ground) -> None:
    ground.start()
    assert ground.met("other") == OPEN
    with ground.agent():
        ground.judged()


def test_with_the_plugin_a_node_that_boots_lets_nobody_send_before_that(ground: Ground) -> None:
    ground.bed.install()
    with ThreadPoolExecutor(len(NAMES)) as threads:
        starts = ground.begin(threads, *NAMES)
        until(lambda: len(ground.bed.asked()) == len(NAMES))
        time.sleep(0.3)
        assert not any(start.done() for start in starts)
        with ground.agent():
            for start in starts:
                start.result()
            ground.judged()


@pytest.mark.parametrize("way", [signal.SIGTERM, signal.SIGKILL], ids=["upgrade", "crash"])
def test_without_an_agent_rules_stay_and_the_next_one_goes_on(ground: Ground, way: int) -> None:
    """A pod that starts meanwhile is closed where the node judges it; an empty namespace closes nothing."""
    ground.start()
    with ground.agent() as agent:
        agent.kill(way)
        ground.judged()
        ground.pods["late"] = Pod(ground.bed, "late", "web").start()
        assert ground.met("friend", "late") == ground.unknown
        assert ground.met("other", "late") == ground.unknown
    with ground.agent():
        ground.judged()
        ground.comes_to_be_judged("late")


@pytest.mark.parametrize("way", [signal.SIGTERM, signal.SIGKILL], ids=["upgrade", "crash"])
def test_with_the_plugin_pods_that_start_meanwhile_wait(ground: Ground, way: int) -> None:
    ground.bed.install()
    with ThreadPoolExecutor(1) as threads:
        with ground.agent() as agent:
            ground.start()
            agent.kill(way)
            start = threads.submit(Pod(ground.bed, "late", "web").start)
            until(ground.bed.asked)
            ground.judged()
            assert not start.done()
        with ground.agent():
            ground.pods["late"] = start.result()
            assert ground.met("other", "late") == CLOSED
            ground.comes_to_be_judged("late")


@pytest.mark.parametrize("is_restored", [False, True], ids=["agent", "systemd"])
def test_after_a_reboot(ground: Ground, is_restored: bool) -> None:
    """The saved ruleset, where something loads it before pods start, closes them: their links are new."""
    state = ground.bed.directory / "state"
    ground.start()
    with ground.agent("--state-dir", str(state)):
        saved = state / "policyd.nft"
        until(lambda: saved.exists() and "in4" in saved.read_text())
    ground.reboot(saved if is_restored else None)
    ground.start("friend", "other", "web")
    met = ground.unknown if is_restored else OPEN
    assert [ground.met("other"), ground.met("friend"), ground.met("web", "other")] == [met] * 3
    with ground.agent("--state-dir", str(state)):
        ground.judged()


def test_without_an_api_server_rules_stay(ground: Ground, tmp_path: Path) -> None:
    kubeconfig = tmp_path / "kubeconfig"
    server = ApiServer(ground.bed.node, kubeconfig, NAMES)
    ground.start()
    with followed(ground, kubeconfig):
        ground.judged()
        server.end()
        until(lambda: "watch-failing" in ground.bed.conditions())
        ground.judged()
        ground.pods["late"] = Pod(ground.bed, "late", "web").start()
        assert ground.met("friend", "late") == ground.unknown
        ground.judged()


def test_a_network_that_is_installed_again_and_pods_whose_network_is_made_again(ground: Ground) -> None:
    """Its installer writes the list without our entry; who asks nobody is as without the plugin."""
    bed = ground.bed
    where = ("--cni-conf-dir", str(bed.runtime.configurations), "--cni-bin-dir", str(bed.runtime.programs))
    as_installed = bed.list.read_text()
    with ground.agent("--cni-plugin", "conflist", *where) as agent:
        until(lambda: agent.says("policyd-cni is in the network's chain"))
        ground.start()
        ground.judged()
        bed.list.write_text(as_installed)
        bed.runtime.stale = True
        ground.pods["late"] = Pod(bed, "late", "web").start()
        ground.judged()
        ground.comes_to_be_judged("late")
        bed.runtime.stale = False
        until(lambda: bed.list.read_text() != as_installed)
        bed.runtime.stop(ground.pods["web"].sandbox)
        ground.start("web")  # the same pod, in another sandbox
        ground.judged()
