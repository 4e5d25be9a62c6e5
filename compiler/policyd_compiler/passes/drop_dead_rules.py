"""Remove rules that can match nothing: no peer, or no port (NP-035, NP-054, NP-075)."""

from __future__ import annotations

from dataclasses import replace

from policyd_compiler.ir import Stage
from policyd_compiler.passes.rewrite import Pass


def _stage(stage: Stage) -> Stage:
    alive = tuple(rule for rule in stage.rules if rule.peers and rule.ports)
    return stage if len(alive) == len(stage.rules) else replace(stage, rules=alive)


DROP_DEAD_RULES = Pass("drop_dead_rules", _stage)
