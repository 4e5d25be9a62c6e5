"""A node in a network namespace, for commands that look at one: a bridge with its pods, and manifests."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, closing
from pathlib import Path

import pytest

from policyd.lab.namespace import Namespace
from policyd.node.facts import BRIDGE4, BRIDGE6, FORWARD4, FORWARD6
from tests.agent.agents import WORLD, policy, write

BRIDGE = [
    "link add cni0 type bridge",
    "link set cni0 up",
    "addr add 10.0.0.254/24 dev cni0",
    "addr add fd00::fe/64 dev cni0 nodad",
]
#: The addresses of web and db (tests/agent/agents.py), by the port behind which each is.
PODS = {"veth1": ("10.0.0.1/24", "fd00::1/64"), "veth2": ("10.0.0.2/24", "fd00::2/64")}
ON = {BRIDGE4: "1", BRIDGE6: "1", FORWARD4: "1", FORWARD6: "1"}


@pytest.fixture
def node() -> Iterator[Namespace]:
    """A node as it should be, with pods on a bridge."""
    with ExitStack() as stack:
        made = stack.enter_context(closing(Namespace("node")))
        made.ip(BRIDGE)
        for port, addresses in PODS.items():
            pod = stack.enter_context(closing(Namespace(port)))
            made.ip(
                [
                    f"link add {port} type veth peer name eth0 netns {pod.path}",
                    f"link set {port} master cni0",
                    f"link set {port} up",
                ]
            )
            pod.ip(["link set eth0 up", *(f"addr add {address} dev eth0 nodad" for address in addresses)])
        made.set_sysctls(ON)
        yield made


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    """A directory of manifests: two pods of node n1, one of them isolated."""
    made = tmp_path / "manifests"
    made.mkdir()
    write(made, "world.yaml", WORLD)
    write(made, "web.yaml", policy("web", "web", 80))
    return made
