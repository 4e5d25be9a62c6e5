"""What a loop on a fake kernel is told, and what its kernel holds."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

from policyd.agent.builder import Target
from policyd.agent.pacing import Pacing
from policyd.agent.reconciler import LoopTiming, Reconciler
from policyd.agent.reporting.conditions import Condition, of_reconciler
from policyd.applier.apply import Applier
from policyd.cluster.events import Event, Synced, Upsert
from policyd.kube.registry import KINDS
from policyd.manifests.load import load_manifest
from policyd.object_store import ObjectStore
from policyd_compiler.nft.json_parser import parse_listing
from policyd_compiler.nft.printer import print_table
from tests.fakes.fake_nft import FakeNft
from tests.support.elements import in_place_in


def events(text: str) -> list[Event]:
    objects, diagnostics = load_manifest(text.encode(), "test.yaml")
    assert not diagnostics
    return [Upsert(KINDS.key(item), item) for item in objects]


ALL_SYNCED: list[Event] = [Synced(kind) for kind in KINDS.names]


def held(nft: FakeNft) -> str:
    """What the fake kernel holds, as a script; its listing never waits for anything."""
    listing = nft.list_table("policyd")
    try:
        listing.send(None)
    except StopIteration as done:
        table = parse_listing(done.value, "policyd") if done.value else None
        return print_table(table) if table else ""
    raise AssertionError("the listing waits")


TIMING = LoopTiming(Pacing(0.0, 0.01, 0.0), verify_every=600.0, sweep_after=0.01, retry_least=0.01)


class Agent:
    """A reconciler at work, its kernel and what it has been told."""

    def __init__(self, target: Target, kernel: FakeNft, timing: LoopTiming = TIMING) -> None:
        self.wake = asyncio.Event()
        self.task: asyncio.Task[None] | None = None
        self.kernel = kernel
        self.store = ObjectStore("n1", self.wake)
        self.monitor = SimpleNamespace(tampered=False)
        self.applier = Applier(kernel, "policyd", elements=in_place_in(kernel))
        self.reconciler = Reconciler(self.store, self.applier, self.monitor, target, timing)
        self.status = self.reconciler.status

    @property
    def ended(self) -> bool:
        """Whether the loop has ended by itself, which it never should."""
        return self.task is not None and self.task.done()

    def say(self, text: str) -> None:
        self.store.apply(events(text))

    def tamper(self) -> None:
        """Say that somebody else may have written into the table."""
        self.monitor.tampered = True
        self.wake.set()

    def conditions(self, now: float = 0.0) -> dict[str, Condition]:
        return {c.name: c for c in of_reconciler(self.status, (), now)}
