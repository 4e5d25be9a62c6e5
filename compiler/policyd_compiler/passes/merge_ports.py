"""Join rules that say the same of the same peers into one rule with all their ports."""

from __future__ import annotations

from dataclasses import replace
from itertools import groupby

from policyd_compiler.ir import Peers, Rule, Stage
from policyd_compiler.passes.rewrite import Pass
from policyd_compiler.ports import union_ports


def _stage(stage: Stage) -> Stage:
    merged: list[Rule] = []
    for action, run in groupby(stage.rules, key=lambda rule: rule.action):
        by_peers: dict[Peers, list[Rule]] = {}
        for rule in run:
            by_peers.setdefault(rule.peers, []).append(rule)
        for peers, rules in by_peers.items():
            if len(rules) == 1:
                merged.append(rules[0])
                continue
            origins = tuple(sorted({origin for rule in rules for origin in rule.origins}))
            merged.append(Rule(action, peers, union_ports(rule.ports for rule in rules), origins))
    return replace(stage, rules=tuple(merged))


MERGE_PORTS = Pass("merge_ports", _stage)
