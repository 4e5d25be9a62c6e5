"""Flags for the agent's settings, made from their model: one description of each setting serves all."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from policyd.cli import terminal
from policyd.config import Loaded, Settings, load_settings
from policyd.kube.syntax import printable


def add_setting_flags(parser: argparse.ArgumentParser, only: Iterable[str] = ()) -> None:
    """Add `--config`, and a flag for each setting, or for `only` these."""
    group = parser.add_argument_group("settings", "each also a key of the file, and a variable POLICYD_NAME")
    group.add_argument("--config", type=Path, metavar="FILE", help="a YAML file of settings (POLICYD_CONFIG)")
    wanted = tuple(only)
    for name, field in Settings.model_fields.items():
        if not wanted or name in wanted:
            group.add_argument(f"--{name.replace('_', '-')}", dest=name, **_flag(field))


def settings_of(args: argparse.Namespace) -> Loaded:
    """The settings by the flags of a command line, the environment and the file; warnings are printed.

    Raises BadInput.
    """
    flags = {name: getattr(args, name, None) for name in Settings.model_fields}
    loaded = load_settings(flags, file=args.config)
    for warning in loaded.warnings:
        terminal.say(printable(str(warning)))
    return loaded


def _flag(field: FieldInfo) -> dict[str, Any]:
    default = field.get_default()
    shown = ",".join(default) if isinstance(default, tuple) else str(default)
    # `%` has a meaning in argparse's texts.
    text = (field.description or "").replace("%", "%%") + (
        f" ({shown})" if default not in ("", None, ()) else ""
    )
    if field.annotation is bool:
        return {"action": argparse.BooleanOptionalAction, "default": None, "help": text}
    if get_origin(field.annotation) is Literal:
        return {"choices": get_args(field.annotation), "help": text}
    return {"metavar": "VALUE", "help": text}
