"""An nft on a kernel that refuses something, as family bridge: the real one behind a script that does so."""

from __future__ import annotations

import shutil
from pathlib import Path

#: A line of a script that wants family bridge, as grep's extended regular expression.
BRIDGE = r"^(add |delete )?[a-z]+ bridge "
_SCRIPT = """\
#!/bin/sh
case "$*" in
*"--file -"*) ;;
*) exec {nft} "$@" ;;
esac
script=$(cat)
line=$(printf '%s\\n' "$script" | grep -nE '{refused}' | head -n 1)
if [ -n "$line" ]; then
	echo "/dev/stdin:${{line%%:*}}:1-9: Error: Could not process rule: Operation not supported" >&2
	exit 1
fi
printf '%s\\n' "$script" | exec {nft} "$@"
"""


def put_in_path(directory: Path, path: str, refused: str = BRIDGE) -> str:
    """Write the program into a new directory; the PATH on which it is found first.

    `refused`: what no line of a script may match, as grep's extended regular expression.
    """
    directory.mkdir()
    program = directory / "nft"
    nft = shutil.which("nft", path=f"{path}:/usr/sbin:/sbin")
    program.write_text(_SCRIPT.format(nft=nft, refused=refused))
    program.chmod(0o755)
    return f"{directory}:{path}"
