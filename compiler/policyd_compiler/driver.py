"""Snapshot → table: verify, run the passes, lower. Pure: equal inputs give equal bytes."""

from __future__ import annotations

from policyd_compiler.ir import Snapshot
from policyd_compiler.lower.lower import Lowered, lower
from policyd_compiler.options import Options
from policyd_compiler.passes.order import PASSES
from policyd_compiler.verify import verify


def compile_snapshot(snapshot: Snapshot, options: Options) -> Lowered:
    """The nft table for one node. Raises CompilerBug if the snapshot breaks an invariant."""
    verify(snapshot)
    for rewrite in PASSES:
        snapshot = rewrite(snapshot)
    return lower(snapshot, options)
