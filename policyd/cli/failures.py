"""What went wrong → sentences on stderr and an exit code. Imported only when something did."""

from __future__ import annotations

import os
import sys
import traceback
from argparse import Namespace

from policyd.cli import terminal
from policyd.cli.parsing import PROGRAM
from policyd.errors import BadInput, Exit, PolicydError

DEBUG = "POLICYD_DEBUG"
#: What questions and dry runs do without: `policyd[agent]` in pyproject.toml.
AGENT = frozenset({"aiohttp", "grpclib", "kubernetes_asyncio", "prometheus_client", "pydantic", "watchfiles"})

#: What a cluster is read with where there is no client of ours.
KUBECTL = "kubectl get ns,nodes,pods,netpol,svc,deploy,rs,sts,ds,job -A -o json"


def report(error: Exception, args: Namespace) -> int:
    """Say what went wrong and what to do; the exit code. With POLICYD_DEBUG set, also where."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    code, text = _explain(error)
    if code is Exit.BUG or os.environ.get(DEBUG):
        traceback.print_exception(error)
    if isinstance(error, BadInput):
        colored = terminal.uses_color(getattr(args, "color", "auto"), sys.stderr)
        terminal.print_diagnostics(error.diagnostics, colored=colored)
    else:
        terminal.print_info(text)
        if isinstance(error, ModuleNotFoundError) and getattr(args, "live", False):
            terminal.print_info(
                f"or take `-f -` for --live, and what kubectl reads: {KUBECTL} | {PROGRAM} ..."
            )
    return code


def _explain(error: Exception) -> tuple[Exit, str]:
    match error:
        case PolicydError():
            return error.exit_code, f"error: {error}"
        case MemoryError():
            return Exit.ENVIRONMENT, "error: there is not enough memory"
        case RuntimeError() if "start" in str(error) and "thread" in str(error):
            # How Python says it of a thread, its watchdog's ("unable to start") and others ("can't start").
            return Exit.ENVIRONMENT, f"error: there is not enough memory, or too many processes: {error}"
        case ModuleNotFoundError() if str(error.name).partition(".")[0] in AGENT:
            return Exit.ENVIRONMENT, (
                f"error: this needs {str(error.name).partition('.')[0]}, which comes with the agent's part: "
                "pip install 'policyd[agent]'"
            )
        case OSError():
            place = f"{error.filename}: " if error.filename else ""
            return Exit.ENVIRONMENT, f"error: {place}{error.strerror or error}"
        case _:
            what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
            return Exit.BUG, (
                f"this is a bug of policyd, not a mistake of yours: {what} "
                "(please report it, with the lines above, the command and `policyd --version`)"
            )
