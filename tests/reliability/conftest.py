"""The proof that a run on a real kernel leaves nothing in this process."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.lab.leftovers import leftovers


@pytest.fixture
def nothing_left() -> Iterator[None]:
    """At the end this process has no namespace and no child that it did not have at the beginning."""
    before = leftovers()
    yield
    assert leftovers() - before == Counter()
