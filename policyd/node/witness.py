"""Counts, where eBPF programs may be first to meet packets of pods, what reaches netfilter's first hook.

A table of its own next to policyd's: one chain that counts by interface and judges nothing. It is there only
while such programs are, as it costs each packet a look-up, and a table's generation says nothing of it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from policyd.applier.backend import Nft, delete_tables
from policyd.errors import EnvironmentRefused

log = logging.getLogger(__name__)


def witness_name(table: str) -> str:
    """The witness's table next to that of a ruleset."""
    return f"{table}-witness"


class Witness:
    """The witness of one table."""

    def __init__(self, nft: Nft, table: str) -> None:
        self._nft, self._name = nft, witness_name(table)
        self._there = False

    async def begin(self) -> bool:
        """Make the table if it is not there. True if it counts from now on. Raises EnvironmentRefused."""
        if self._there:
            return False
        await self._nft.run(script(self._name))
        self._there = True
        return True

    async def read(self) -> Mapping[str, int] | None:
        """How many packets came by each interface since it counts; None if it does not.

        Raises EnvironmentRefused.
        """
        text = await self._nft.list_table(self._name) if self._there else None
        if text is None:  # somebody removed it
            self._there = False
            return None
        return read_counts(text)

    async def end(self) -> None:
        """Remove it."""
        if self._there:
            self._there = False
            try:
                await delete_tables(self._nft, self._name)
            except EnvironmentRefused as error:
                fields = {"event": "witness.left", "reason": str(error)}
                log.warning("the table that counts packets could not be removed", extra=fields)


def script(name: str) -> str:
    """The table, in the place of any that was there. Its hook comes before all others (raw is -300).

    The key by `typeof`, as everywhere: nft 1.1.3 notes with `type` what nft 1.0.6 dies of when it lists any
    table, and so kube-proxy would.
    """
    return (
        f"add table inet {name}\ndelete table inet {name}\nadd table inet {name}\n"
        f"table inet {name} {{\n"
        "\tset seen {\n\t\ttypeof iifname\n\t\tsize 65535\n\t\tflags dynamic\n\t\tcounter\n\t}\n"
        "\tchain prerouting {\n\t\ttype filter hook prerouting priority -450; policy accept;\n"
        "\t\tupdate @seen { iifname }\n\t}\n}\n"
    )


def read_counts(text: str) -> Mapping[str, int]:
    """Packets by interface, out of a listing; what is not understood is not there."""
    found: dict[str, int] = {}
    try:
        items: Any = json.loads(text)["nftables"]
        elements = [each for item in items for each in item.get("set", {}).get("elem", ())]
        for element in elements:
            match element:
                case {"elem": {"val": str(name), "counter": {"packets": int(packets)}}}:
                    found[name] = packets
                case _:
                    pass
    except (ValueError, TypeError, LookupError, AttributeError):
        return {}
    return found
