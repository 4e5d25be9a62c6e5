"""policyd-cni itself, in each shell that is here: what the CNI specification asks of a plugin.

Nobody answers, or the test does, as an agent would.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from policyd.cni.files import program
from policyd.cni.request import Request, read_request
from tests.support.waiting import DEADLINE, until

SHELLS = [shell for shell in (("dash",), ("busybox", "sh"), ("bash", "--posix")) if shutil.which(shell[0])]
RESULT = {"cniVersion": "1.0.0", "ips": [{"address": "10.0.0.9/24"}], "interfaces": [{"name": "veth1"}]}
SANDBOX = {
    "CNI_CONTAINERID": "0a1b",
    "CNI_IFNAME": "eth0",
    "CNI_NETNS": "/nowhere",
    "CNI_PATH": "/opt/cni/bin",
    "CNI_ARGS": "IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_UID=uid-1",
}


@pytest.fixture(params=SHELLS, ids=lambda shell: shell[0])
def plugin(request: pytest.FixtureRequest, tmp_path: Path) -> Plugin:
    return Plugin(request.param, tmp_path)


class Plugin:
    """The program, in a shell, with a directory of its own."""

    def __init__(self, shell: Sequence[str], directory: Path) -> None:
        self.path = directory / "policyd-cni"
        self.path.write_bytes(program())
        self.shell, self.run_dir = shell, directory / "run"

    def config(self, **more: object) -> str:
        told = {"cniVersion": "1.0.0", "name": "cbr0", "type": "policyd-cni", "runDir": str(self.run_dir)}
        return json.dumps({**told, "waitSeconds": 1, **more}, separators=(",", ":"))

    def open(self, command: str, config: str, **variables: str) -> subprocess.Popen[str]:
        """A call under way."""
        env = {"PATH": os.environ["PATH"], "CNI_COMMAND": command, **SANDBOX, **variables}
        opened = subprocess.Popen(
            [*self.shell, self.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={name: value for name, value in env.items() if value},
        )
        assert opened.stdin is not None
        opened.stdin.write(config)
        opened.stdin.close()
        opened.stdin = None
        return opened

    def call(self, command: str, config: str, **variables: str) -> tuple[int, str]:
        """A call to its end: its exit code and what it wrote."""
        done = self.open(command, config, **variables)
        text, complaint = done.communicate(timeout=DEADLINE)
        assert complaint == ""
        return done.returncode, text

    def error(self, command: str, config: str, **variables: str) -> dict[str, Any]:
        """The error of a call that fails."""
        code, text = self.call(command, config, **variables)
        assert code != 0
        found: dict[str, Any] = json.loads(text)
        assert isinstance(found["code"], int)
        return found

    def asked(self) -> list[Path]:
        """The requests that wait for an answer."""
        return sorted((self.run_dir / "cni" / "asked").glob("*"))

    def answer(self, line: str) -> Request:
        """Answer the next request as an agent does, and give it."""
        until(self.asked)
        [asked] = self.asked()
        found = read_request((asked / "request").read_bytes())
        pipe = os.open(asked / "answer", os.O_WRONLY | os.O_NONBLOCK)
        os.write(pipe, line.encode())
        os.close(pipe)
        return found


def test_it_names_its_versions(plugin: Plugin) -> None:
    code, text = plugin.call("VERSION", '{"cniVersion": "0.3.1"}')
    versions = ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"]
    assert (code, json.loads(text)) == (0, {"cniVersion": "1.1.0", "supportedVersions": versions})


@pytest.mark.parametrize("version", ["0.3.0", "0.3.1", "0.4.0", "1.0.0", "1.1.0"])
def test_add_hands_on_the_result_when_the_agent_agrees(plugin: Plugin, version: str) -> None:
    call = plugin.open("ADD", plugin.config(cniVersion=version, waitSeconds=60, prevResult=RESULT))
    asked = plugin.answer("ok\n")
    assert call.communicate(timeout=DEADLINE) == (json.dumps(RESULT, separators=(",", ":")) + "\n", "")
    assert call.returncode == 0
    assert (asked.command, asked.pod, asked.uid, asked.container) == ("ADD", "shop/web", "uid-1", "0a1b")
    assert asked.result["result"] == RESULT
    assert plugin.asked() == []


def test_add_ends_as_the_agent_says(plugin: Plugin) -> None:
    call = plugin.open("ADD", plugin.config(waitSeconds=60, prevResult=RESULT))
    plugin.answer('refuse 11 not "yet"\\: no\n')
    text, _ = call.communicate(timeout=DEADLINE)
    found = json.loads(text)
    assert (call.returncode, found["cniVersion"], found["code"]) == (1, "1.0.0", 11)
    assert found["msg"].split() == ["not", "yet", ":", "no"]


def test_without_an_agent_a_pod_is_refused_in_time(plugin: Plugin) -> None:
    error = plugin.error("ADD", plugin.config(prevResult=RESULT))
    assert error["code"] == 11
    assert "has not answered" in error["msg"]
    assert plugin.asked() == []


def test_without_an_agent_a_pod_is_let_through_where_that_is_set(plugin: Plugin) -> None:
    code, text = plugin.call("ADD", plugin.config(prevResult=RESULT, unanswered="pass"))
    assert (code, json.loads(text)) == (0, RESULT)


def test_a_refusal_is_one_whatever_is_set(plugin: Plugin) -> None:
    call = plugin.open("ADD", plugin.config(waitSeconds=60, prevResult=RESULT, unanswered="pass"))
    plugin.answer("refuse 7 no\n")
    call.communicate(timeout=DEADLINE)
    assert call.returncode == 1


def test_an_answer_from_nowhere_lets_nobody_through(plugin: Plugin) -> None:
    for line in ("yes\n", "okay\n", "refuse\n", "refuse x y\n", "refuse 99x y\n"):
        call = plugin.open("ADD", plugin.config(waitSeconds=60, prevResult=RESULT, unanswered="pass"))
        plugin.answer(line)
        text, _ = call.communicate(timeout=DEADLINE)
        assert call.returncode == 1, line
        assert json.loads(text)["code"] == 999, line


def test_the_nodes_own_namespace_is_refused(plugin: Plugin) -> None:
    config = plugin.config(prevResult=RESULT, unanswered="pass")
    assert plugin.error("ADD", config, CNI_NETNS="/proc/self/ns/net")["code"] == 8
    for override in ("TRUE", "true", "1"):
        code, _ = plugin.call("ADD", config, CNI_NETNS="/proc/self/ns/net", CNI_NETNS_OVERRIDE=override)
        assert code == 0


@pytest.mark.parametrize(
    ("variables", "config", "code"),
    [
        ({"CNI_CONTAINERID": ""}, {}, 4), ({"CNI_CONTAINERID": "../x"}, {}, 4), ({"CNI_IFNAME": ""}, {}, 4),
        ({"CNI_IFNAME": "a/b"}, {}, 4), ({"CNI_IFNAME": ".."}, {}, 4), ({"CNI_IFNAME": "x" * 16}, {}, 4),
        ({"CNI_NETNS": ""}, {}, 4), ({"CNI_COMMAND": ""}, {}, 4), ({"CNI_COMMAND": "UPDATE"}, {}, 4),
        ({}, {"prevResult": None}, 7), ({}, {"name": ""}, 7), ({}, {"runDir": "run"}, 7),
        ({}, {"waitSeconds": -1}, 7), ({}, {"waitSeconds": 1.5}, 7), ({}, {"unanswered": "maybe"}, 7),
        ({}, {"cniVersion": "0.2.0"}, 1), ({}, {"cniVersion": "2.0.0"}, 1), ({}, {"cniVersion": ""}, 1),
        ({}, {"runDir": "/proc/nowhere"}, 5),
    ],
)  # fmt: skip
def test_what_is_wrong_is_an_error_of_the_specification(
    plugin: Plugin, variables: dict[str, str], config: dict[str, object], code: int
) -> None:
    text = plugin.config(**{"prevResult": RESULT, "unanswered": "pass", **config})
    assert plugin.error("ADD", text, **variables)["code"] == code


@pytest.mark.parametrize("text", ["", "{", '{"a": ', '{"name": "x}', "[1]", '{"name": "cbr0"', "hello"])
def test_a_configuration_that_is_none_lets_nobody_through(plugin: Plugin, text: str) -> None:
    assert plugin.error("ADD", text)["code"] in (1, 6, 7)


def test_del_never_fails(plugin: Plugin) -> None:
    for config in (
        "",
        "{",
        "null",
        plugin.config(),
        plugin.config(prevResult=RESULT),
        plugin.config(runDir="x"),
    ):
        for variables in (
            {},
            {"CNI_NETNS": ""},
            {"CNI_CONTAINERID": ""},
            {"CNI_IFNAME": ""},
            {"CNI_IFNAME": "/"},
        ):
            assert plugin.call("DEL", config, **variables) == (0, "")


def test_del_forgets_the_question_of_its_container_only(plugin: Plugin) -> None:
    asked = plugin.run_dir / "cni" / "asked"
    for name in ("0a1b-eth0.7", "0a1b-net1.7", "0a1c-eth0.7"):
        (asked / name).mkdir(parents=True)
    plugin.call("DEL", plugin.config())
    assert [path.name for path in plugin.asked()] == ["0a1b-net1.7", "0a1c-eth0.7"]


def test_gc_forgets_what_the_runtime_does_not_know(plugin: Plugin) -> None:
    asked = plugin.run_dir / "cni" / "asked"
    for name in ("0a1b-eth0.7", "0a1c-eth0.7"):
        (asked / name).mkdir(parents=True)
    valid = {"cni.dev/valid-attachments": [{"containerID": "0a1b", "ifname": "eth0"}]}
    assert plugin.call("GC", plugin.config(cniVersion="1.1.0", **valid)) == (0, "")
    assert [path.name for path in plugin.asked()] == ["0a1b-eth0.7"]


def test_status_says_whether_a_ruleset_has_been_in_force(plugin: Plugin) -> None:
    assert plugin.error("STATUS", plugin.config(cniVersion="1.1.0"))["code"] == 50
    assert plugin.call("STATUS", plugin.config(cniVersion="1.1.0", unanswered="pass")) == (0, "")
    (plugin.run_dir / "cni").mkdir(parents=True)
    (plugin.run_dir / "cni" / "ready").touch()
    assert plugin.call("STATUS", plugin.config(cniVersion="1.1.0")) == (0, "")


def test_check_asks_too_and_writes_nothing(plugin: Plugin) -> None:
    call = plugin.open("CHECK", plugin.config(waitSeconds=60, prevResult=RESULT))
    assert plugin.answer("ok\n").command == "CHECK"
    assert call.communicate(timeout=DEADLINE) == ("", "")
    assert call.returncode == 0
    assert plugin.error("CHECK", plugin.config(cniVersion="0.3.1", prevResult=RESULT))["code"] == 1


def test_a_runtime_that_gives_up_leaves_nothing_behind(plugin: Plugin) -> None:
    call = plugin.open("ADD", plugin.config(waitSeconds=60, prevResult=RESULT))
    until(plugin.asked)
    call.send_signal(signal.SIGTERM)
    call.communicate(timeout=DEADLINE)
    assert call.returncode != 0
    assert plugin.asked() == []


def test_one_that_was_killed_holds_nobody_up(plugin: Plugin) -> None:
    """Its question stays, until DEL, GC, or an agent finds that nobody waits for the answer."""
    call = plugin.open("ADD", plugin.config(waitSeconds=2, prevResult=RESULT))
    until(plugin.asked)
    call.kill()
    call.communicate(timeout=DEADLINE)
    [asked] = plugin.asked()

    def nobody_reads() -> bool:
        try:
            os.close(os.open(asked / "answer", os.O_WRONLY | os.O_NONBLOCK))
        except OSError:
            return True
        return False

    until(nobody_reads)
    assert plugin.call("DEL", plugin.config()) == (0, "")
    assert plugin.asked() == []


def test_many_at_once_each_get_their_own_answer(plugin: Plugin) -> None:
    calls = {}
    for number in range(8):
        result = {**RESULT, "ips": [{"address": f"10.0.0.{number}/24"}]}
        config = plugin.config(waitSeconds=60, prevResult=result)
        calls[f"c{number}"] = plugin.open("ADD", config, CNI_CONTAINERID=f"c{number}")
    until(lambda: len(plugin.asked()) == 8)
    for asked in plugin.asked():
        odd = int(asked.name[1]) % 2
        threading.Thread(
            target=(asked / "answer").write_text, args=("refuse 11 x\n" if odd else "ok\n",)
        ).start()
    for name, call in calls.items():
        text, _ = call.communicate(timeout=DEADLINE)
        odd = int(name[1]) % 2
        assert call.returncode == odd
        assert odd or json.loads(text)["ips"] == [{"address": f"10.0.0.{name[1]}/24"}]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda below: (
        st.lists(below, max_size=3) | st.dictionaries(st.text() | st.just("prevResult"), below, max_size=3)
    ),
    max_leaves=12,
)
#: What another plugin's writer might do to the same value.
FORMS: tuple[dict[str, Any], ...] = (
    {"separators": (",", ":")},
    {"indent": 2},
    {"ensure_ascii": False},
    {"indent": "\t", "ensure_ascii": False},
)


@pytest.mark.parametrize("shell", SHELLS, ids=lambda shell: shell[0])
@given(
    before=st.dictionaries(st.text(), JSON, max_size=3),
    result=st.dictionaries(st.text(), JSON, max_size=4),
    data=st.data(),
)
@settings(max_examples=25)
def test_the_result_is_handed_on_as_it_stands(
    shell: Sequence[str],
    before: dict[str, Any],
    result: dict[str, Any],
    data: st.DataObject,
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    """To the last byte, whatever is in it and around it: brackets and marks in strings, keys of its name."""
    form = data.draw(st.sampled_from(FORMS))
    plugin = Plugin(shell, tmp_path_factory.mktemp("cni"))
    known = json.loads(plugin.config(waitSeconds=1, unanswered="pass"))
    kept = {key: value for key, value in before.items() if key not in known}
    text = json.dumps(result, **form)
    whole = json.dumps({**kept, **known, "prevResult": 7, "zz": "prevResult"}, **form)
    at = whole.rindex('"prevResult": 7') if '"prevResult": 7' in whole else whole.rindex('"prevResult":7')
    length = len('"prevResult": 7') if whole[at:].startswith('"prevResult": 7') else len('"prevResult":7')
    config = whole[:at] + f'"prevResult" : {text}' + whole[at + length :]
    assert json.loads(config)["prevResult"] == result
    plugin.path.write_bytes(program().replace(b'require "$CNI_COMMAND"', b":", 1))  # nobody is asked here
    code, out = plugin.call("ADD", config)
    assert (code, out) == (0, text + "\n")


def test_it_costs_little_next_to_what_a_pods_start_takes(plugin: Plugin) -> None:
    """A configuration of a hundred entries is read in the time of a few programs' starts."""
    result = {"ips": [{"address": f"10.0.{n}.9/24", "gateway": "10.0.0.1"} for n in range(100)]}
    config = plugin.config(prevResult=result)

    def seconds(of: list[str | Path], text: str) -> float:
        began = time.monotonic()
        subprocess.run(
            of,
            input=text,
            capture_output=True,
            text=True,
            check=False,
            timeout=DEADLINE,
            env={"PATH": os.environ["PATH"], "CNI_COMMAND": "STATUS"},
        )
        return time.monotonic() - began

    start = min(seconds(["env", "true"], "") for _ in range(5))
    assert min(seconds([*plugin.shell, plugin.path], config) for _ in range(5)) < 60 * start + 0.05
