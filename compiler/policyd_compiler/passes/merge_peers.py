"""Join rules that say the same of the same ports into one rule with all their peers.

Order matters between actions only: within a run of rules with one action, every order means the same (L1).
"""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

from policyd_compiler.addr import union
from policyd_compiler.ir import ANYTHING, Peers, Rule, Stage
from policyd_compiler.passes.rewrite import Pass
from policyd_compiler.ports import PortSet


def union_peers(many: list[Peers]) -> Peers:
    """All peers of any of these. One that is anything swallows the rest."""
    if any(peers.anything for peers in many):
        return ANYTHING
    hosts = 0
    for peers in many:
        hosts |= peers.hosts
    return Peers(
        hosts=hosts, v4=union(r for p in many for r in p.v4), v6=union(r for p in many for r in p.v6)
    )


def _stage(stage: Stage) -> Stage:
    merged: list[Rule] = []
    for action, run in groupby(stage.rules, key=lambda rule: rule.action):
        by_ports: dict[PortSet, list[Rule]] = {}
        for rule in run:
            by_ports.setdefault(rule.ports, []).append(rule)
        for ports, rules in by_ports.items():
            if len(rules) == 1:
                merged.append(rules[0])
                continue
            origins = tuple(sorted({origin for rule in rules for origin in rule.origins}))
            merged.append(Rule(action, union_peers([rule.peers for rule in rules]), ports, origins))
    return replace(stage, rules=tuple(merged))


MERGE_PEERS = Pass("merge_peers", _stage)
