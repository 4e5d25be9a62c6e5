"""What a long run says in the end."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import pytest


def show(capsys: pytest.CaptureFixture[str], rows: Sequence[tuple[str, str]]) -> None:
    """Print a table past pytest, which keeps to itself what a test prints."""
    with capsys.disabled():
        sys.stdout.write("\n" + "".join(f"  {name:36}{text}\n" for name, text in rows))
