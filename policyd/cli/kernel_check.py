"""Ask the kernel whether it would take a ruleset, without applying it: `nft -c`, where possible in a network
namespace of its own, so that neither a root nor what is in force matters.
"""

from __future__ import annotations

import asyncio
import os
import re
from collections.abc import Mapping

from policyd.applier.backend import NftMissing, NftUnavailable, all_errors, says_forbidden, statement_at
from policyd.applier.program import NftProgram
from policyd.errors import Diagnostic, EnvironmentRefused

#: A ruleset may be large; nobody waits for anything else meanwhile.
_SECONDS = 600.0
_OBJECT = re.compile(r"(?:chain|set|map) (\S+): ")


def check(node: str, script: str, owners: Mapping[str, frozenset[str]]) -> tuple[Diagnostic, ...]:
    """What the kernel, or nft, says against the ruleset of a node; nothing if it would take it.

    `owners` are the policies that each chain, set and map serves. Raises EnvironmentRefused when there is
    nobody to ask.
    """
    errors = asyncio.run(_ask(script))
    if errors is None:
        return ()
    place = f"ruleset of {node}"
    found = tuple(
        Diagnostic(place, line, column, "error", f"{text}: {_statement(script, line, owners)}")
        for line, column, text in all_errors(errors)
    )
    return found or (Diagnostic(place, 0, 0, "error", f"refused: {errors.strip()}"),)


async def _ask(script: str) -> str | None:
    """What nft says; None if all is well."""
    reason = ""
    for enter in _places():
        try:
            nft = NftProgram(enter=enter, timeout=_SECONDS)
            status, _, errors = await nft.call(script, "--check", "--file", "-")
        except NftMissing:
            raise EnvironmentRefused("there is no nft program to check with: install nftables") from None
        except NftUnavailable as error:
            reason = reason or str(error)
            continue
        if status == 0:
            return None
        if not says_forbidden(errors):
            return errors
        reason = errors.strip().partition("\n")[0]
    raise EnvironmentRefused(
        f"the kernel cannot be asked ({reason}): be root, or allow unprivileged user namespaces"
    )


def _places() -> tuple[tuple[str, ...], ...]:
    """What starts nft in a network namespace of its own; nothing, to start it in ours."""
    if os.geteuid() == 0:
        return (("unshare", "--net", "--"), ())
    return (("unshare", "--user", "--map-root-user", "--net", "--"),)


def _statement(script: str, line: int, owners: Mapping[str, frozenset[str]]) -> str:
    """What stands in the line, after the object around it, and the policies that it serves."""
    said = statement_at(script, line)
    found = _OBJECT.match(said)
    serves = ", ".join(sorted(owners.get(found[1], ()))) if found else ""
    return f"{said} (for {serves})" if serves else said
