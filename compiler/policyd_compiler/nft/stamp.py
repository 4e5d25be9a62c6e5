"""The generation of a ruleset, as the kernel keeps it: the comment of the first rule at the hook `forward`.

It changes in the transaction that changes the meaning, so it says exactly what is in force. The table's own
comment would be the obvious place, but no kernel changes the comment of a table that exists.
"""

from __future__ import annotations

import re
from dataclasses import replace

from policyd_compiler.nft.ast import Chain, Table

_STAMP = re.compile(r"generation ([0-9]{1,18})(?:: (.*))?")


def stamp(table: Table, generation: int) -> Table:
    """The table with its generation written into it, over any other, before what the rule says of itself."""
    note = _note(_comment(table))
    return _with_comment(table, f"generation {generation}: {note}" if note else f"generation {generation}")


def unstamp(table: Table) -> tuple[Table, int]:
    """The table without its generation, and the generation; 0 when it has none."""
    comment = _comment(table)
    found = _STAMP.fullmatch(comment)
    return (table, 0) if found is None else (_with_comment(table, _note(comment)), int(found[1]))


def _note(comment: str) -> str:
    found = _STAMP.fullmatch(comment)
    return comment if found is None else found[2] or ""


def _has_stamp(chain: Chain) -> bool:
    return chain.is_at("forward") and bool(chain.rules)


def _comment(table: Table) -> str:
    return next((c.rules[0].comment for c in table.chains if _has_stamp(c)), "")


def _with_comment(table: Table, comment: str) -> Table:
    chains = tuple(
        replace(chain, rules=(replace(chain.rules[0], comment=comment), *chain.rules[1:]))
        if _has_stamp(chain)
        else chain
        for chain in table.chains
    )
    return replace(table, chains=chains)
