"""`policyd lint`: what is wrong with policies that an API server takes without a word."""

from __future__ import annotations

import sys
from argparse import ArgumentTypeError, Namespace
from dataclasses import dataclass, replace
from typing import Any

from policyd.cli import terminal
from policyd.cli.flags import add_color_flag, add_namespace_flag
from policyd.cli.lint_reading import fix_files, load_settings, read_files, read_others
from policyd.cli.parsing import Subparsers, add_command
from policyd.cli.revisions import read_bundle, read_revision
from policyd.errors import BadInput, Exit, WrongUsage
from policyd.kube.reading import ReadingOptions
from policyd.kube.registry import ASKED
from policyd.lint.choice import Choice, unknown
from policyd.lint.explain import explain
from policyd.lint.finding import LEVELS, Report
from policyd.lint.gather import Gathered, gather, left_over, of_cluster
from policyd.lint.judge import judge
from policyd.lint.render import PRINTERS, print_sarif, print_text, summary
from policyd.lint.settings import NEVER, Settings, level_of
from policyd.lint.suppress import ignored_lines, unknown_rules
from policyd.lint.table import BY_ID
from policyd.version import VERSION

FORMATS = ("text", *PRINTERS, "sarif")
DEFAULT_FAIL_ON = "warn"
USAGE = "[PATH ...] [OPTIONS]"
TEXT = """\
Find what is wrong with NetworkPolicies that an API server takes without a word: labels, namespaces and
port names that nothing has, rules without effect, pods that cannot resolve names, rules that let
everybody in. A PATH is a file, a directory with its folders, or - for standard input; without one it is
the directory where you are."""
EXAMPLES = """\
policyd lint manifests/
policyd lint --explain NP102
policyd lint . -o github --fail-on error
helm template . | policyd lint -"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of the command."""
    parser = add_command(subparsers, "lint", TEXT, EXAMPLES, usage=USAGE)
    reading = parser.add_argument_group("what is read")
    reading.add_argument("paths", nargs="*", metavar="PATH", help="files, directories, or - (.)")
    reading.add_argument(
        "-f", "--filename", action="append", default=[], metavar="PATH", help="the same; can be repeated"
    )
    add_namespace_flag(reading)
    reading.add_argument("--live", action="store_true", help="read the cluster as it is, changing nothing")
    reading.add_argument("--kubeconfig", metavar="FILE", help="for --live, as --context: as for kubectl")
    reading.add_argument("--context", metavar="NAME", help="for --live: a context of the kubeconfig")
    reading.add_argument(
        "--git", metavar="REV[:PATH]", help="read a revision of the repository here, no file"
    )
    reading.add_argument("--bundle", metavar="FILE", help="read what `policyd support-bundle` wrote")
    reading.add_argument(
        "--world",
        choices=("complete", "partial"),
        help="whether all pods and namespaces of the cluster are given (as far as can be told)",
    )
    reading.add_argument("--config", metavar="FILE", help="settings, in the place of .policyd.yaml")
    reading.add_argument(
        "--show-files", action="store_true", help="list what is read and what is skipped, and end"
    )
    rules = parser.add_argument_group("which rules")
    for flag, text in (
        ("--select", "these rules only: ids, or beginnings such as NP1, with commas"),
        ("--extend", "these rules, too"),
        ("--ignore", "not these rules; what they find is counted"),
    ):
        rules.add_argument(flag, action="append", default=[], type=_rules, metavar="RULES", help=text)
    rules.add_argument(
        "--baseline", action="store_true", help="also find pods that no policy isolates (NP203)"
    )
    rules.add_argument("--explain", type=_rules, metavar="RULE", help="print the page of a rule, and end")
    _add_output_flags(parser.add_argument_group("what comes out"))


def _add_output_flags(group: Any) -> None:
    group.add_argument("-o", "--output", choices=FORMATS, default="text", help="(%(default)s)")
    group.add_argument(
        "--fail-on",
        choices=(*LEVELS, NEVER),
        help=f"exit with 1 if anything as serious was found ({DEFAULT_FAIL_ON})",
    )
    group.add_argument("--exit-zero", action="store_true", help="exit with 0 whatever was found")
    group.add_argument("--fix", action="store_true", help="make the edits that are sure, in the files")
    add_color_flag(group)


def _rules(text: str) -> tuple[str, ...]:
    names = tuple(text.replace(",", " ").split())
    if not names or unknown(names):
        bad = ", ".join(unknown(names)) or text
        raise ArgumentTypeError(f"no rule is or begins with {bad!r}; there are {', '.join(BY_ID)}")
    return names


@dataclass(frozen=True, slots=True)
class _Run:
    """What one run reads and asks, by flags and settings."""

    paths: tuple[str, ...]
    namespace: str
    world: str | None
    choice: Choice
    fail_on: str


