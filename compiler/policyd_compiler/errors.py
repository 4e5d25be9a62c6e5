"""What the compiler raises. Bad manifests never get this far: they are diagnostics."""

from __future__ import annotations


class CompilerBug(Exception):
    """An invariant of ours does not hold. Caught by `main`, and by the agent, which looks for culprits."""
