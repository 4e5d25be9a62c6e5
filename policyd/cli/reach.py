"""`policyd reach`: who can talk to whom, as text, JSON, tables, graphs and pictures."""

from __future__ import annotations

import shutil
import sys
from argparse import Namespace
from collections.abc import Collection, Iterable
from dataclasses import replace

from policyd.ask.ends import End
from policyd.ask.exposure import exposure, letting_all_in
from policyd.ask.fits import Packet
from policyd.ask.hops import hops
from policyd.ask.naming import INTERNET, find
from policyd.ask.ports import only, read_port
from policyd.ask.reach import Connection, Outside, Reachability, connections, outside
from policyd.ask.world import World
from policyd.cli import terminal
from policyd.cli.flags import add_color_flag
from policyd.cli.parsing import Subparsers, add_command
from policyd.cli.questions import add_question_flags, load_world, print_warnings
from policyd.cli.reach_formats import (
    FORMATS,
    HOPS_FORMATS,
    OF_WORKLOADS,
    OPEN_FORMATS,
    Answered,
    Opened,
)
from policyd.cli.reach_text import exposure_text, hops_text, list_text, table_text
from policyd.errors import Exit, WrongUsage
from policyd.kube.syntax import quote
from policyd.render.groups import Group, by_label, by_namespace, grouped
from policyd_compiler.ports import EVERYTHING, PortSet

#: Wider than this no terminal is taken for; what is written to a file may be as wide.
WIDTH = 120
USAGE = "-f PATH [--from NAME] [--to NAME] [--port PORT] [OPTIONS]"
TEXT = """\
Say who can talk to whom, by what the policies allow: all pods and workloads, and addresses outside. Workloads
count without their pods: Deployment, StatefulSet, DaemonSet, ReplicaSet, ReplicationController, Job, CronJob.
A table if it fits the width, else a list. `?` is what these objects do not decide; `policyd why` says why."""
EXAMPLES = """\
policyd reach -f manifests/
policyd reach -f manifests/ -R --to shop/db
policyd reach -f manifests/ --from internet --port 443
policyd reach -f manifests/ -o json
policyd reach -f manifests/ --by namespace -o md
policyd reach -f manifests/ -o html > reach.html
policyd reach -f manifests/ -o tests > tests.yaml
policyd reach --git main:deploy --open -o md
policyd reach -f manifests/ --from internet --hops 3"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of the command."""
    parser = add_command(subparsers, "reach", TEXT, EXAMPLES, usage=USAGE)
    add_question_flags(parser)
    group = parser.add_argument_group("what is asked")
    group.add_argument(
        "--from", dest="senders", action="append", default=[], metavar="NAME",
        help="only what these send, named as in `policyd why`; can be repeated",
    )  # fmt: skip
    group.add_argument(
        "--to", dest="receivers", action="append", default=[], metavar="NAME", help="only what these receive"
    )
    group.add_argument("--port", metavar="PORT[/PROTOCOL]", help="only this port")
    group.add_argument(
        "--by",
        default="workload",
        metavar="workload|pod|namespace|label=KEY",
        help="what is one row and one column (%(default)s); of groups, what any of them may do",
    )
    group.add_argument(
        "--hops",
        type=int,
        metavar="N",
        help="whom --from reaches over at most N connections, and by which way",
    )
    group.add_argument(
        "--open",
        action="store_true",
        help="what is open to every pod or to every address, whoever comes; of --to and --port, if given",
    )
    out = parser.add_argument_group("what comes out")
    out.add_argument(
        "-o", "--output", choices=("table", "list", *FORMATS),
        help="table if it fits the width, else list; html is a page, svg a picture, tests for `policyd test`"
        "; --open and --hops have most of them",
    )  # fmt: skip
    add_color_flag(out)


def main(args: Namespace) -> int:
    """Answer the question."""
    ports = None if args.port is None else _port(args.port)
    group = _group(args.by)
    _check(args, group)
    asked = load_world(args, by_pod=args.by == "pod")
    print_warnings(asked, colored=terminal.uses_color(args.color, sys.stderr))
    world = asked.world
    senders, receivers = _names(world, args.senders, args), _names(world, args.receivers, args)
    if args.open:
        terminal.write(_open(world, receivers, ports or EVERYTHING, args.output))
        return Exit.OK
    if args.hops is not None:
        reached = hops(world, senders or (), args.hops, ports)
        terminal.write(HOPS_FORMATS.get(args.output, hops_text)(reached))
        return Exit.OK
    found = Reachability(
        world.endpoints,
        tuple(_only(connections(world, senders, receivers), ports)),
        tuple(_only_outside(outside(world), senders, receivers, ports)),
    )
    answered = Answered(world, found, senders, receivers, ports, letting_all_in(world, ports or EVERYTHING))
    _print(answered if group is None else _in_groups(answered, group), args)
    return Exit.OK


def _open(world: World, receivers: Collection[str] | None, ports: PortSet, output: str | None) -> str:
    """What is open to whoever comes, in one of its forms."""
    found = exposure(world, receivers, ports)
    if output in OPEN_FORMATS:
        return OPEN_FORMATS[output](Opened(world, found, letting_all_in(world, ports)))
    return exposure_text(found)


