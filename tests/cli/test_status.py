"""policyd status tells what an agent tells; without one, what was left behind, as far as it may be seen."""

from __future__ import annotations

import asyncio
import json
import os
import re
import socket
import socketserver
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from threading import Thread

import pytest
from jsonschema import Draft202012Validator

from policyd.agent_api import (
    AgentState,
    GovernedPod,
    InterfaceCount,
    KnownObjects,
    OwnPods,
    PolicyFindings,
    Proven,
    ReportedCondition,
    RulesetInForce,
    RulesetSize,
)
from policyd.cli.status import exit_code
from policyd.doctor.agent_client import NoAnswer, ask, ask_state
from policyd.doctor.kernel_table import KernelTable
from policyd.doctor.schemas import status_schema
from policyd.doctor.status_lines import Remains, lines
from policyd.lab.namespace import Namespace
from policyd.node.facts import BRIDGE4
from tests.agent.agents import command, nft, run, running
from tests.agent.asking import agent_socket, ask_root
from tests.cli.calls import Call
from tests.cli.node import manifests, node
from tests.support.setting_back import setting_back
from tests.support.waiting import until

__all__ = ["manifests", "node"]

kernel = pytest.mark.kernel
HOLDS = "generation 1, which isolates 2 addresses of pods and binds 4 to interfaces"
WHOLE = "all of it compared at 1970-01-01 00:00:01 UTC"
UNKNOWN = "the kubelet cannot be followed"
ALONE = "no agent is at work, so changes of policies do not arrive"


@kernel
def test_an_agent_at_work_is_enforcing(node: Namespace, manifests: Path) -> None:
    with running(node, manifests):
        until(lambda: "  proved     for every packet: generation 1, " in run(node, "status").stdout)
        done = run(node, "status")
        wide = run(node, "status", "-o", "wide").stdout.splitlines()
    assert wide[: len(done.stdout.splitlines())][0] == "n1: enforcing"
    assert "  pod        shop/db: ingress open; egress open" in wide
    assert "  pod        shop/web: ingress isolated by shop/web; egress open" in wide
    assert (done.returncode, done.stderr) == (0, "")
    said = done.stdout.splitlines()
    assert said[0] == "n1: enforcing"
    assert re.fullmatch(r"  since      \d{4}-\d\d-\d\d \d\d:\d\d:\d\d UTC, generation 1", said[1])
    assert "  pods       2 on this node: 1 isolated, 1 open" in said
    assert "  policies   1 that select pods here: shop/web" in said
    assert "  interfaces pods are bound: 2 to ports of bridges" in said
    assert "  objects    0 ClusterNetworkPolicy, 1 Namespace, 1 NetworkPolicy, 0 Node, 2 Pod" in said
    assert said[-1] == "  conditions none"


@kernel
def test_what_degrades_it_is_reported_and_counts(node: Namespace, manifests: Path) -> None:
    node.set_sysctls({BRIDGE4: "0"})
    with setting_back(node), running(node, manifests):
        until(lambda: "bridge-netfilter-off" in run(node, "status").stdout)
        done = run(node, "status", "-o", "json")
    told = json.loads(done.stdout)
    follows_schema(told)
    assert told["enforcing"] is False
    assert [c["name"] for c in told["agent"]["conditions"]] == ["bridge-netfilter-off"]


