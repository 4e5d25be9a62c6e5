"""`policyd support-bundle`: an archive of what a maintainer needs to replay this node's state."""

from __future__ import annotations

import argparse
import re
import sys
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from policyd.cli import terminal
from policyd.cli.files import OWNER_ONLY, replace_file
from policyd.cli.parsing import Subparsers, add_command
from policyd.cli.setting_flags import EXAMINED, add_setting_flags, settings_of
from policyd.doctor.agent_client import settings_as_agent
from policyd.doctor.bundle import gather, pack, without_names
from policyd.errors import Exit, WrongUsage
from policyd.kube.syntax import printable

TEXT = """\
Write an archive with the objects that the agent knows, its ruleset and the kernel's, its state, metrics and
last log lines, and the examination of the node. With it somebody else can compile what this node enforces.
It holds no token and no Secret, but the names, labels and addresses of pods, namespaces and policies."""
EXAMPLES = """\
policyd support-bundle
policyd support-bundle --anonymise -o bundle.tar.gz
kubectl -n policyd exec POD -- policyd support-bundle -o - > bundle.tar.gz"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the command's parser."""
    parser = add_command(subparsers, "support-bundle", TEXT, EXAMPLES)
    parser.add_argument(
        "-o",
        "--output",
        default="",
        metavar="FILE",
        help="the archive, or - for standard output (policyd-NODE-TIME.tar.gz)",
    )
    parser.add_argument(
        "--anonymise",
        action="store_true",
        help="only objects under other names, and metrics; addresses stay, as they decide what is compiled",
    )
    add_setting_flags(parser, EXAMINED)


def main(args: argparse.Namespace) -> Coroutine[Any, Any, int]:
    """Gather, and write."""
    return _main(args)


async def _main(args: argparse.Namespace) -> int:
    if args.output == "-" and sys.stdout is not None and sys.stdout.isatty():
        raise WrongUsage("an archive is not for a terminal: send it to a file, or name one with -o")
    settings = await settings_as_agent(settings_of(args))
    bundle = await gather(settings)
    if args.anonymise:
        bundle = without_names(bundle)
    now = time.time()
    node = "" if args.anonymise else re.sub(r"[^\w.-]", "-", settings.node)
    folder = "-".join(filter(None, ("policyd", node, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime(now)))))
    packed = pack(bundle, folder, now)
    for text in bundle.missing:
        terminal.print_info(f"missing in the bundle: {printable(text)}")
    if args.output == "-":
        terminal.write_bytes(packed)
    else:
        path = Path(args.output or f"{folder}.tar.gz")
        replace_file(path, packed, OWNER_ONLY, "; -o names another place")
        terminal.print_info(f"wrote {printable(str(path))}; look into it before you give it away")
    return Exit.FINDING if bundle.missing else Exit.OK
