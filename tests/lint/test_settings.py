"""`.policyd.yaml`: what is in it counts, and what is wrong with it has a place."""

from __future__ import annotations

import pytest

from policyd.errors import BadInput
from policyd.lint.settings import NONE, Settings, read_settings
from policyd.manifests.single import MAX_LENGTH

GOOD = b"""\
lint:
  select: [NP1, NP204]
  extend: NP203, NP3
  ignore:
    - NP107
  exclude: ["tests/*"]
  world: complete
  fail-on: error
  baseline: true
"""


def test_all_that_can_be_said() -> None:
    assert read_settings(GOOD, "f") == Settings(
        ("NP1", "NP204"), ("NP203", "NP3"), ("NP107",), ("tests/*",), "complete", "error", baseline=True
    )


@pytest.mark.parametrize("text", [b"", b"# nothing\n", b"lint:\n", b"lint: {ignore: []}\n", b"---\n"])
def test_nothing_is_nothing(text: bytes) -> None:
    assert read_settings(text, "f") == NONE


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"lint: {slect: [NP1]}\n", 'f:1:8: error: lint.slect: unknown field; did you mean "select"?'),
        (b"lnit: {}\n", 'f:1:1: error: lnit: unknown field; did you mean "lint"?'),
        (
            b"lint:\n  ignore: [NP102, NP9]\n",
            'f:2:19: error: lint.ignore[1]: no rule is or begins with "NP9',
        ),
        (b"lint: {world: whole}\n", "f:1:15: error: lint.world: must be complete or partial, "),
        (b"lint: {fail-on: warning}\n", 'did you mean "warn"?'),
        (b"lint: {baseline: maybe}\n", "f:1:18: error: lint.baseline: must be true or false"),
        (b"lint: []\n", "f:1:7: error: lint: must be a mapping, not a list"),
        (b"lint: {a: [}\n", "f:1:12: error: not valid YAML"),
        (b"lint: {}\n---\nlint: {}\n", "f:3:1: error: settings are one document"),
        (b"\xff", "f: error: is not UTF-8 text"),
        (b"#" * (MAX_LENGTH + 1), "f: error: longer than 256 KiB"),
        (b"lint: {ignore: [1]}\n", "f:1:17: error: lint.ignore[0]: must be a string, not the number 1"),
    ],
)
def test_a_mistake_has_a_place(text: bytes, said: str) -> None:
    with pytest.raises(BadInput) as caught:
        read_settings(text, "f")
    assert said in str(caught.value)