@kernel
def test_without_an_agent_the_kernel_and_the_disk_are_read(
    node: Namespace, manifests: Path, tmp_path: Path
) -> None:
    state = ("--state-dir", str(tmp_path / "state"))
    with running(node, manifests, *state):
        until((tmp_path / "state" / "policyd.nft").exists)
    done = run(node, "status", *state, "--node", "n1")
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        f"this node: {ALONE}; no agent answers at {agent_socket()} (connection refused)",
        f"  kernel     holds {HOLDS}, 4 of them to ports of bridges; that stays in force",
        "  disk       holds generation 1, for after a reboot",
    ]
    assert "it is of the node n1" in run(node, "status", *state, "--node", "n2").stdout
    assert "(--node)" in run(node, "status", *state).stdout
    nft(node, "add", "rule", "bridge", "policyd", "forward", "counter")
    assert "somebody else wrote" in run(node, "status").stdout
    nft(node, "delete", "table", "bridge", "policyd")
    nft(node, "add", "rule", "inet", "policyd", "forward", "counter")
    assert "somebody else wrote" in run(node, "status").stdout
    run(node, "cleanup")
    done = run(node, "status", "-o", "json")
    told = json.loads(done.stdout)
    follows_schema(told)
    assert (done.returncode, told["kernel"]) == (1, None)


@kernel
def test_an_agent_that_answers_elsewhere_is_not_taken_for_absent(
    node: Namespace, manifests: Path, tmp_path: Path
) -> None:
    with running(node, manifests, "--listen", "127.0.0.1:9999", "--run-dir", "") as agent:
        done = run(node, "status")
        assert (done.returncode, f"one is at work (process {agent.process.pid}" in done.stdout) == (4, True)
        assert "`run_dir` is empty" in run(node, "status", "--run-dir", "").stdout
    with running(node, manifests, "--listen", ""):
        assert run(node, "status").returncode == 0


@kernel
def test_only_root_may_ask_the_agent_everything(node: Namespace, manifests: Path) -> None:
    """All pods, labels and policies of the cluster are in its answers."""
    with running(node, manifests):
        until(agent_socket().exists)
        assert stat.S_IMODE(agent_socket().stat().st_mode) == 0o600
        for path in ("/debug/state", "/debug/objects", "/debug/ruleset", "/debug/log", "/debug/attachments"):
            assert ask_root(path)[0] == 200
        os.chmod(os.environ["POLICYD_RUN_DIR"], 0o711)  # noqa: PTH101, S103 so that it depends on the socket
        as_nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
        ask_it = f"import socket; socket.socket(socket.AF_UNIX).connect({str(agent_socket())!r})"
        done = subprocess.run([*as_nobody, sys.executable, "-c", ask_it], capture_output=True, check=False)
        assert b"PermissionError" in done.stderr


@kernel
def test_without_privileges_it_says_what_it_could_not_see(node: Namespace, unprivileged: list[str]) -> None:
    done = node.run(unprivileged + command("status"))
    assert (done.returncode, "Traceback" in done.stderr) == (4, False)
    assert "could not be asked" in done.stdout
    assert "root" in done.stdout


def follows_schema(told: dict[str, object]) -> None:
    schema = status_schema()
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(told)
    assert (told["apiVersion"], told["kind"]) == ("policyd/v1", "NodeStatus")


FIRST = "the kernel is first compared with the ruleset"
COMPARED = "the kernel was compared with the ruleset"
CLOSED = "quarantined, so that their pods are closed"
ODD = "is not fully understood, and closed as far as it is not"
ENFORCED = RulesetInForce(generation=7, since=0.0, stats=RulesetSize(pods=12, isolated=5, policies=3))
IDLE = RulesetInForce(
    generation=7, since=0.0, stats=RulesetSize(pods=12, isolated=5, policies=3, idle_peers=2)
)
GOOD = AgentState(
    settings={"node": "n1"},
    enforced=ENFORCED,
    verified=990.0,
    objects=(KnownObjects(kind="Pod", count=3, stale_seconds=4.0),),
)


