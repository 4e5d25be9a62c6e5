"""Fixtures for tests against a real API server or a real cluster, and the rule when such tests run.

Tests marked `cluster` run only when they are asked for (`-m cluster`): they need programs that take minutes
to build. Session fixtures are shared, so a test that breaks its cluster brings up its own.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest

from tests.cluster.client import Client
from tests.cluster.cluster import Cluster
from tests.cluster.control_plane import ControlPlane
from tests.cluster.failures import ClusterFailed
from tests.cluster.network import Name

DEFAULT: Name = "flannel"
#: The limit of one test with the cluster that it brings up and the image that it builds.
SECONDS = 3600


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the tests marked `cluster`, unless the marker expression names them; give them more time."""
    if "cluster" in config.getoption("markexpr"):
        for item in items:
            if item.get_closest_marker("cluster") and not item.get_closest_marker("timeout"):
                item.add_marker(pytest.mark.timeout(SECONDS))
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


@pytest.fixture(scope="session")
def client(request: pytest.FixtureRequest, _orderly_end: None) -> Iterator[Client]:
    """Give a cluster to be used through its API only: the one that KUBECONFIG names, or one of our own.

    What our own is like is an indirect parameter: a network, or the arguments of `Cluster.up`. One at a time
    lives: pytest sorts tests by parameter.
    """
    wanted = getattr(request, "param", DEFAULT)
    how: dict[str, Any] = {"network": wanted} if isinstance(wanted, str) else wanted
    kubeconfig = os.environ.get("KUBECONFIG")
    if kubeconfig:
        if how != {"network": DEFAULT}:
            pytest.skip(f"KUBECONFIG names a cluster, and what it runs is not ours to choose: {wanted}")
        yield _foreign_cluster(Path(kubeconfig))
        return
    with _up(how) as own:
        yield own
        own.check()


@pytest.fixture(scope="session")
def cluster(client: Client) -> Cluster:
    """Give the same cluster to a test that needs its nodes and components in its hands."""
    if not isinstance(client, Cluster):
        pytest.skip("KUBECONFIG names another cluster, and this test needs the nodes in its hands")
    return client


@pytest.fixture
def own_cluster(_orderly_end: None) -> Iterator[Cluster]:
    """Give a cluster that the test may stop, break and restore."""
    if os.environ.get("KUBECONFIG"):
        pytest.skip("KUBECONFIG names another cluster, and this test breaks its own")
    with Cluster.up(network=DEFAULT) as found:
        yield found


def _up(how: dict[str, Any]) -> Cluster:
    """Bring up a cluster, and try once more: what is tested in it has no part in that."""
    try:
        return Cluster.up(**how)
    except ClusterFailed as error:
        sys.stderr.write(f"policyd: the cluster did not come up, trying once more: {error}\n")
        return Cluster.up(**how)


def _foreign_cluster(kubeconfig: Path) -> Client:
    image = os.environ.get("POLICYD_AGNHOST")
    if not image:
        pytest.skip("KUBECONFIG is set; set POLICYD_AGNHOST to an agnhost image that its nodes can pull")
    return Client(kubeconfig.absolute(), agnhost=image)
