"""The passes, in the order in which they run."""

from __future__ import annotations

from policyd_compiler.passes.drop_dead_rules import DROP_DEAD_RULES
from policyd_compiler.passes.merge_peers import MERGE_PEERS
from policyd_compiler.passes.merge_ports import MERGE_PORTS
from policyd_compiler.passes.rewrite import Pass

PASSES: tuple[Pass, ...] = (DROP_DEAD_RULES, MERGE_PEERS, MERGE_PORTS)