@pytest.mark.parametrize(
    ("found", "line"),
    [
        (GOOD, "  since      1970-01-01 00:00:00 UTC, generation 7"),
        (GOOD, "  pods       12 on this node: 5 isolated, 7 open"),
        (GOOD, f"  verified   {COMPARED} 10 s ago; no repair was needed"),
        (GOOD, "             known to be complete 4 s ago"),
        (
            GOOD.model_copy(update={"repairs": 1}),
            f"  verified   {COMPARED} 10 s ago; changed by somebody else and repaired once",
        ),
        (
            GOOD.model_copy(update={"verified": 0.0, "settings": {"verify_interval": 30.0}}),
            f"  verified   {FIRST} 30 s after the start; no repair was needed",
        ),
        (
            GOOD.model_copy(update={"quarantined": {f"a/{n}": "" for n in range(7)}}),
            f"  policies   3 that select pods here; {CLOSED}: a/0, a/1, a/2, a/3, a/4 and 2 more",
        ),
        (
            GOOD.model_copy(update={"proof": Proven(proved=True, at=60.0, generation=3)}),
            "  proved     for every packet: generation 3, 1970-01-01 00:01:00 UTC",
        ),
        (
            GOOD.model_copy(update={"proof": Proven(proved=True, at=60.0, whole_at=1.0, generation=3)}),
            f"  proved     for every packet: generation 3, 1970-01-01 00:01:00 UTC; {WHOLE}",
        ),
        (
            GOOD.model_copy(update={"proof": Proven(proved=False, told=("a > b TCP 80",))}),
            "  proved     NOT: generation 0, 1970-01-01 00:00:00 UTC: a > b TCP 80",
        ),
        (
            GOOD.model_copy(update={"findings": PolicyFindings(count=3, named=("NP102 shop/api is odd",))}),
            "  findings   NP102 shop/api is odd and 2 more; `policyd lint` lists all of the same files",
        ),
        (
            GOOD.model_copy(update={"enforced": IDLE}),
            "  policies   3 that select pods here; 2 of their peers select no pod with an address",
        ),
        (
            GOOD.model_copy(
                update={
                    "objects": (
                        KnownObjects(kind="NetworkPolicy", count=1, mistakes={"a/x": ("spec: bad",)}),
                    )
                }
            ),
            f"{' ' * 13}NetworkPolicy a/x {ODD}: spec: bad",
        ),
        (
            GOOD.model_copy(
                update={
                    "objects": (
                        KnownObjects(
                            kind="NetworkPolicy", count=1, mistakes={"a/x": ("spec: bad", "b", "c")}
                        ),
                    )
                }
            ),
            f"{' ' * 13}NetworkPolicy a/x {ODD}: spec: bad (and 2 more)",
        ),
        (AgentState(waiting_for=("Pod",)), "             not all listed yet: Pod"),
        (
            GOOD.model_copy(
                update={
                    "conditions": (ReportedCondition(name="flowtable", text="\x1b[31mred", degraded=False),)
                }
            ),
            "  condition  flowtable: \\x1b[31mred",
        ),
        (
            GOOD.model_copy(update={"interfaces": InterfaceCount(ports=2, links=1, unbound=3)}),
            "  interfaces pods are bound: 2 to ports of bridges, 1 to links of their own, 3 not bound",
        ),
        (
            GOOD.model_copy(update={"own_pods": OwnPods(kubelet=True, pods=7)}),
            "             known by the API server and the kubelet, which has 7",
        ),
        (
            GOOD.model_copy(update={"own_pods": OwnPods(kubelet=False, reason="there is no \x1b")}),
            f"             known by the API server alone, as {UNKNOWN}: there is no \\x1b",
        ),
        (
            Remains("x", "", KernelTable(1, 2, (), bound=4), None),
            f"  kernel     holds {HOLDS}; that stays in force",
        ),
        (Remains("x", "", None, None), "  kernel     holds no table of policyd: nothing is enforced"),
    ],
)
def test_each_thing_has_its_line(found: AgentState | Remains, line: str) -> None:
    assert line in list(lines(found, 1000.0))


PODS = (
    GovernedPod(name="a/x", ingress=("a/one", "a/two")),
    GovernedPod(name="a/y", ingress=(), egress=("a/two",)),
)


