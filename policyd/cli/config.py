"""`policyd config show`: the settings that an agent would have, and where each is from."""

from __future__ import annotations

import argparse
import json

from policyd.agent_api import API_VERSION
from policyd.cli import terminal
from policyd.cli.parsing import Subparsers, add_command
from policyd.cli.setting_flags import add_setting_flags, settings_of

TEXT = """\
Print the settings that `policyd run` would have with the same flags, here: file, environment, flags."""
EXAMPLES = "policyd config show --origin\npolicyd config show --config /etc/policyd.yaml -o json"


def add_parser(subparsers: Subparsers) -> None:
    """Add the command's parser."""
    parser = add_command(subparsers, "config", TEXT, EXAMPLES, usage="[show] [OPTIONS]")
    parser.add_argument("what", nargs="?", choices=("show",), default="show", help="print them")
    parser.add_argument("--origin", action="store_true", help="say where each value is from")
    parser.add_argument("-o", "--output", choices=("yaml", "json"), default="yaml", help="form (%(default)s)")
    add_setting_flags(parser)


def main(args: argparse.Namespace) -> int:
    """Print the settings."""
    loaded = settings_of(args)
    values = loaded.settings.model_dump(mode="json")
    if args.output == "json":
        shown = {"apiVersion": API_VERSION, "kind": "Settings", "settings": values}
        if args.origin:
            shown["origins"] = {name: loaded.origins[name] for name in values}
        terminal.write(json.dumps(shown, indent=2) + "\n")
        return 0
    for name, value in values.items():
        # A JSON value is a YAML value.
        origin = f"  # {loaded.origins[name]}" if args.origin else ""
        terminal.write(f"{name}: {json.dumps(value)}{origin}\n")
    return 0
