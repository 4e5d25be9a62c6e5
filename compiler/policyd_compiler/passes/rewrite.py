"""What a pass is, and how one that looks at a stage at a time runs over a snapshot."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from policyd_compiler.ir import Isolation, Snapshot, Stage


@dataclass(frozen=True, slots=True)
class Pass:
    """A named, meaning-preserving rewrite of one stage. Isolations that endpoints share stay shared."""

    name: str
    stage: Callable[[Stage], Stage]

    def __call__(self, snapshot: Snapshot) -> Snapshot:
        done: dict[int, Isolation] = {}

        def rewrite(isolation: Isolation | None) -> Isolation | None:
            if isolation is None:
                return None
            new = done.get(id(isolation))
            if new is None:
                new = done[id(isolation)] = replace(
                    isolation, stages=tuple(self.stage(stage) for stage in isolation.stages)
                )
            return new

        return replace(
            snapshot,
            endpoints=tuple(
                replace(e, ingress=rewrite(e.ingress), egress=rewrite(e.egress)) for e in snapshot.endpoints
            ),
        )
