"""The proof notices planted faults of what compiles; `python -m tests.faults.proving` tries all of them."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests.faults import rulesets
from tests.faults.catalogue import FAULTS
from tests.faults.proving import BESIDE, ROOT, compiling_faults, outcome

SAMPLED = (
    "an except also applies to the other blocks of its rule",
    "what a difference takes away stays open",
)


def test_without_a_fault_all_is_proved() -> None:
    assert list(rulesets.first_proofs(random.Random(2), 4)) == []


@pytest.mark.parametrize("name", SAMPLED)
def test_the_proof_notices(name: str, tmp_path: Path) -> None:
    [fault] = [fault for fault in compiling_faults() if fault.name == name]
    assert outcome(fault, tmp_path) == "noticed"


def test_a_ruleset_that_the_compiler_does_not_let_out_is_refused(tmp_path: Path) -> None:
    [fault] = compiling_faults(["the baseline is asked before NetworkPolicy"])
    assert outcome(fault, tmp_path) == "refused"


def test_every_fault_that_is_not_of_meaning_is_there_and_written_down() -> None:
    """And no other is left out: `main` says so of each that is not noticed."""
    assert BESIDE.keys() <= {fault.name for fault in FAULTS if fault in compiling_faults()}
    page = (ROOT / "policyd/proof/README.md").read_text()
    rows = {row for row in page.splitlines() if row.startswith("| ")}
    assert {f"| {name} | {why} |" for name, why in BESIDE.items()} <= rows