def test_wide_has_every_pod_and_every_finding() -> None:
    state = GOOD.model_copy(
        update={"pods": PODS, "findings": PolicyFindings(count=3, named=("NP102 x", "NP104 y"))}
    )
    said = list(lines(state, 1000.0, wide=True))
    assert "  policies   3 that select pods here: a/one, a/two" in said
    assert "  pod        a/x: ingress isolated by a/one, a/two; egress open" in said
    assert said[-3:] == ["  finding    NP102 x", "  finding    NP104 y", "             and 1 more findings"]
    assert "  pod        " not in "".join(lines(state, 1000.0))


DEGRADED = GOOD.model_copy(update={"conditions": (ReportedCondition(name="x", text="x"),)})
ONLY_ODD = GOOD.model_copy(update={"conditions": (ReportedCondition(name="x", text="x", degraded=False),)})
HELD = KernelTable(1, 2, ())


@pytest.mark.parametrize(
    ("found", "code"),
    [
        (GOOD, 0),
        (ONLY_ODD, 0),
        (DEGRADED, 1),
        (AgentState(), 1),
        (Remains("x", "", HELD, None), 1),
        (Remains("x", "", None, None), 1),
        (Remains("x", "", "no permission", None), 4),
        (Remains("x", " (process 1, user 0)", HELD, None), 4),
    ],
)
def test_the_exit_code_says_whether_it_is_enforced(found: AgentState | Remains, code: int) -> None:
    assert exit_code(found) == code


@contextmanager
def answering(status: int, body: bytes) -> Iterator[Path]:
    """Somebody who answers every question so, and is no agent."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            return

    class Server(socketserver.UnixStreamServer):
        def get_request(self) -> tuple[socket.socket, tuple[str, int]]:
            return super().get_request()[0], ("socket", 0)

    with tempfile.TemporaryDirectory() as folder, Server(f"{folder}/s", Handler) as server:
        thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        try:
            yield Path(folder, "s")
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "body", "said"),
    [
        (200, b"<html>", "is not an agent of policyd"),
        (200, b"[]", "is not an agent of policyd"),
        (200, b'{"enforced": 7}', "is not an agent of policyd"),
        (403, b"only from this node\n", "says 403 to /debug/state: only from this node"),
        (404, b"\xff", "says 404"),
    ],
)
async def test_who_is_no_agent_is_not_taken_for_one(status: int, body: bytes, said: str) -> None:
    with answering(status, body) as place:
        answer = await ask_state(place)
        assert isinstance(answer, NoAnswer)
        assert said in answer.text


async def test_an_agent_of_a_later_version_is_understood_as_far_as_it_goes() -> None:
    with answering(200, b'{"new": 1, "enforced": {"generation": 3, "since": 1, "more": {}}}') as place:
        answer = await ask_state(place)
        assert isinstance(answer, AgentState)
        assert answer.enforced == RulesetInForce(generation=3, since=1.0)


async def test_who_does_not_speak_http_is_a_sentence() -> None:
    async def greet(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 mail\r\n")
        writer.close()

    with tempfile.TemporaryDirectory() as folder:
        async with await asyncio.start_unix_server(greet, f"{folder}/s"):
            found = await ask(Path(folder, "s"), "/")
    assert "does not speak HTTP" in str(found)


@pytest.mark.parametrize("place", ["/", "/nowhere/s", f"/{'long' * 100}", __file__])
async def test_a_place_where_nobody_listens_is_a_sentence(place: str) -> None:
    answer = await ask(Path(place), "/")
    assert isinstance(answer, NoAnswer)
    assert answer.text.startswith(f"no agent answers at {place} (")


def test_settings_that_are_wrong_are_reported(call: Call) -> None:
    result = call("status", "--table", "1x")
    assert (result.code, result.out) == (2, "")
    assert "--table" in result.err


def test_a_clock_that_was_put_back_shows_no_negative_time() -> None:
    found = GOOD.model_copy(update={"verified": 1_000.0})
    assert any("0 s ago" in line for line in lines(found, 995.0))
