"""Whether elements that are written by hand arrive is tried with the real ones, and nothing is left of it."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator

import pytest

from policyd.applier.backend import Nft
from policyd.applier.program import NftProgram
from policyd.applier.worker import NftWorker
from policyd.lab.namespace import Namespace
from policyd.netlink.messages import NETFILTER, open_socket
from policyd.netlink.netfilter import table_names
from policyd.node.element_trial import TABLE, elements_unsupported_reason
from policyd_compiler.nft.ast import TableFamily
from tests.fakes.fake_nft import FakeNft
from tests.lab.leftovers import children

pytestmark = pytest.mark.kernel


@pytest.fixture
def node() -> Iterator[None]:
    """This thread in a network namespace of its own; after it no table is left there."""
    namespace = Namespace("elements")
    with namespace.entered():
        yield
        assert table_names() == ()
    namespace.close()


@pytest.fixture(params=[NftWorker, NftProgram])
async def nft(node: None, request: pytest.FixtureRequest) -> AsyncIterator[Nft]:
    made: Nft = request.param()
    yield made
    await made.close()


async def test_what_this_kernel_takes_is_found_right(nft: Nft) -> None:
    """Also by several at a time."""
    assert await elements_unsupported_reason(nft) is None
    assert await asyncio.gather(*(elements_unsupported_reason(nft) for _ in range(3))) == [None] * 3


class Forgetful(NftWorker):
    """A kernel that has lost an element by the time that somebody looks."""

    lost = ""

    async def list_table(self, name: str, family: TableFamily = "inet") -> str | None:
        listing = await super().list_table(name, family)
        if listing is None or '"elem"' not in listing or family != "inet":
            return listing
        await self.run(f"flush {self.lost.replace('NAME', f'inet {name}')}\n")
        return listing if self.lost.startswith("map") else await super().list_table(name, family)


@pytest.mark.parametrize(
    ("lost", "said"),
    [
        ("set NAME s-ether", "nft lists others"),
        ("map NAME m-ifname_ether", "a dump of type ifname . ether_addr has others"),
    ],
)
async def test_what_is_lost_is_noticed(node: None, lost: str, said: str) -> None:
    """By each of the two that look."""
    nft = Forgetful()
    nft.lost = lost
    found = await elements_unsupported_reason(nft)
    await nft.close()
    assert found is not None
    assert re.fullmatch(r"the kernel \S+ does not take elements as policyd writes them by hand: .*", found)
    assert found.endswith(said)


async def test_what_the_kernel_refuses_is_said(node: None) -> None:
    """Here, as the table is in no kernel."""
    found = await elements_unsupported_reason(FakeNft())
    assert found is not None
    assert "refused to add to s-v4: No such file or directory" in found


#: A trial whose process is killed as soon as nft has declared the table.
KILLED = """
import asyncio, os, signal
from policyd.applier.program import NftProgram
from policyd.node.element_trial import elements_unsupported_reason

class Mortal(NftProgram):
    async def list_table(self, name, family="inet"):
        os.kill(os.getpid(), signal.SIGKILL)

asyncio.run(elements_unsupported_reason(Mortal()))
"""


def kill_a_trial() -> None:
    assert subprocess.run([sys.executable, "-c", KILLED], check=False).returncode == -signal.SIGKILL


async def test_what_a_killed_trial_left_is_removed_by_the_next(nft: Nft) -> None:
    """And neither that of one at work nor what only looks like it, whoever asks."""
    kill_a_trial()
    (left,) = table_names()
    assert left.startswith(f"inet {TABLE}-")
    with open_socket(NETFILTER) as at_work:
        others = (f"{TABLE}-{at_work.getsockname()[0]}", f"{TABLE}-of-mine", f"{TABLE}-1-mine")
        await nft.run("".join(f"add table inet {name}\n" for name in others))
        assert await elements_unsupported_reason(nft) is None
        assert table_names() == tuple(sorted(f"inet {name}" for name in others))
        await nft.run("".join(f"delete table inet {name}\n" for name in others))


class Killed(NftWorker):
    """A worker that somebody kills the first time that it is to list the trial's table."""

    killed = False

    async def list_table(self, name: str, family: TableFamily = "inet") -> str | None:
        if not self.killed and name.startswith(TABLE):
            self.killed = True
            for pid in children():
                os.kill(pid, signal.SIGKILL)
        return await super().list_table(name, family)


async def test_a_worker_that_is_killed_says_nothing_about_the_kernel(node: None) -> None:
    nft = Killed()
    assert await elements_unsupported_reason(nft) is None
    assert nft.killed
    await nft.close()
