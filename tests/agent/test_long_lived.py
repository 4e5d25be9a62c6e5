"""What lives long is looked through once, and then no more until the next compilation."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Iterator

import pytest

from policyd.agent.long_lived import LongLived
from policyd.agent.reporting.status import AgentStatus


class Thing:
    """Refers to itself, so that only the collector frees it."""

    def __init__(self) -> None:
        self.itself = self


@pytest.fixture(autouse=True)
def thawed() -> Iterator[None]:
    """Nothing else runs into it: all other tests of this process are looked at as before."""
    gc.disable()
    yield
    gc.unfreeze()
    gc.enable()


def is_looked_at(thing: object) -> bool:
    return any(each is thing for each in gc.get_objects())


def test_what_a_compilation_made_and_what_is_followed_with_is_frozen() -> None:
    status = AgentStatus()
    long_lived = LongLived(status)
    made, garbage = Thing(), weakref.ref(Thing())
    status.made["built"] = 1
    long_lived.notice()
    assert garbage() is None
    assert not is_looked_at(made)
    graph = Thing()
    long_lived.notice()
    assert not is_looked_at(graph)
    later = Thing()
    long_lived.notice()
    assert is_looked_at(later)


def test_cycles_in_what_was_frozen_are_found_after_the_next_compilation() -> None:
    status = AgentStatus()
    long_lived = LongLived(status)
    thing: Thing | None = Thing()
    left = weakref.ref(thing)
    status.made["built"] = 1
    long_lived.notice()
    thing = None
    gc.collect()
    assert left() is not None
    status.made["built"] = 2
    long_lived.notice()
    assert left() is None
