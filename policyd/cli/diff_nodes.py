"""`policyd diff --cost` and `--flows`: what a change means for nodes, beside what it opens and closes."""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from policyd.ask.world import World
from policyd.cli import terminal
from policyd.cli.compiled import Rulesets
from policyd.cli.inputs import Text, read_inputs
from policyd.cli.nodes import choose_node
from policyd.errors import BadInput, Diagnostic, EnvironmentRefused, WrongUsage
from policyd.kube.syntax import printable

if TYPE_CHECKING:
    from policyd.netlink.conntrack import Flow

#: In place of a file: the connections that the kernel of this machine tracks.
KERNEL = "kernel"
#: Of more nodes than this, only those that are named are compiled for.
MOST_NODES = 20
#: Forms of the answer that have room for it.
FORMATS = ("text", "json", "md")


@dataclass(slots=True)
class ForNodes:
    """More fields of the JSON, and more lines."""

    fields: dict[str, Any] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)


def add_node_flags(parser: ArgumentParser) -> None:
    """Add the flags."""
    group = parser.add_argument_group("what it means for nodes")
    group.add_argument(
        "--cost", action="store_true", help="what the change costs the kernel of each node: an estimate"
    )
    group.add_argument(
        "--flows",
        metavar="FILE|kernel",
        help="which live connections it would cut: of a file with what `conntrack -L` prints, or "
        "/proc/net/nf_conntrack, - for stdin; or of the kernel of this node, which needs root",
    )
    group.add_argument(
        "--node",
        action="append",
        default=[],
        metavar="NAME",
        help=f"--cost of this node; can be repeated; without it of all, if they are {MOST_NODES} at most",
    )


def check(args: Namespace) -> None:
    """Whether the flags make sense together. Raises WrongUsage."""
    if args.node and not args.cost:
        raise WrongUsage("--node is for --cost")
    if (args.cost or args.flows is not None) and args.output not in FORMATS:
        raise WrongUsage(f"--cost and --flows are for -o {', '.join(FORMATS)}")


def for_nodes(args: Namespace, old: World, new: World) -> ForNodes:
    """What the flags ask for. Raises BadInput and WrongUsage."""
    found, before, after = ForNodes(), Rulesets(old), Rulesets(new)
    if args.cost:
        _add_costs(found, before, after, args.node)
    if args.flows is not None:
        _add_flows(found, before, after, args.flows)
    return found


def _add_costs(found: ForNodes, old: Rulesets, new: Rulesets, named: list[str]) -> None:
    from policyd.cli.diff_cost import cost_lines, costs, costs_json  # noqa: PLC0415 plans: for --cost alone

    both = set(old.world.state.node_names()) & set(new.world.state.node_names())
    nodes = [choose_node(name, new.world.state) for name in named] or sorted(both)
    if not nodes:
        raise WrongUsage(
            "--cost is of nodes, and none is named on both sides: read Pods with their nodes, too"
        )
    if not named and len(nodes) > MOST_NODES:
        raise WrongUsage(f"there are {len(nodes)} nodes: say of which with --node")
    each = tuple(costs(old, new, nodes))
    found.fields["cost"] = costs_json(each)
    found.lines.extend(cost_lines(each))


def _add_flows(found: ForNodes, old: Rulesets, new: Rulesets, argument: str) -> None:
    from policyd.cli.diff_flows import cut, cut_json, cut_lines  # noqa: PLC0415 netlink: for --flows alone

    flows = _of_kernel(new.world) if argument == KERNEL else _of_file(argument)
    answer = cut(old, new, flows)
    found.fields["flows"] = cut_json(answer)
    found.lines.extend(cut_lines(answer))


def _of_kernel(world: World) -> tuple[Flow, ...]:
    """The connections of the pods of a world that this kernel tracks. Raises EnvironmentRefused."""
    from policyd.netlink.conntrack import Conntrack  # noqa: PLC0415 as above

    if sys.platform != "linux":
        raise EnvironmentRefused("only the kernel of a node lists its connections, and this is no Linux")
    addresses: dict[int, set[int]] = {4: set(), 6: set()}
    for family, address in world.by_address:
        addresses[family].add(address)
    conntrack = Conntrack()
    try:
        flows = tuple(conntrack.list(addresses))
    finally:
        conntrack.close()
    if not flows:
        terminal.print_info(
            "the kernel of this machine tracks no connection of these pods: is it their node?"
        )
    return flows


def _of_file(argument: str) -> tuple[Flow, ...]:
    """The connections of a listing. Raises BadInput."""
    from policyd.cli.conntrack_text import read_listing  # noqa: PLC0415 as above

    [item] = read_inputs(argument, recursive=False)
    if not isinstance(item, Text):
        raise BadInput((item,))
    listing = read_listing(item.content.decode(errors="replace"))
    terminal.print_diagnostics(
        tuple(_odd(printable(argument), listing.odd, any_read=bool(listing.flows))), colored=False
    )
    return listing.flows


def _odd(file: str, lines: tuple[int, ...], *, any_read: bool) -> Iterator[Diagnostic]:
    """What was not understood. Raises BadInput if that is all there is."""
    if lines and not any_read:
        text = "no connection: give what `conntrack -L` prints, or /proc/net/nf_conntrack"
        raise BadInput((Diagnostic(file, lines[0], 1, "error", text),))
    if lines:
        text = f"{len(lines)} lines are no connections, from this one on, and were left out"
        yield Diagnostic(file, lines[0], 1, "warning", text)
