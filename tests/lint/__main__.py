"""`make lint-docs`: write what docs/lint.md says of the rules again."""

from __future__ import annotations

from policyd.lint.document import HEADING, document
from tests.cli.calls import ROOT

if __name__ == "__main__":
    page = ROOT / "docs" / "lint.md"
    page.write_text(page.read_text().partition(HEADING)[0] + document())
