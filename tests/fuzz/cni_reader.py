"""Readers of what runtimes and installers write: questions of policyd-cni, and lists that it is put into."""

from __future__ import annotations

import json
from pathlib import Path

from policyd.cni.admission import Answer, decide
from policyd.cni.conflist import UnsupportedList, read_network, with_plugin, without_plugin
from policyd.cni.request import Unreadable, read_request
from tests.cni.lists import CALICO, ENTRY, FLANNEL
from tests.fuzz.mutations import JSON, WORDS
from tests.fuzz.target import Target

REQUEST = b"""\
CNI_COMMAND=ADD
CNI_CONTAINERID=0a1b
CNI_IFNAME=eth0
CNI_NETNS=/run/netns/x
CNI_ARGS=IgnoreUnknown=1;K8S_POD_NAMESPACE=shop;K8S_POD_NAME=web;K8S_POD_UID=uid-1
WAIT_SECONDS=30

{"cniVersion":"1.0.0","name":"cbr0","prevResult":{"ips":[{"address":"10.0.0.9/24"},{"address":"fd00::9/64"}],
"interfaces":[{"name":"veth1"},{"name":"eth0","mac":"02:00:00:00:00:03","sandbox":"/x"}]}}"""


def request_reader(_: Path) -> Target:
    """A question, and what is said to it by somebody who knows no pod."""

    def read(text: bytes) -> str:
        try:
            verdict = decide(read_request(text), {}, {}, "", 0.0)
        except Unreadable as error:
            return str(error)
        if not isinstance(verdict, Answer):
            return verdict.reason
        line = verdict.line()
        assert line == "ok\n" or (line.startswith("refuse ") and line.count("\n") == 1 and len(line) < 4096)
        return line

    return Target("cni-request", read, (REQUEST,), WORDS)


def list_reader(_: Path) -> Target:
    """A configuration list: with our entry, and without it as it was."""

    def read(text: bytes) -> str:
        try:
            there = text.decode()
            made = with_plugin(there, ENTRY)
        except (UnsupportedList, UnicodeDecodeError) as error:
            return str(error)
        assert read_network(made).entry == ENTRY
        assert with_plugin(made, ENTRY) == made
        try:
            gone = without_plugin(made)
        except UnsupportedList as error:
            return str(error)
        assert read_network(gone).entry is None
        if read_network(there).entry is None:
            assert gone == there
        return f"{len(json.loads(made)['plugins'])} plugins"

    good = tuple(
        each.encode() for each in (FLANNEL, CALICO, with_plugin(CALICO, {**ENTRY, "waitSeconds": 5}))
    )
    return Target("cni-list", read, good, JSON)
