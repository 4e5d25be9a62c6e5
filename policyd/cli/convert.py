"""`policyd convert`: the administrator's policies of v1alpha1 as ClusterNetworkPolicies."""

from __future__ import annotations

import json
import sys
from argparse import Namespace
from collections.abc import Iterable, Iterator
from typing import Any

import yaml

from policyd.cli import terminal
from policyd.cli.flags import add_color_flag
from policyd.cli.inputs import Text, read_inputs
from policyd.cli.parsing import Subparsers, add_command
from policyd.errors import BadInput, Diagnostic, WrongUsage
from policyd.kube.convert import LAST_PRIORITY, Converted, convert, is_old, manifests
from policyd.kube.decode import decode_manifest
from policyd.kube.kind import Manifest
from policyd.kube.reading import Mistake, Path, Reading, ReadingOptions
from policyd.kube.syntax import printable
from policyd.manifests.load import Written, load_manifest, written_objects

USAGE = "-f PATH [OPTIONS]"
TEXT = """\
Turn AdminNetworkPolicies and BaselineAdminNetworkPolicies (policy.networking.k8s.io/v1alpha1) into
ClusterNetworkPolicies (v1beta1), which mean the same. They go to standard output; what else is in the files
does not. Lists longer than 25 entries become several rules, more than 25 rules several policies with
priorities of their own. What cannot be said any more is an error with its place."""
EXAMPLES = """\
policyd convert -f policies/ > cluster-policies.yaml
kubectl get adminnetworkpolicies,baselineadminnetworkpolicies -o yaml | policyd convert -f -"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of the command."""
    parser = add_command(subparsers, "convert", TEXT, EXAMPLES, usage=USAGE)
    parser.add_argument(
        "-f",
        "--filename",
        action="append",
        metavar="PATH",
        help="a file, a directory, or - for standard input; can be repeated",
    )
    parser.add_argument(
        "-R", "--recursive", action="store_true", help="look into the folders of directories, too"
    )
    parser.add_argument(
        "--baseline-priority",
        type=int,
        default=10,
        metavar="N",
        help="the priority of a BaselineAdminNetworkPolicy, which had none (%(default)s)",
    )
    parser.add_argument("-o", "--output", choices=("yaml", "json"), default="yaml", help="form (%(default)s)")
    add_color_flag(parser)


def main(args: Namespace) -> int:
    """Print what the policies become. Raises BadInput, WrongUsage."""
    if not args.filename:
        raise WrongUsage("nothing to read: name files or directories with -f (- is standard input)")
    if not 0 <= args.baseline_priority <= LAST_PRIORITY:
        raise WrongUsage(f"--baseline-priority must be from 0 to {LAST_PRIORITY}")
    diagnostics: list[Diagnostic] = []
    found = [
        each
        for argument in args.filename
        for item in read_inputs(argument, recursive=args.recursive)
        for each in _read(item, args.baseline_priority, diagnostics)
    ]
    if not found and not diagnostics:
        diagnostics.append(
            _error("policyd", "no AdminNetworkPolicy or BaselineAdminNetworkPolicy of v1alpha1 was given")
        )
    out = list(_placed(found, diagnostics))
    if any(diagnostic.severity == "error" for diagnostic in diagnostics):
        raise BadInput(tuple(sorted(diagnostics)))
    terminal.print_diagnostics(
        tuple(sorted(diagnostics)), colored=terminal.uses_color(args.color, sys.stderr)
    )
    terminal.write(_print(out, args.output))
    return 0


def _read(item: Text | Diagnostic, baseline: int, diagnostics: list[Diagnostic]) -> Iterator[Converted]:
    if isinstance(item, Diagnostic):
        diagnostics.append(item)
        return
    # Of the old kinds it only warns that they are not enforced.
    _, said = load_manifest(item.content, item.name)
    diagnostics.extend(each for each in said if each.severity == "error")
    for each in (each for each in written_objects(item.content, item.name) if is_old(each.raw)):
        reading = Reading()
        policy = convert(each.raw, baseline, reading)
        diagnostics.extend(_tell(reading.mistakes, each))
        if policy is not None:
            yield policy


def _placed(found: list[Converted], diagnostics: list[Diagnostic]) -> Iterator[Manifest]:
    """The policies with names and priorities that no two share; what a server would refuse is an error."""
    taken = {(each.tier, each.priority) for each in found}
    names = {each.name for each in found if each.tier == "Admin"}
    for each in sorted(found, key=lambda policy: (policy.tier, policy.priority, policy.name)):
        name = f"baseline-{each.name}" if each.tier == "Baseline" and each.name in names else each.name
        priorities = range(each.priority, each.priority + each.parts)
        if priorities[-1] > LAST_PRIORITY or any((each.tier, p) in taken for p in priorities[1:]):
            diagnostics.append(
                _error(
                    each.name,
                    f"has more than 25 rules in a direction, which takes {each.parts} policies, and the "
                    f"priorities {priorities[0]} to {priorities[-1]} are not all free: move the others",
                )
            )
            continue
        for manifest in manifests(each, name, priorities):
            decoded = decode_manifest(manifest, ReadingOptions())
            diagnostics.extend(_error(name, str(m)) for m in decoded.mistakes if m.severity == "error")
            yield manifest


def _tell(mistakes: Iterable[Mistake], written: Written) -> Iterator[Diagnostic]:
    for mistake in mistakes:
        line, column = _place(written, mistake.path)
        title = f"{written.raw.get('kind')} {_name(written.raw)}"
        yield Diagnostic(written.file, line, column, mistake.severity, printable(f"{title}: {mistake}"))


def _place(written: Written, path: Path) -> tuple[int, int]:
    """Where a path stands, or the nearest thing around it."""
    whole = (*written.prefix, *path)
    wanted = frozenset(whole[:length] for length in range(len(whole) + 1))
    places = written.document.locate(wanted)
    for length in range(len(whole), -1, -1):
        if (found := places.get(whole[:length])) is not None:
            return found[1].line, found[1].column
    return 0, 0


def _name(raw: Any) -> str:
    metadata = raw.get("metadata")
    return str(metadata.get("name", "")) if isinstance(metadata, dict) else ""


def _error(file: str, text: str) -> Diagnostic:
    return Diagnostic(printable(file), 0, 0, "error", printable(text))


def _print(policies: list[Manifest], form: str) -> str:
    if form == "json":
        return json.dumps({"apiVersion": "v1", "kind": "List", "items": policies}, indent=2) + "\n"
    return yaml.safe_dump_all(policies, sort_keys=False, allow_unicode=True)
