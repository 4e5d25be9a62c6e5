"""A time limit for every test, its fixtures included: one that hangs is ended, and the run goes on.

The limit is `timeout` in pyproject.toml, or the test's own (`@pytest.mark.timeout`). At the limit pytest-
timeout raises an error in the test. A test that goes on nevertheless, because it blocks signals or hangs in
C, ends with its process at twice the limit.
"""

from __future__ import annotations

import faulthandler
from typing import Protocol

import pytest
from _pytest.faulthandler import fault_handler_stderr_fd_key


class Limit(Protocol):
    """The part of pytest-timeout's settings that is used here. `timeout` is in seconds."""

    timeout: float


LIMIT = pytest.StashKey[Limit]()


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_set_timer(item: pytest.Item, settings: Limit) -> None:
    """End the process when a test has taken twice its limit. pytest-timeout's own timer is set after it."""
    item.stash[LIMIT] = settings
    stderr = item.config.stash[fault_handler_stderr_fd_key]  # the terminal's: what is captured would be lost
    faulthandler.dump_traceback_later(2 * settings.timeout, file=stderr, exit=True)


@pytest.hookimpl(tryfirst=True)
def pytest_timeout_cancel_timer(item: pytest.Item) -> None:
    faulthandler.cancel_dump_traceback_later()


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_teardown(item: pytest.Item) -> None:
    """Give the fixtures the same time once more: a failure of their test ended both timers."""
    if (limit := item.stash.get(LIMIT, None)) is not None:
        item.config.hook.pytest_timeout_set_timer(item=item, settings=limit)
