"""The worker process dies, hangs and grows, and the next request finds another one."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from policyd.applier import worker_process
from policyd.applier.backend import NftBroken, NftRefused, NftUnavailable
from policyd.applier.worker import Limits, NftWorker
from policyd.lab.namespace import Namespace
from policyd_compiler.nft.json_parser import parse_listing
from tests.lab.leftovers import children
from tests.support.waiting import eventually, until

pytestmark = pytest.mark.kernel

MEBIBYTE = 1 << 20
ADD = "add table inet t\nadd chain inet t c\n"
MANY = "add table inet t\nadd set inet t s {{ type ipv4_addr; elements = {{ {} }}; }}\n".format(
    ", ".join(f"10.0.{n >> 8}.{n & 255}" for n in range(20_000))
)
#: nft 1.0.6 aborts on this: one script gives a set two types.
DEADLY = """\
add table inet t
add set inet t s { type ipv4_addr . ipv4_addr; elements = { 10.0.0.1 . 10.0.0.1 }; }
add set inet t s { type ifname; flags interval; elements = { "eth0" }; }
"""
PARENT = """\
import asyncio, sys
from policyd.applier.worker import NftWorker

async def main():
    nft = NftWorker(sys.argv[1])
    await nft.list_table("t")
    print(nft._process._child.pid, flush=True)
    await asyncio.sleep(60)