def _print(answered: Answered, args: Namespace) -> None:
    if args.output in FORMATS:
        terminal.write(FORMATS[args.output](answered))
        return
    colored = terminal.uses_color(args.color, sys.stdout)
    width = shutil.get_terminal_size((WIDTH, 0)).columns
    # A column takes three characters at least: a table is not made only to be thrown away.
    fits = args.output == "table" or 3 * len(answered.columns) <= width
    table = table_text(answered.matrix, colored=colored) if fits and args.output != "list" else None
    if table is None or (args.output is None and max(map(_width, table.splitlines()), default=0) > width):
        table = list_text(answered.found, colored=colored)
    terminal.write(table)


def _group(by: str) -> Group | None:
    """What stands for an endpoint, if not itself."""
    if by in ("workload", "pod"):
        return None
    word, equals, key = by.partition("=")
    if by == "namespace":
        return by_namespace
    if word == "label" and equals and key:
        return by_label(key)
    raise WrongUsage(f"--by is workload, pod, namespace or label=KEY, not {quote(by)}")


def _in_groups(answered: Answered, group: Group) -> Answered:
    groups = {each.id: group(each).id for each in answered.found.endpoints}
    senders, receivers = (
        None if ids is None else frozenset(groups.get(each, each) for each in ids)
        for ids in (answered.senders, answered.receivers)
    )
    return replace(
        answered,
        found=grouped(answered.found, group),
        senders=senders,
        receivers=receivers,
        wide_open=frozenset(groups.values()) - {groups[each] for each in groups.keys() - answered.wide_open},
        grouped=True,
    )


def _width(line: str) -> int:
    import re  # noqa: PLC0415 only where a table is measured

    return len(re.sub("\x1b\\[[0-9;]*m", "", line))


def _port(text: str) -> PortSet:
    protocol, port = read_port(text)
    if isinstance(port, str):
        raise WrongUsage("--port takes a number: a name means another port of each pod")
    return only(Packet(protocol, port))


def _check(args: Namespace, group: Group | None) -> None:
    if args.hops is not None and (not args.senders or args.hops < 1 or args.receivers):
        raise WrongUsage("--hops N goes with --from, and N is 1 or more")
    if args.open:
        if args.senders or args.hops is not None:
            other = "--from" if args.senders else "--hops"
            raise WrongUsage(f"--open is about whoever comes: leave out {other}")
        _check_output("--open", args.output, OPEN_FORMATS)
    if args.hops is not None:
        _check_output("--hops", args.output, HOPS_FORMATS)
    if (args.open or args.hops is not None) and group is not None:
        raise WrongUsage(f"--open and --hops are about workloads and pods: leave out --by {args.by}")
    if args.output in OF_WORKLOADS and group is not None:
        raise WrongUsage(f"-o {args.output} names workloads one by one: leave out --by {args.by}")
    if args.output == "tests" and args.by == "pod":
        raise WrongUsage("-o tests is about workloads, as `policyd test` is: leave out --by pod")


def _check_output(flag: str, output: str | None, formats: Collection[str]) -> None:
    forms = ("list", *formats)
    if output is not None and output not in forms:
        raise WrongUsage(f"{flag} has no -o {output}: it has {', '.join(forms)}")


def _names(world: World, names: Iterable[str], args: Namespace) -> frozenset[str] | None:
    """The ids that are meant, and `outside`; None for all."""
    found: set[str] = set()
    for name in names:
        if name in INTERNET:
            found.add("outside")
            continue
        for end in _find(world, name, args.namespace):
            found.add(end)
    return frozenset(found) if names else None


def _find(world: World, name: str, namespace: str) -> list[str]:
    ids = []
    ends = find(world, name).ends
    for end in ends if len(ends) == 1 else _preferred(ends, namespace):
        if end.endpoint is None or end.endpoint.id not in world.number:
            raise WrongUsage(
                f"{name} is no endpoint here: `policyd why` answers for single pods and addresses"
            )
        ids.append(end.endpoint.id)
    return ids


def _preferred(ends: tuple[End, ...], namespace: str) -> tuple[End, ...]:
    """Of several ends with one name, those of a namespace; all, if it has none."""
    here = tuple(end for end in ends if end.endpoint is not None and end.endpoint.namespace == namespace)
    return here or ends


def _only(found: Iterable[Connection], ports: PortSet | None) -> Iterable[Connection]:
    for each in found:
        judged = each.judged if ports is None else each.judged.only(ports)
        if judged.possible:
            yield replace(each, judged=judged)


def _only_outside(
    found: Iterable[Outside],
    senders: frozenset[str] | None,
    receivers: frozenset[str] | None,
    ports: PortSet | None,
) -> Iterable[Outside]:
    for each in found:
        ends = ("outside", each.endpoint.id) if each.inbound else (each.endpoint.id, "outside")
        if (senders is None or ends[0] in senders) and (receivers is None or ends[1] in receivers):
            allowed = each.allowed if ports is None else each.allowed & ports
            if allowed:
                yield replace(each, allowed=allowed)
