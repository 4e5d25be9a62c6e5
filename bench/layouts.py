"""The shape of other engines' rulesets, for `bench.datapath`: what a packet costs where rules stand in a row.

`walked`: a chain for the pod in which each policy is a rule with a set of its own. `jumps`: a rule for each
pod of the node that jumps to the pod's chain. Both are written from the shape that is documented, not taken
from what such an engine prints, and let the measurement's packets through as ours does. Pure.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal

Family = Literal[4, 6]
WORDS: dict[Family, tuple[str, str]] = {4: ("ip", "ipv4_addr"), 6: ("ip6", "ipv6_addr")}


def walked(family: Family, peers: Iterable[str], server: str) -> str:
    """One policy for each peer, which may send to port 9 of the server."""
    word, kind = WORDS[family]
    everyone = tuple(peers)
    sets = [f"set s{n} {{ type {kind}; elements = {{ {peer} }}; }}" for n, peer in enumerate(everyone)]
    rules = [f"{word} saddr @s{n} udp dport 9 accept" for n in range(len(everyone))]
    return _table(sets, {"pod": [*rules, "drop"]}, [f"{word} daddr {server} jump pod"])


def jumps(family: Family, client: str, pods: Iterable[str]) -> str:
    """A chain for each pod of the node, which lets the client in."""
    word, _ = WORDS[family]
    everyone = tuple(pods)
    chains = {f"pod{n}": [f"{word} saddr {client} udp dport 9 accept", "drop"] for n in range(len(everyone))}
    return _table([], chains, [f"{word} daddr {pod} jump pod{n}" for n, pod in enumerate(everyone)])


def _table(sets: list[str], chains: dict[str, list[str]], forward: list[str]) -> str:
    """With the same first rules as ours and connection tracking alone."""
    first = ["type filter hook forward priority -10; policy accept;", "ct state established accept"]
    lines = [f"chain {name} {{\n{chr(10).join(rules)}\n}}" for name, rules in chains.items()]
    return "\n".join(
        ["table inet policyd {", *sets, *lines, "chain forward {", *first, *forward, "}", "}", ""]
    )
