"""Ask the kernel whether it would take a ruleset, without applying it: `nft -c`, where possible in a network
namespace of its own, so that neither a root nor what is in force matters.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Mapping

from policyd.errors import Diagnostic, EnvironmentRefused

#: nft lives where an ordinary user's PATH does not always lead.
_PATH = os.pathsep.join((os.environ.get("PATH", os.defpath), "/usr/sbin", "/sbin"))
#: How nft complains of a line, such as `/dev/stdin:6:12-16: Error: No such file or directory`.
_COMPLAINT = re.compile(r"^[^:\n]+:(\d+):(\d+)-\d+: Error: (.*)$", re.MULTILINE)
_OBJECT = re.compile(r"\t(chain|set|map) (\S+) \{")


def check(node: str, script: str, owners: Mapping[str, frozenset[str]]) -> tuple[Diagnostic, ...]:
    """What the kernel, or nft, says against the ruleset of a node; nothing if it would take it.

    `owners` are the policies that each chain, set and map serves. Raises EnvironmentRefused when there is
    nobody to ask.
    """
    complaint = _ask(script)
    if complaint is None:
        return ()
    lines = script.splitlines()
    found = tuple(
        Diagnostic(
            f"ruleset of {node}",
            int(line),
            int(column),
            "error",
            f"{text}: {_blame(lines, int(line), owners)}",
        )
        for line, column, text in _COMPLAINT.findall(complaint)
    )
    return found or (Diagnostic(f"ruleset of {node}", 0, 0, "error", f"refused: {complaint.strip()}"),)


def _ask(script: str) -> str | None:
    """What nft says; None if all is well."""
    nft = shutil.which("nft", path=_PATH)
    if nft is None:
        raise EnvironmentRefused("there is no nft program to check with: install nftables")
    said = ""
    for command in _commands(nft):
        try:
            result = subprocess.run(
                command,
                input=script,
                capture_output=True,
                encoding="utf-8",  # whatever the locale: names of files stand in comments
                errors="replace",
                check=False,
            )
        except FileNotFoundError:  # no unshare
            continue
        if result.returncode == 0:
            return None
        said = result.stderr
        if not said.startswith("unshare:") and "Operation not permitted" not in said:
            return said
    reason = said.strip().splitlines()[0] if said.strip() else "there is no unshare program"
    raise EnvironmentRefused(
        f"the kernel cannot be asked ({reason}): be root, or allow unprivileged user namespaces"
    )


def _commands(nft: str) -> tuple[list[str], ...]:
    ask = [nft, "-c", "-f", "-"]
    if os.geteuid() == 0:
        return (["unshare", "--net", *ask], ask)
    return (["unshare", "--user", "--map-root-user", "--net", *ask],)


def _blame(lines: list[str], number: int, owners: Mapping[str, frozenset[str]]) -> str:
    """The line, the object around it, and the policies it serves."""
    line = lines[number - 1].strip() if 0 < number <= len(lines) else ""
    around = (match for text in lines[number - 1 :: -1] if (match := _OBJECT.match(text)))
    found = next(around, None)
    if found is None:
        return line
    serves = ", ".join(sorted(owners.get(found[2], ())))
    return f"{line} (in {found[1]} {found[2]}{', for ' + serves if serves else ''})"
