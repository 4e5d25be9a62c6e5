"""The proof notices planted faults of what compiles; `python -m tests.faults.proving` tries all of them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults import rulesets
from tests.faults.proving import compiling_faults, is_noticed

SAMPLED = (
    "an except also applies to the other blocks of its rule",
    "what a difference takes away stays open",
)


def test_without_a_fault_all_is_proved() -> None:
    assert list(rulesets.first_proofs(random.Random(2), 4)) == []


@pytest.mark.parametrize("name", SAMPLED)
def test_the_proof_notices(name: str, tmp_path: Path) -> None:
    [fault] = [fault for fault in compiling_faults() if fault.name == name]
    assert is_noticed(fault, tmp_path)
