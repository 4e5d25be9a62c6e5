"""Tests here may be coroutines, and those that take `serve` run on the emulator and on a real API server."""

from __future__ import annotations

import inspect
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager

import pytest

from tests.cluster.control_plane import ControlPlane
from tests.watcher.scene import run
from tests.watcher.server import RealServer, Server, emulated

Serve = Callable[[], AbstractAsyncContextManager[Server]]


@pytest.hookimpl(tryfirst=True)
def pytest_pyfunc_call(pyfuncitem: pytest.Function) -> bool | None:
    """Run a test that is a coroutine."""
    if not inspect.iscoroutinefunction(pyfuncitem.obj):
        return None
    names = inspect.signature(pyfuncitem.obj).parameters
    run(pyfuncitem.obj(**{name: pyfuncitem.funcargs[name] for name in names}))
    return True


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
