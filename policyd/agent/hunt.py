"""Looks for the policies without which a cluster can be brought into force, one attempt at a time.

The reconciler does other work between two attempts. The cluster is that of the moment when it failed, so
every answer is about the same question; what has changed since is compiled when it is over, or while the
candidates are closed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeAlias

from policyd.agent.attribution import Search, candidates
from policyd.agent.compiling import CompileFailed, Limits, compile_apart
from policyd.agent.pacing import Burst
from policyd.applier.apply import Applier, replacement
from policyd.applier.backend import NftBroken, NftRefused
from policyd.applier.choose import retry_idempotent
from policyd.cluster.state import ClusterState
from policyd.errors import EnvironmentRefused, PolicydError
from policyd.pipeline import Build

#: A hunt ends after so many attempts, or seconds, with what is known to be enough by then.
MOST_ATTEMPTS = 64
MOST_SECONDS = 120.0

#: Compiles a state with these policies closed.
Compile: TypeAlias = Callable[[ClusterState, frozenset[str]], Build]


@dataclass(frozen=True, slots=True)
class Failure:
    """What could not be brought into force, and why. `built` is None if it could not even be compiled."""

    state: ClusterState
    closed: frozenset[str]
    reason: str
    statement: str = ""
    built: Build | None = None


def may_be_a_policy(error: Exception, failures: int) -> bool:
    """Whether policies may be the cause of an error, after so many failures in a row."""
    match error:
        case CompileFailed() | NftRefused():
            return True
        case NftBroken():  # by chance, the first time
            return failures > 1
        case PolicydError() | OSError():
            return False
        case _:
            return True


class Hunt:
    """A hunt under way. `good`: the policies that are in force; `burst`: changes that wait for its end."""

    def __init__(
        self,
        failure: Failure,
        good: Mapping[str, object] | None,
        node: str,
        limits: Limits,
        burst: Burst,
        began: float,
    ) -> None:
        self.failure, self.burst, self.began = failure, burst, began
        self._limits = limits
        self._search = Search.over(_circles(failure, good, node))

    @property
    def over(self) -> bool:
        """Whether there is nothing more to try."""
        return self._search.asked is None

    @property
    def enough(self) -> frozenset[str] | None:
        """Policies without which the rest is known to be fine; None before any are known."""
        return self._search.enough

    @property
    def culprits(self) -> frozenset[str]:
        """The culprits, when it is over; none if closing policies does not help."""
        return self._search.culprits

    @property
    def tried(self) -> int:
        """How many attempts there were."""
        return self._search.tried

    async def attempt(self, compile_: Compile, applier: Applier) -> None:
        """Try what is to be tried next. Raises EnvironmentRefused or OSError if that cannot be done."""
        asked = self._search.asked or frozenset()
        state, closed = self.failure.state, self.failure.closed | asked
        try:
            scripts = await compile_apart(lambda: replacement(compile_(state, closed).table), self._limits)
            await retry_idempotent(lambda: applier.check(scripts))  # a worker may be killed by chance
        except (CompileFailed, NftRefused, NftBroken):
            self._search.answer(fine=False)
        except (EnvironmentRefused, OSError):
            raise
        except Exception:  # noqa: BLE001 as it may have been with the apply that failed
            self._search.answer(fine=False)
        else:
            self._search.answer(fine=True)

    def bound(self, now: float) -> None:
        """End it if it has lasted long enough, and something is known that helps."""
        lasts = self._search.tried >= MOST_ATTEMPTS or now - self.began >= MOST_SECONDS
        if not self.over and lasts and self.enough is not None:
            self._search.give_up()


def _circles(failure: Failure, good: Mapping[str, object] | None, node: str) -> tuple[tuple[str, ...], ...]:
    """The candidates, in turn: those that the refused statement serves, those that changed, those that
    may select pods here."""
    state = failure.state
    spaces = {pod.namespace for pod in state.pods.values() if pod.node == node}
    policies = state.every_policy
    elsewhere = {key for key, policy in state.policies.items() if policy.namespace not in spaces}
    here = [key for key in sorted(policies) if key not in elsewhere and key not in failure.closed]
    served = candidates(failure.statement, failure.built.owners) if failure.built is not None else ()
    changed = [key for key in here if policies[key] != good.get(key)] if good is not None else []
    named = [key for key in served if key in policies and key not in failure.closed]
    return (tuple(named), tuple(changed), tuple(here))
