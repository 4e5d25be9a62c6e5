"""Write what is made from the chart: `make manifests`."""

from __future__ import annotations

import sys

from policyd.errors import PolicydError
from tests.deploy.chart_readme import README, readme_text
from tests.deploy.rendering import ROOT, SCHEMA, render, schema_text


def main() -> int:
    """Write the files that are not as they should be, and name them."""
    try:
        SCHEMA.write_text(schema_text())
        for path, text in {README: readme_text(), **render()}.items():
            if not path.exists() or path.read_text() != text:
                path.write_text(text)
                sys.stderr.write(f"policyd: wrote {path.relative_to(ROOT)}\n")
    except PolicydError as error:
        sys.stderr.write(f"policyd: error: {error}\n")
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
