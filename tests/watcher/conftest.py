"""Tests that take `serve` run on the emulator and on a real API server."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.watcher.server import RealServer, Server, emulated

Serve = Callable[[], AbstractAsyncContextManager[Server]]


@pytest.fixture(params=["emulator", pytest.param("apiserver", marks=pytest.mark.cluster)])
def serve(request: pytest.FixtureRequest) -> Serve:
    """Give what opens a server: the emulator, or the session's control plane."""
    if request.param == "emulator":
        return emulated
    plane: ControlPlane = request.getfixturevalue("control_plane")

    @asynccontextmanager
    async def real() -> AsyncIterator[Server]:
        yield RealServer(plane)

    return real
