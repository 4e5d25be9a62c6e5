"""`python -m tests.golden`: write every expected.nft as the compiler prints it now, and no verdict."""

from __future__ import annotations

import sys

from tests.golden.golden import cases


def main() -> int:
    """Write what differs, and name it."""
    for case in cases():
        script = case.script()
        if not case.expected.exists() or case.expected.read_text() != script:
            case.expected.write_text(script)
            sys.stdout.write(f"{case.folder.name}: expected.nft written\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
