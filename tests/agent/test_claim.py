"""One agent for a table in a network namespace, and nobody without privileges takes its place."""

from __future__ import annotations

import errno
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator

import pytest

from policyd.errors import EnvironmentRefused
from policyd.lab.namespace import Namespace
from policyd.netlink import claim
from policyd.netlink.claim import claim_node, holder, queue_of
from tests.agent.agents import nft

pytestmark = pytest.mark.kernel

AS_NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all")
#: What an unprivileged process might do to be taken for an agent: the names and numbers of a claim.
SQUAT = """
import signal, socket
name = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
name.bind("\\0policyd/policyd")
name.listen(1)
netlink = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
netlink.bind((0, 0))
try:
    netlink.send(QUEUE)
    print(netlink.recv(4096)[16:20], flush=True)
except OSError as error:
    print(error, flush=True)
signal.pause()
"""


@pytest.fixture
def node() -> Iterator[Namespace]:
    made = Namespace("node")
    yield made
    made.close()


def test_who_comes_second_refuses_and_says_who_was_first(node: Namespace) -> None:
    with node.entered():
        assert holder("policyd") == ""
        with claim_node("policyd"), claim_node("another-table"):
            # Which of its sockets has the number of its process only the first one knows.
            assert re.fullmatch(rf" \((process {os.getpid()}|netfilter queue \d+)\)", holder("policyd"))
            with pytest.raises(EnvironmentRefused, match=r"another policyd .* already enforces"):
                claim_node("policyd")
        claim_node("policyd").close()


def test_a_claim_ends_with_its_process_however_that_ends(node: Namespace) -> None:
    code = (
        "import os\nfrom policyd.netlink.claim import *\nc = claim_node('policyd')\nos.kill(os.getpid(), 9)"
    )
    with node.entered():
        done = subprocess.run([sys.executable, "-c", code], check=False)
        assert done.returncode == -signal.SIGKILL
        claim_node("policyd").close()


def test_a_claim_leaves_no_trace_in_the_ruleset(node: Namespace) -> None:
    """Others list, save and load it with nft."""
    with node.entered(), claim_node("policyd"):
        assert nft(node, "list", "ruleset") == ""


def test_a_process_without_privileges_takes_no_claim(node: Namespace) -> None:
    queue = bytes((0, 0)) + queue_of("policyd").to_bytes(2) + b"\x08\x00\x01\x00\x01\x00\x00\x00"
    asked = (16 + len(queue)).to_bytes(4, sys.byteorder) + (3 << 8 | 2).to_bytes(2, sys.byteorder)
    asked += b"\x05\x00" + bytes(8) + queue
    squat = SQUAT.replace("QUEUE", repr(asked))
    with node.entered():
        squatter = subprocess.Popen([*AS_NOBODY, sys.executable, "-c", squat], stdout=subprocess.PIPE)
    try:
        assert squatter.stdout is not None
        refused = squatter.stdout.readline().decode()
        assert repr((-errno.EPERM).to_bytes(4, sys.byteorder, signed=True)) in refused or "perm" in refused
        with node.entered():
            assert holder("policyd") == ""
            claim_node("policyd").close()
    finally:
        squatter.kill()
        squatter.wait()
        assert squatter.stdout is not None
        squatter.stdout.close()


def test_without_privileges_it_says_what_it_needs(node: Namespace) -> None:
    code = (
        "from policyd.netlink.claim import *\ntry:\n claim_node('policyd')\nexcept Exception as e: print(e)"
    )
    with node.entered():
        done = subprocess.run(
            [*AS_NOBODY, sys.executable, "-c", code], capture_output=True, text=True, check=False
        )
    assert re.search(r"needs root or CAP_NET_ADMIN", done.stdout), done


def test_a_kernel_without_queues_is_claimed_by_a_socket_of_roots(
    node: Namespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def absent(*_: object) -> list[bytes]:
        raise OSError(errno.EOPNOTSUPP, "no queues")

    monkeypatch.setattr(claim, "ask", absent)
    with node.entered():
        with claim_node("policyd"):
            assert holder("policyd") == f" (process {os.getpid()})"
            with pytest.raises(EnvironmentRefused, match="another policyd"):
                claim_node("policyd")
        with socket.socket(socket.AF_UNIX) as squatter:
            squatter.bind("\0policyd/policyd")
            squatter.listen(1)
            monkeypatch.setattr(claim, "_trusted", lambda: (-7,))  # as if we were another user than it
            assert holder("policyd") == ""
            claim_node("policyd").close()
