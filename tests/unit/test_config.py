"""A settings file that cannot be read, or says what cannot be, is told in a line; nothing else happens."""

from __future__ import annotations

from pathlib import Path

import pytest

from policyd.config import load_settings
from policyd.errors import BadInput

#: Six lines that mean a million words; with a few more they would mean more than memory holds.
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 6)
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("not YAML", "a: ["),
        ("not text", b"\xff"),
        ("no mapping", "7"),
        ("a long number", "node: " + "9" * 5000),
        ("a date that is none", "node: 2026-99-99"),
        ("no integer", "node: !!int x"),
        ("an empty integer", 'node: !!int ""'),
        ("no truth", "node: !!bool x"),
        ("no time", "node: !!timestamp x"),
        ("deep", "node: " + "[" * 5000),
        ("a list as a key", "? [a]\n: b"),
        ("no end", "verify_interval: .inf"),
        ("no address", "listen: nonsense"),
        ("no port", "listen: '127.0.0.1:'"),
        ("no such port", "listen: 127.0.0.1:65536"),
        ("no number", "stall_seconds: .nan"),
        ("a bomb", BOMB + "node: *a5\n"),
    ],
)
def test_what_is_wrong_is_told_in_a_line(tmp_path: Path, name: str, text: str | bytes) -> None:
    path = tmp_path / "settings.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BadInput) as caught:
        load_settings({}, {}, path)
    for diagnostic in caught.value.diagnostics:
        said = str(diagnostic)
        assert said.startswith(f"{path}: error: ") or "there is no setting" in said
        assert len(said) < 1000
