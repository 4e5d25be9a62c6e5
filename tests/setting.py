"""Numbers that whoever runs the tests may choose, by environment variables (CONTRIBUTING, docs)."""

from __future__ import annotations

import os

import pytest


def chosen_number(name: str, default: float) -> float:
    """Give the number that a variable holds; what is none is told in one sentence."""
    text = os.environ.get(name, "")
    try:
        number = float(text) if text else default
    except ValueError:
        number = 0.0
    if not 0 < number < 1e9:
        raise pytest.Collector.CollectError(f"{name}: a number above 0 is needed, not {text!r}")
    return number


def chosen_count(name: str, default: int) -> int:
    """Give a whole number likewise."""
    number = chosen_number(name, default)
    if number != int(number):
        raise pytest.Collector.CollectError(f"{name}: a whole number is needed, not {os.environ[name]!r}")
    return int(number)
