"""Settings. What is compiled is set by the compiler's own Options; the rest is here."""

from __future__ import annotations

from policyd_compiler.options import Options

__all__ = ["Options"]
