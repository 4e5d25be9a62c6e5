"""What a loop on a fake kernel is told, and what its kernel holds."""

from __future__ import annotations

from policyd.applier.fake import FakeNft
from policyd.cluster.events import KINDS, Event, Synced, Upsert
from policyd.kube.manifests import load_manifest
from policyd.kube.objects import NetworkPolicy, Pod
from policyd_compiler.nft.json_parser import parse_listing
from policyd_compiler.nft.printer import print_table


def events(text: str) -> list[Event]:
    objects, diagnostics = load_manifest(text.encode(), "test.yaml")
    assert not diagnostics
    return [
        Upsert(f"{o.namespace}/{o.name}" if isinstance(o, Pod | NetworkPolicy) else o.name, o)
        for o in objects
    ]


ALL_SYNCED: list[Event] = [Synced(kind) for kind in KINDS]


def held(nft: FakeNft) -> str:
    """What the fake kernel holds, as a script; its listing never waits for anything."""
    listing = nft.list_table("policyd")
    try:
        listing.send(None)
    except StopIteration as done:
        table = parse_listing(done.value, "policyd") if done.value else None
        return print_table(table) if table else ""
    raise AssertionError("the listing waits")
