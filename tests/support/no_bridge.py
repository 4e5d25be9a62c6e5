"""An nft on a kernel without family bridge: the real one, behind a script that refuses what that does."""

from __future__ import annotations

import shutil
from pathlib import Path

_SCRIPT = """\
#!/bin/sh
case "$*" in
*"--file -"*) ;;
*) exec {nft} "$@" ;;
esac
script=$(cat)
line=$(printf '%s\\n' "$script" | grep -nE '^(add |delete )?[a-z]+ bridge ' | head -n 1)
if [ -n "$line" ]; then
	echo "/dev/stdin:${{line%%:*}}:1-9: Error: Could not process rule: Operation not supported" >&2
	exit 1
fi
printf '%s\\n' "$script" | exec {nft} "$@"
"""


def put_in_path(directory: Path, path: str) -> str:
    """Write the program into a new directory; the PATH on which it is found first."""
    directory.mkdir()
    program = directory / "nft"
    program.write_text(_SCRIPT.format(nft=shutil.which("nft", path=f"{path}:/usr/sbin:/sbin")))
    program.chmod(0o755)
    return f"{directory}:{path}"