def main(args: Namespace) -> int:
    """Run the command."""
    if args.explain:
        terminal.write(explain(args.explain))
        return Exit.OK
    settings = load_settings(args.config)
    run = _run(args, settings)
    gathered = _live(args) if args.live else _gather(args, run, settings)
    if args.show_files:
        terminal.write("".join(f"read {name}\n" for name in gathered.read))
        terminal.write("".join(f"skipped {name}\n" for name in gathered.skipped))
        return Exit.OK
    report = _judge(gathered, run)
    if args.fix:
        made, left = fix_files(report, gathered.texts)
        if made or left:
            more = f"; {left} could not be made without changing more" if left else ""
            terminal.print_info(f"{made} {'edit' if made == 1 else 'edits'} made{more}")
        gathered = _gather(args, run, settings)
        report = _judge(gathered, run)
    diagnostics = left_over(gathered.diagnostics, report)
    if any(each.severity == "error" for each in diagnostics):
        raise BadInput(tuple(sorted(diagnostics)))
    terminal.print_diagnostics(sorted(diagnostics), colored=terminal.uses_color(args.color, sys.stderr))
    _print(args, report)
    _say(report, gathered)
    failed = report.fails(level_of(run.fail_on)) and not args.exit_zero
    return Exit.FINDING if failed else Exit.OK


def _run(args: Namespace, settings: Settings) -> _Run:
    paths = (*args.paths, *args.filename) or (".",)
    others = [bool(args.paths or args.filename), args.live, args.git is not None, args.bundle is not None]
    if sum(others) > 1:
        raise WrongUsage("one of PATH, --live, --git and --bundle says what is read, not several")
    if args.fix and any(others[1:]):
        raise WrongUsage("--fix edits files, and these are none: name PATHs")
    if args.live and args.show_files:
        raise WrongUsage("--live reads the cluster, and no file: it takes no --show-files")
    if not args.live and (args.kubeconfig or args.context):
        raise WrongUsage("--kubeconfig and --context are for --live")
    if paths.count("-") > 1:
        raise WrongUsage("standard input can be read once: give - once")
    if args.fix and "-" in paths:
        raise WrongUsage("--fix writes files, and standard input is none")
    select = tuple(name for names in args.select for name in names) or settings.select
    extend = (*settings.extend, *(name for names in args.extend for name in names))
    if args.baseline or settings.baseline:
        extend = (*extend, "NP203")
    ignore = (*settings.ignore, *(name for names in args.ignore for name in names))
    return _Run(
        paths,
        args.namespace,
        args.world or ("complete" if args.live else settings.world),
        Choice(select, extend, ignore),
        args.fail_on or settings.fail_on or DEFAULT_FAIL_ON,
    )


def _gather(args: Namespace, run: _Run, settings: Settings) -> Gathered:
    if args.git is not None:
        found = read_others(read_revision(args.git))
    elif args.bundle is not None:
        found = read_others(read_bundle(args.bundle))
    else:
        found = read_files(run.paths, settings.exclude)
    return gather(found, ReadingOptions(run.namespace))


def _live(args: Namespace) -> Gathered:
    # Here, as the offline part knows nothing of a Kubernetes client.
    from policyd.cli.live import load_live  # noqa: PLC0415

    access = Namespace(kubeconfig=args.kubeconfig, context=args.context, config=None, attachments="")
    loaded = load_live(access, ASKED)
    return replace(of_cluster(loaded.state.objects()), diagnostics=list(loaded.warnings))


def _judge(gathered: Gathered, run: _Run) -> Report:
    return judge(
        gathered.subjects, gathered.seen(run.world), gathered.texts, run.choice, len(gathered.skipped)
    )


def _print(args: Namespace, report: Report) -> None:
    if args.output == "text":
        terminal.write(print_text(report, colored=terminal.uses_color(args.color, sys.stdout)))
    elif args.output == "sarif":
        terminal.write(print_sarif(report, VERSION))
    else:
        terminal.write(PRINTERS[args.output](report))


def _say(report: Report, gathered: Gathered) -> None:
    """The last lines, for people."""
    for file, text in sorted(gathered.texts.items()):
        for line, name in unknown_rules(ignored_lines(text), BY_ID):
            terminal.print_info(f"{file}:{line}: there is no rule {name} to ignore")
    if report.partial:
        more = f", and {len(report.partial) - 1} more" if len(report.partial) > 1 else ""
        terminal.print_info(
            f"the world is partial ({report.partial[0]}{more}): what pods that were not seen may change "
            "is a note (--world complete if there are no others)"
        )
    hint = f"; `policyd lint --explain {report.findings[0].rule}`" if report.findings else ""
    terminal.print_info(f"{summary(report)}{hint}")
