"""`policyd run`: the agent."""

from __future__ import annotations

import argparse
import os
import resource
from collections.abc import Coroutine
from typing import Any

from policyd.agent.daemon import run_agent
from policyd.cli.parsing import Subparsers, add_command
from policyd.cli.setting_flags import add_setting_flags, settings_of
from policyd.errors import BadInput, Diagnostic, Exit, WrongUsage
from policyd.obs.log import set_up
from policyd.version import VERSION

TEXT = """\
Enforce NetworkPolicies and ClusterNetworkPolicies on this node, until SIGTERM. The ruleset stays in force
afterwards; `policyd cleanup` removes it. With --manifests the objects come from a directory, whose edits are
followed."""
EXAMPLES = "policyd run --manifests /etc/policyd/manifests --node worker-1"


def add_parser(subparsers: Subparsers) -> None:
    """Add the command's parser."""
    add_setting_flags(add_command(subparsers, "run", TEXT, EXAMPLES))


def main(args: argparse.Namespace) -> Coroutine[Any, Any, int]:
    """Run until stopped."""
    return _main(args)


async def _main(args: argparse.Namespace) -> int:
    loaded = settings_of(args)
    settings = loaded.settings
    if not settings.node:
        raise WrongUsage(f"--node is needed: the name of this node, perhaps {os.uname().nodename}")
    if settings.manifests is not None and not settings.manifests.is_dir():
        text = f"manifests: {settings.manifests} is not a directory"
        raise BadInput((Diagnostic(loaded.place("manifests"), 0, 0, "error", text),))
    set_up(settings.log_level, settings.log_format)
    _raise_limits()
    await run_agent(settings, VERSION)
    return Exit.OK


def _raise_limits() -> None:
    """Let as many files be open as may be: newer runtimes start with 1024, which others can use up."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
