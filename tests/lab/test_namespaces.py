"""Namespaces: nothing is left behind, however it ends, and refusals say what to do."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from policyd.errors import EnvironmentRefused
from policyd.lab.lab import Lab
from policyd.lab.namespace import Namespace
from policyd.lab.plan import Bridged, NodePlan, PodPlan
from tests.lab.leftovers import leftovers
from tests.support.waiting import until

pytestmark = pytest.mark.kernel

ROOT = Path(__file__).resolve().parents[2]
PLAN = NodePlan("n1", ("192.0.2.1", "2001:db8:1::1"), (PodPlan("a/b", ("10.0.0.1", "fd00::1")),))


@pytest.fixture
def place() -> Iterator[Namespace]:
    namespace = Namespace("here")
    yield namespace
    namespace.close()


def links(place: Namespace) -> list[str]:
    """The names of a namespace's interfaces."""
    with place.entered():
        return [name for _, name in socket.if_nameindex()]


def test_a_namespace_has_loopback_and_nothing_else(place: Namespace) -> None:
    assert links(place) == ["lo"]


def test_only_the_thread_that_enters_moves_and_it_comes_back(place: Namespace) -> None:
    home = Path("/proc/thread-self/ns/net")
    outside = home.readlink()

    def fail() -> None:
        with place.entered():
            assert home.readlink() != outside
            assert other.submit(home.readlink).result() == outside
            raise RuntimeError

    with ThreadPoolExecutor(1) as other:
        other.submit(home.readlink).result()  # its thread is there now
        with pytest.raises(RuntimeError):
            fail()
    assert home.readlink() == outside


@pytest.mark.parametrize("ending", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_lab_goes_with_its_process(place: Namespace, ending: signal.Signals) -> None:
    """One end of a link is here, the other in the lab of a process that is ended: so the link goes, too."""
    code = (
        "import sys; from policyd.lab.lab import Lab; from policyd.lab.plan import *\n"
        "with Lab([NodePlan('n1', ('192.0.2.1', '2001:db8:1::1'))]) as lab:\n"
        "    print(lab.nodes['n1'].path, flush=True); sys.stdin.read()\n"
    )
    command = [sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=environment,
        text=True,
    ) as process:
        assert process.stdout is not None
        try:
            path = process.stdout.readline().strip()
            place.ip([f"link add here type veth peer name there netns {path}"])
            assert "here" in links(place)
        finally:
            process.send_signal(ending)
        process.wait()
    until(lambda: "here" not in links(place))


def test_a_lab_that_cannot_be_built_leaves_nothing() -> None:
    before = leftovers()
    with pytest.raises(ValueError, match="one name is given to two: n1"):
        Lab([PLAN, NodePlan("n1", ("192.0.2.2", "2001:db8:1::2"))])
    wrong = NodePlan("n1", PLAN.addresses, PLAN.pods, Bridged(("10.0.0.254", "ff02::1")))
    with pytest.raises(EnvironmentRefused, match="n1: `ip addr add ff02::1/128 dev cni0 nodad`: "):
        Lab([wrong])
    assert leftovers() - before == Counter()


def test_an_exception_in_a_lab_leaves_nothing() -> None:
    before = leftovers()

    def interrupted() -> None:
        with Lab([PLAN]) as lab:
            lab.servers.listen(lab.pods["a/b"].namespace, "tcp", "10.0.0.1", 80)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert leftovers() - before == Counter()


def test_a_refused_line_is_named(place: Namespace) -> None:
    with pytest.raises(EnvironmentRefused, match="here: `ip link set nobody up`: Cannot find device"):
        place.ip(["link set lo up", "link set nobody up", "link set lo down"])
    with pytest.raises(EnvironmentRefused, match=r"here: `ip link add x type none`: .*does this kernel lack"):
        place.ip(["link add x type none"])
    with pytest.raises(EnvironmentRefused, match="here: `ip`: Error: any valid prefix is expected"):
        place.ip(["link set lo up", "route add nonsense"])


def test_a_missing_sysctl_is_named_with_its_remedy(place: Namespace) -> None:
    with pytest.raises(EnvironmentRefused, match=r"no sysctl net.bridge.nonsense: .*modprobe br_netfilter"):
        place.set_sysctls({"net.bridge.nonsense": "1"})


def test_a_missing_program_is_named_with_its_package(monkeypatch: pytest.MonkeyPatch) -> None:
    before = leftovers()
    monkeypatch.setenv("PATH", "")
    with pytest.raises(EnvironmentRefused, match=r"no program `ip` on PATH; .*`iproute2`"):
        Namespace("here")
    assert leftovers() - before == Counter()


def test_a_program_that_hangs_is_stopped(place: Namespace) -> None:
    before = leftovers()
    with pytest.raises(EnvironmentRefused, match=r"here: `sleep 60` gave no answer within 0.1 s"):
        place.run(["sleep", "60"], seconds=0.1)
    assert leftovers() - before == Counter()


def test_without_permission_one_sentence_says_what_to_do() -> None:
    code = (
        "from policyd.lab.namespace import EnvironmentRefused, Namespace\n"
        "try: Namespace('x')\n"
        "except EnvironmentRefused as error: print(error)\n"
    )
    command = ["setpriv", "--bounding-set", "-sys_admin", sys.executable, "-c", code]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert "run it as root" in result.stdout, result.stderr


def test_bridged_pods_are_filtered_or_refused() -> None:
    """Where br_netfilter is missing a bridged node is refused; else its bridge shows packets to rules."""
    bridged = NodePlan("n1", PLAN.addresses, PLAN.pods, Bridged(("10.0.0.254", "fd00::fe")))
    if not Path("/proc/sys/net/bridge").exists():
        with pytest.raises(EnvironmentRefused, match="modprobe br_netfilter"):
            Lab([bridged])
        return
    with Lab([bridged]) as lab, lab.nodes["n1"].entered():
        switches = Path("/proc/sys/net/bridge").glob("bridge-nf-call-ip*")
        assert {switch.name: switch.read_text().strip() for switch in switches} == {
            "bridge-nf-call-iptables": "1",
            "bridge-nf-call-ip6tables": "1",
        }
