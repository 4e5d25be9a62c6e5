"""What may become of a packet on its way while a transaction comes into force."""

from __future__ import annotations

from policyd_compiler.sim import Outcome, Packet, Simulator


def outcomes(before: Simulator, after: Simulator, packet: Packet) -> frozenset[Outcome]:
    """All verdicts on a packet that walks the rules of `before`, wherever the transaction meets it."""
    found: set[Outcome] = set()
    switch = 0
    while True:
        trace = before.evaluate(packet, after, switch)
        found.add(trace.verdict)
        if switch >= trace.lookups:
            return frozenset(found)
        switch += 1


def ends(before: Simulator, after: Simulator, packet: Packet) -> frozenset[Outcome]:
    """The verdicts of both tables, each as a whole."""
    return frozenset(one.evaluate(packet).verdict for one in (before, after))
