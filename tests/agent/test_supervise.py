"""A part that ends by an exception is started again, and says so; it does not end the agent."""

from __future__ import annotations

import asyncio

import pytest

from policyd.agent.reporting.conditions import Condition
from policyd.agent.supervise import FAILING_SECONDS, RESTART_SECONDS, Supervised
from tests.support.clock import TurnedClock


class Part:
    """Fails as often as it is made to, then works."""

    def __init__(self, *errors: BaseException) -> None:
        self._errors = list(errors)
        self.working = asyncio.Event()

    def conditions(self) -> tuple[Condition, ...]:
        return ()

    async def run(self) -> None:
        if self._errors:
            raise self._errors.pop(0)
        self.working.set()
        await asyncio.Event().wait()


async def test_a_part_that_fails_is_started_again_and_reported() -> None:
    turned = TurnedClock()
    part = Part(RuntimeError("unheard of"), OSError(24, "Too many open files"))
    supervised = Supervised(part, clock=turned.clock)
    task = asyncio.create_task(supervised.run())
    await turned.turn(RESTART_SECONDS)
    assert not part.working.is_set()
    turned.skip(RESTART_SECONDS)
    await part.working.wait()
    [condition] = supervised.conditions()
    assert (condition.name, condition.degraded) == ("part-failing", False)
    assert "Part of the agent failed and is started again: OSError: [Errno 24]" in condition.text
    turned.skip(FAILING_SECONDS)
    assert supervised.conditions() == ()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_an_agent_without_memory_ends_as_another_process_may_have_some() -> None:
    with pytest.raises(MemoryError):
        await Supervised(Part(MemoryError())).run()
