"""A node in a network namespace, for commands that look at one: a bridge with a pod, and what is enforced."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from policyd.lab.namespace import Namespace
from policyd.node.facts import BRIDGE4, BRIDGE6, FORWARD4, FORWARD6
from tests.agent.agents import WORLD, policy, write

BRIDGE = [
    "link add cni0 type bridge",
    "link add veth1 type veth peer name eth0",
    "link set veth1 master cni0",
    "link set cni0 up",
    "link set veth1 up",
    "addr add 10.0.0.254/24 dev cni0",
    "addr add fd00::fe/64 dev cni0 nodad",
]
ON = {BRIDGE4: "1", BRIDGE6: "1", FORWARD4: "1", FORWARD6: "1"}


@pytest.fixture
def node() -> Iterator[Namespace]:
    """A node as it should be, with pods on a bridge."""
    made = Namespace("node")
    made.ip(BRIDGE)
    made.set_sysctls(ON)
    yield made
    made.close()


@pytest.fixture
def manifests(tmp_path: Path) -> Path:
    """A directory of manifests: two pods of node n1, one of them isolated."""
    made = tmp_path / "manifests"
    made.mkdir()
    write(made, "world.yaml", WORLD)
    write(made, "web.yaml", policy("web", "web", 80))
    return made
