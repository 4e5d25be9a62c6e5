"""A counter counts on while everything that counts in it is replaced; in a real kernel, with packets."""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from policyd.applier.apply import Applier
from policyd.applier.worker import NftWorker
from policyd.lab.namespace import Namespace
from policyd_compiler.nft.ast import (
    Chain,
    ChainName,
    Continue,
    Counter,
    CounterName,
    CounterRef,
    Hook,
    Jump,
    Return,
    Rule,
    Table,
)
from policyd_compiler.nft.expressions import Field, Match, numbers
from tests.applier.rulesets import NAME, content

pytestmark = pytest.mark.kernel

COUNTED = CounterName("asked")


def ruleset(chain: str, *others: str) -> Table:
    """Packets to UDP port 9 are counted, in a chain of this name."""
    to_nine = (Match(Field.UDP_DPORT, numbers(9)),)
    counting = Rule(Continue(), to_nine, statements=(CounterRef(COUNTED),))
    chains = (
        Chain(ChainName(chain), (counting, Rule(Return()))),
        Chain(ChainName("output"), (Rule(Jump(ChainName(chain))),), Hook("output", 10)),
    )
    names = sorted((COUNTED, *map(CounterName, others)))
    return Table(
        NAME, chains=tuple(sorted(chains, key=lambda c: c.name)), counters=tuple(map(Counter, names))
    )


def send(namespace: Namespace, count: int) -> None:
    """Send packets to this node itself."""
    text = (
        f"import socket\ns = socket.socket(2, 2)\nfor _ in range({count}): s.sendto(b'x', ('127.0.0.1', 9))"
    )
    assert namespace.run(("python3", "-c", text)).returncode == 0


def counted(namespace: Namespace) -> dict[str, int]:
    """What the kernel has counted, by name."""
    listing = json.loads(namespace.run(("nft", "-j", "list", "counters")).stdout)
    found = (item["counter"] for item in listing["nftables"] if "counter" in item)
    return {counter["name"]: counter["packets"] for counter in found}


async def test_a_counter_counts_on_through_each_swap() -> None:
    with closing(Namespace("applier")) as namespace:
        namespace.ip(("link set lo up",))
        worker = NftWorker(namespace.path)
        applier = Applier(worker, NAME)
        total = 0
        for number, wanted in enumerate((ruleset("one"), ruleset("two", "new"), ruleset("three")), start=1):
            applied = await applier.apply(wanted)
            assert applied.steps == (("replace",) if number == 1 else ("stage", "commit"))
            await applier.sweep()
            assert await applier.verify() == ()
            assert await content(worker) == wanted
            send(namespace, number)
            total += number
            assert counted(namespace) == {"asked": total} | ({"new": 0} if number == 2 else {})
        await worker.close()
