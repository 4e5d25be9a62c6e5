"""Flags for the agent's settings, made from their model: one description of each setting serves all."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from policyd.cli import terminal
from policyd.config import LoadedSettings, Settings, load_settings
from policyd.kube.syntax import printable

#: What stands in the place of a setting's value in the help, where it is not one of a few words.
METAVARS = {
    "node": "NAME",
    "manifests": "DIR",
    "kubeconfig": "FILE",
    "context": "NAME",
    "table": "NAME",
    "pod_interfaces": "NAMES",
    "other_engines": "NAMES",
    "service_ranges": "CIDRS",
    "cni_cache": "DIR",
    "kubelet_pods": "SOCKET",
    "cni_conf_dir": "DIR",
    "cni_bin_dir": "DIR",
    "cni_wait": "SECONDS",
    "state_dir": "DIR",
    "run_dir": "DIR",
    "stall_seconds": "SECONDS",
    "listen": "HOST:PORT",
    "verify_interval": "SECONDS",
    "policy_budget": "N",
    "namespace_budget": "N",
    "compile_seconds": "SECONDS",
}
#: The settings that an examination of a node depends on.
EXAMINED = (
    "node",
    "manifests",
    "kubeconfig",
    "context",
    "table",
    "pod_interfaces",
    "other_engines",
    "deny",
    "backend",
    "state_dir",
    "run_dir",
)


def add_setting_flags(parser: argparse.ArgumentParser, only: Iterable[str] = ()) -> None:
    """Add `--config`, and a flag for each setting, or for `only` these."""
    group = parser.add_argument_group("settings", "each also a key of the file, and a variable POLICYD_NAME")
    group.add_argument("--config", type=Path, metavar="FILE", help="a YAML file of settings (POLICYD_CONFIG)")
    wanted = tuple(only)
    for name, field in Settings.model_fields.items():
        if not wanted or name in wanted:
            group.add_argument(f"--{name.replace('_', '-')}", dest=name, **_flag(name, field))


def settings_of(args: argparse.Namespace) -> LoadedSettings:
    """The settings by the flags of a command line, the environment and the file; warnings are printed.

    Raises BadInput.
    """
    flags = {name: getattr(args, name, None) for name in Settings.model_fields}
    loaded = load_settings(flags, file=args.config)
    for warning in loaded.warnings:
        terminal.print_info(printable(str(warning)))
    return loaded


def _flag(name: str, field: FieldInfo) -> dict[str, Any]:
    default = field.get_default()
    shown = _shown(default)
    # `%` has a meaning in argparse's texts.
    text = (field.description or "").replace("%", "%%") + (
        f" ({shown})" if default not in ("", None, ()) else ""
    )
    if field.annotation is bool:
        return {"action": argparse.BooleanOptionalAction, "default": None, "help": text}
    if get_origin(field.annotation) is Literal:
        return {"choices": get_args(field.annotation), "help": text}
    return {"metavar": METAVARS.get(name, "VALUE"), "help": text}


def _shown(default: object) -> str:
    match default:
        case bool():
            return "yes" if default else "no"
        case tuple():
            return ",".join(default)
        case float():
            return f"{default:g}"
        case _:
            return str(default)
