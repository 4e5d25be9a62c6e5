"""Plain YAML scalars mean what they mean to kubectl."""

from __future__ import annotations

import pytest

from policyd.manifests.scalars import NOT_A_NUMBER, resolve_scalar

READ: list[tuple[str, object]] = [
    ("", None), ("~", None), ("null", None), ("Null", None), ("nULL", "nULL"), ("none", "none"),
    ("true", True), ("on", True), ("Y", True), ("no", False), ("OFF", False), ("tRUE", "tRUE"),
    ("yess", "yess"),
    ("0", 0), ("-1", -1), ("+1", 1), ("1_000", 1000), ("0x1F", 31), ("0b101", 5), ("0o17", 15), ("017", 15),
    ("-017", -15), ("08", 8.0), ("09.5", 9.5),
    ("18446744073709551615", 2**64 - 1), ("-9223372036854775808", -(2**63)),
    ("1.5", 1.5), (".5", 0.5), ("5.", 5.0), ("1e3", 1000.0), ("1e400", "1e400"), ("12e03", 12000.0),
    (".inf", NOT_A_NUMBER), ("-.INF", NOT_A_NUMBER), (".NaN", NOT_A_NUMBER), ("inf", "inf"), ("nan", "nan"),
    ("2026-01-31", "2026-01-31"), ("2026-01-31T00:00:00Z", "2026-01-31T00:00:00Z"), ("1:30", "1:30"),
    ("10.0.0.1", "10.0.0.1"), ("10.0.0.0/8", "10.0.0.0/8"), ("v1", "v1"), ("1.2.3", "1.2.3"),
    ("-", "-"), ("0x", "0x"),
    ("٣", "٣"), ("e5", "e5"), ("=", "="), ("<<", "<<"),
]  # fmt: skip


@pytest.mark.parametrize(("text", "value"), READ)
def test_a_scalar(text: str, value: object) -> None:
    resolved = resolve_scalar(text)
    assert (type(resolved), resolved) == (type(value), value)


@pytest.mark.parametrize("text", ["9" * 100, "9" * 100_000, "1." + "0" * 100_000, "0x" + "f" * 100_000])
def test_a_number_beyond_all_measure_is_read_at_once(text: str) -> None:
    """Python takes a second for a number of a million digits, and refuses to print one of 4301."""
    assert resolve_scalar(text) == text or isinstance(resolve_scalar(text), float)
