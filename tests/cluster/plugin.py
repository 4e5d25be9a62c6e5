"""Fixtures for tests against a real API server or a real cluster, and the rule when such tests run.

Tests marked `cluster` run only when they are asked for (`-m cluster`): they need programs that take minutes
to build. Session fixtures are shared, so a test that breaks its cluster brings up its own.
"""

from __future__ import annotations

import signal
from collections.abc import Iterator
from types import FrameType

import pytest

from tests.cluster.control_plane import ControlPlane


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests marked `cluster`, unless the marker expression names them."""
    if "cluster" in config.getoption("markexpr"):
        return
    left_out = [item for item in items if item.get_closest_marker("cluster")]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if not item.get_closest_marker("cluster")]


@pytest.fixture(scope="session")
def _orderly_end() -> None:
    """Let SIGTERM end the tests as Ctrl-C does, so that the fixtures are torn down."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, interrupt)


@pytest.fixture(scope="session")
def control_plane(_orderly_end: None) -> Iterator[ControlPlane]:
    """Give the session's control plane; use a namespace of your own, and leave its components alone."""
    with ControlPlane.up() as plane:
        yield plane
        plane.check()


@pytest.fixture
def own_control_plane(_orderly_end: None) -> Iterator[ControlPlane]:
    """Give a control plane that the test may stop, break and restore."""
    with ControlPlane.up() as plane:
        yield plane
