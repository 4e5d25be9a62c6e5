"""Every lab that a test made is gone when the tests are done."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

import pytest

from tests.lab.leftovers import leftovers


@pytest.fixture(scope="session", autouse=True)
def nothing_left() -> Iterator[None]:
    """At the end this process has no namespace and no child that it did not have at the beginning."""
    before = leftovers()
    yield
    assert leftovers() - before == Counter()
