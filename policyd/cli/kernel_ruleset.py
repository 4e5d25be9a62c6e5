"""The ruleset of this machine's kernel, for `verify --kernel`, and what the agent here has quarantined."""

from __future__ import annotations

from argparse import Namespace

from policyd.applier.choose import open_backend
from policyd.applier.listing import list_tables
from policyd.cli.rulesets import Found
from policyd.cli.setting_flags import settings_of
from policyd.doctor.agent_client import NoAnswer, ask_state
from policyd.errors import EnvironmentRefused


async def read_kernel(args: Namespace, name: str) -> tuple[Found, frozenset[str]]:
    """The tables of this name. Raises EnvironmentRefused where nft cannot list it."""
    nft = await open_backend("auto")
    try:
        held = await list_tables(nft, name)
    finally:
        await nft.close()
    if held.too_large:
        raise EnvironmentRefused(f"table inet {name} is too large to be listed")
    state = await ask_state(settings_of(args).settings.socket()) if args.live else NoAnswer("")
    closed = frozenset() if isinstance(state, NoAnswer) else frozenset(state.quarantined)
    return Found(held.table, held.foreign), closed
