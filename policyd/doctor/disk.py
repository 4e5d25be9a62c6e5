"""The ruleset on disk, for the time after a reboot: what is known of it here."""

from __future__ import annotations

from pathlib import Path

from policyd.config import Settings
from policyd.saved_state import BadState, Saved, load_state, state_file


def read_disk(settings: Settings) -> int | str | None:
    """The generation of the ruleset on disk, or why it cannot be used; None where there is none."""
    if not settings.state_dir:
        return None
    if not settings.node:
        return f"the state in {settings.state_dir} is not read without the name of the node (--node)"
    path = state_file(Path(settings.state_dir), settings.table)
    try:
        saved: Saved | None = load_state(path, settings.node, settings.table)
    except BadState as error:
        return f"{path} cannot be used: {error}"
    return None if saved is None else saved.generation
