"""The generation of a ruleset, as the kernel keeps it: the comment of the first rule of `forward`.

It changes in the transaction that changes the meaning, so it tells exactly what is in force. The table's own
comment would be the obvious place, but no kernel changes the comment of a table that exists.
"""

from __future__ import annotations

import re
from dataclasses import replace

from policyd_compiler.nft.ast import ChainName, Table

_PLACE = ChainName("forward")
_STAMP = re.compile(r"generation ([0-9]{1,18})")


def stamp(table: Table, generation: int) -> Table:
    """The table with its generation written into it, over any other."""
    return _with_comment(table, f"generation {generation}")


def unstamp(table: Table) -> tuple[Table, int]:
    """The table without its generation, and the generation; 0 when it has none."""
    first = next((chain.rules[0] for chain in table.chains if chain.name == _PLACE and chain.rules), None)
    found = _STAMP.fullmatch(first.comment) if first is not None else None
    return (table, 0) if found is None else (_with_comment(table, ""), int(found[1]))


def _with_comment(table: Table, comment: str) -> Table:
    chains = tuple(
        replace(chain, rules=(replace(chain.rules[0], comment=comment), *chain.rules[1:]))
        if chain.name == _PLACE and chain.rules
        else chain
        for chain in table.chains
    )
    return replace(table, chains=chains)
