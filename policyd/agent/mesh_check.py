"""Looks whether pods of this node are in Istio's ambient mesh, where ports of policies mean something else.

A task of its own, with a thread of its own, and at a hundredth of a processor at most. It decides nothing.
With `istio_ambient: translate` there is nothing to look for: there ports mean what they say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from policyd.agent.clock import CLOCK, Clock
from policyd.agent.reporting.conditions import Condition
from policyd.agent.sparing import look_when_changed
from policyd.cluster.mesh_ports import How, OffPort, off_port
from policyd.cluster.state import ClusterState
from policyd.threads import Threads

#: Policies that are named of each kind; the rest is counted.
_NAMED = 4

_MEANS: dict[How, str] = {
    "passed": "what they deny by port passes",
    "open": "whoever may use port 15008 may use every port",
    "closed": "nobody of the mesh gets through, as port 15008 is not allowed",
}


class MeshCheck:
    """What was found last; `run` is its only task. `said` counts what was said of objects."""

    def __init__(
        self, node: str, said: Callable[[], int], state: Callable[[], ClusterState], clock: Clock = CLOCK
    ) -> None:
        self._node, self._said, self._state, self._clock = node, said, state, clock
        self._threads = Threads("mesh")
        self.found: tuple[OffPort, ...] = ()

    def conditions(self) -> tuple[Condition, ...]:
        """Which policies are not enforced as they are written. It was set so: nothing is degraded."""
        if not self.found:
            return ()
        text = (
            "pods of this node are in Istio's ambient mesh, where policies are about port 15008 alone "
            f"(istio_ambient: strict): {'; '.join(self._sentences())}"
        )
        return (Condition("mesh-ports", text, degraded=False),)

    def _sentences(self) -> Iterator[str]:
        for how, meaning in _MEANS.items():
            names = [f"{each.policy} ({each.direction})" for each in self.found if each.how == how]
            if names:
                more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
                yield f"{meaning}: {', '.join(names[:_NAMED])}{more}"

    async def run(self) -> None:
        """Look whenever something has changed, until cancelled."""
        await look_when_changed(self._said, self._look, self._clock)

    async def _look(self) -> None:
        self.found = await self._threads.run(off_port, self._state(), self._node)