asyncio.run(main())
"""


@pytest.fixture
async def worker(netns: str) -> AsyncIterator[NftWorker]:
    """A worker that is running."""
    nft = NftWorker(netns)
    await nft.run(ADD)
    yield nft
    await nft.close()


def resident(pid: int) -> int:
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def pid_of(nft: NftWorker) -> int:
    assert nft._process is not None
    return nft._process._child.pid


async def works(nft: NftWorker) -> None:
    """The next request is answered."""
    await nft.run(ADD)
    assert await nft.list_table("t") is not None


async def begin(nft: NftWorker, script: str) -> asyncio.Task[None]:
    """A request that is under way with a worker that stands still."""
    os.kill(pid_of(nft), signal.SIGSTOP)
    request = asyncio.create_task(nft.run(script))
    await eventually(nft._turn.locked)  # whoever has the turn writes at once; the worker cannot read
    return request


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSEGV])
async def test_request_of_a_worker_that_dies_is_broken(worker: NftWorker, number: signal.Signals) -> None:

    request = await begin(worker, MANY)
    for each in (number, signal.SIGCONT):  # who stands still dies only of SIGKILL
        with suppress(ProcessLookupError):
            os.kill(pid_of(worker), each)
    with pytest.raises(NftBroken, match="status -") as caught:
        await request
    assert caught.value.retryable
    await works(worker)
    assert '"s"' not in str(await worker.list_table("t"))


async def test_transaction_is_whole_whenever_the_worker_dies(worker: NftWorker) -> None:
    """Killed at any moment of a request, it has done all of it or nothing."""
    replacement = f"add table inet t\ndelete table inet t\n{MANY}"

    async def scene(milliseconds: int) -> None:
        await worker.run(f"delete table inet t\n{ADD}")
        request = asyncio.create_task(worker.run(replacement))
        await asyncio.sleep(milliseconds / 1000)
        killed = pid_of(worker)
        os.kill(killed, signal.SIGKILL)
        with suppress(NftBroken):
            await request
        await eventually(lambda: killed not in children())
        listing = await worker.list_table("t")
        assert listing is not None
        table = parse_listing(listing, "t")
        assert table is not None
        held = (len(table.chains), sum(len(part.elements) for part in table.sets))
        assert held in ((1, 0), (0, 20_000))

    for milliseconds in (0, 2, 5, 10, 20, 40, 80, 160):
        await scene(milliseconds)


async def test_worker_that_dies_between_requests_is_replaced(worker: NftWorker) -> None:

    dead = pid_of(worker)
    os.kill(dead, signal.SIGKILL)
    await eventually(lambda: dead not in children())
    await works(worker)
    assert pid_of(worker) != dead


async def test_script_that_kills_the_library_costs_one_request(worker: NftWorker) -> None:
    """A real crash with nft 1.0.6; later versions refuse the script."""

    with pytest.raises((NftBroken, NftRefused)):
        await worker.run(DEADLY)
    await works(worker)


@pytest.mark.parametrize(
    ("limits", "sentence"),
    [(Limits(idle=60.0, answer=1.5), r"did not answer within 1\.5 s"), (Limits(), r"did nothing for 0\.6 s")],
)
async def test_worker_that_hangs_is_killed(netns: str, limits: Limits, sentence: str) -> None:
    nft = NftWorker(netns, limits=limits)

    await nft.run(ADD)
    hung = pid_of(nft)
    with pytest.raises(NftBroken, match=sentence):
        await (await begin(nft, MANY))
    assert hung not in children()
    await works(nft)
    await nft.close()


async def test_worker_that_sleeps_in_the_middle_is_replaced(worker: NftWorker) -> None:
    """It has taken the request and waits for what never comes: another request."""

    await works(worker)
    assert worker._process is not None
    worker._process._child.write(b"R")  # what follows is read as the rest of this one, which is longer
    with pytest.raises(NftBroken, match=r"did nothing for 0\.6 s"):
        await worker.run(ADD)
    await works(worker)


async def test_worker_that_works_is_left_alone(netns: str) -> None:
    """However long its request takes, compared with the time that it may do nothing."""
    nft = NftWorker(netns, limits=Limits(idle=0.02))

    await nft.run(ADD)
    started = time.monotonic()
    await nft.run(MANY)
    assert time.monotonic() - started > 0.04
    assert '"s"' in str(await nft.list_table("t"))
    await nft.close()


async def test_worker_that_grows_is_replaced_between_requests(netns: str) -> None:
    nft = NftWorker(netns, limits=Limits(growth=1 << 20))

    await nft.run(ADD)
    first = pid_of(nft)
    await nft.run(MANY)
    await works(nft)
    assert pid_of(nft) != first
    assert '"s"' in str(await nft.list_table("t"))
    await nft.close()


async def test_what_a_large_request_took_is_given_back(worker: NftWorker) -> None:
    """A first ruleset is larger than all that follow it."""
    elements = ", ".join(f"10.{n >> 16}.{n >> 8 & 255}.{n & 255}" for n in range(150_000))
    pid, before = pid_of(worker), resident(pid_of(worker))
    await worker.run(f"add set inet t large {{ type ipv4_addr; elements = {{ {elements} }}; }}\n")
    await eventually(lambda: resident(pid) < before + 8 * MEBIBYTE)
    await worker.run("add chain inet t further\n")
    assert pid_of(worker) == pid


async def test_worker_that_answered_enough_is_replaced(netns: str) -> None:
    nft = NftWorker(netns, limits=Limits(requests=2))

    pids = []
    for _ in range(4):
        await nft.run(ADD)
        pids.append(pid_of(nft))
    await nft.close()
    one, two, three, four = pids
    assert (one == two, two == three, three == four) == (True, False, True)


async def test_worker_whose_input_ends_ends(worker: NftWorker) -> None:

    assert worker._process is not None
    child = worker._process._child
    child.end_input()
    await child.wait()
    assert child.status == 0
    await works(worker)


async def test_cancelled_request_leaves_nothing_behind(worker: NftWorker) -> None:
    """A late answer must not be taken for the answer to the next request."""

    request = await begin(worker, MANY)
    stopped = pid_of(worker)
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await request
    assert stopped not in children()
    await works(worker)
    assert '"s"' not in str(await worker.list_table("t"))


async def test_cancelled_start_leaves_nothing_behind(netns: str) -> None:
    """The fixture `nothing_is_left` looks for what is left."""
    for turns in range(0, 40, 4):
        nft = NftWorker(netns)
        request = asyncio.create_task(nft.run(ADD))
        for _ in range(turns):
            await asyncio.sleep(0)
        request.cancel()
        with suppress(asyncio.CancelledError):  # on a busy machine it may be answered by now
            await request
        await works(nft)
        await nft.close()


async def test_those_who_wait_are_served_after_a_death(worker: NftWorker) -> None:

    request = await begin(worker, MANY)
    waiting = asyncio.create_task(worker.list_table("t"))
    os.kill(pid_of(worker), signal.SIGKILL)
    with pytest.raises(NftBroken):
        await request
    assert await waiting is not None


@pytest.mark.parametrize("stopped", [False, True], ids=["idle", "stopped"])
def test_worker_dies_with_its_parent(netns: str, stopped: bool) -> None:
    """However the parent ends, and whether or not the worker could hear of it."""
    with subprocess.Popen([sys.executable, "-c", PARENT, netns], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        if stopped:
            os.kill(pid, signal.SIGSTOP)
        parent.kill()
    until(lambda: gone(pid))


def test_signals_of_the_terminal_do_not_reach_the_worker(worker: NftWorker) -> None:
    assert os.getsid(pid_of(worker)) != os.getsid(0)


async def test_worker_outlives_the_signal_to_stop(worker: NftWorker) -> None:
    """A service manager sends it to all at once, while the parent may still have something to apply."""
    pid = pid_of(worker)
    os.kill(pid, signal.SIGTERM)
    await works(worker)
    assert pid_of(worker) == pid


def test_parent_never_loads_the_library() -> None:
    code = (
        "import sys; from policyd.applier import choose, probe\n"
        "print({'nftables', 'policyd.applier.worker_process'} & set(sys.modules) or 'clean')"
    )
    result = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert result.stdout == "clean\n"


async def test_worker_sees_only_the_library_it_is_given(netns: str, tmp_path: Path) -> None:
    """Nothing from the working directory or from the environment, whatever is called `nftables` there."""
    (tmp_path / "nftables.py").write_text("raise SystemExit('the wrong one')\n")
    nft = NftWorker(netns)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        patch.setenv("PYTHONPATH", str(tmp_path))
        await works(nft)
    await nft.close()


async def test_missing_library_is_reported(tmp_path: Path) -> None:
    with pytest.raises(NftUnavailable, match="no python3-nftables in"):
        await NftWorker(library=str(tmp_path)).run(ADD)


async def test_missing_namespace_is_reported(tmp_path: Path) -> None:
    with pytest.raises(NftUnavailable, match="cannot enter the network namespace"):
        await NftWorker(str(tmp_path / "none")).run(ADD)


def test_frames_have_one_form_on_both_sides() -> None:
    from policyd.applier import worker  # noqa: PLC0415 next to its counterpart

    assert worker._HEADER.format == worker_process.HEADER.format
    assert worker._VERSION.encode() == worker_process.VERSION


def gone(pid: int) -> bool:
    try:
        return "(zombie)" in Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return True


async def test_a_worker_goes_to_other_namespaces_and_comes_back(netns: str) -> None:
    """Each request is done where it belongs, and no namespace is held longer than that."""
    nft = NftWorker(netns)
    pods = [Namespace("pod"), Namespace("pod")]
    with closing(pods[0]), closing(pods[1]):
        inside = [nft.inside(pod.path) for pod in pods]
        await inside[0].run("add table inet first\n")
        await inside[1].run("add table inet second\n")
        await nft.run("add table inet own\n")
        for where, own in zip((*inside, nft), ("first", "second", "own"), strict=True):
            held = [name for name in ("first", "second", "own") if await where.list_table(name)]
            assert held == [own]
        with pytest.raises(NftRefused) as refused:
            await inside[0].run("add rule inet first none accept\n")
        assert refused.value.line == 1
        with pytest.raises(NftUnavailable, match="No such file"):
            await nft.inside("/run/netns/none").check("add table inet t\n")
        assert await nft.list_table("own")
    await nft.close()
