"""`policyd compile`: manifests in, the ruleset of one node or of all nodes out. Applies nothing."""

from __future__ import annotations

import sys
from argparse import SUPPRESS, Namespace
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from policyd.cli import terminal
from policyd.cli.attachments_file import check_usage, of_another_node, read_attachments
from policyd.cli.files import write_file
from policyd.cli.flags import (
    add_color_flag,
    add_compiler_flags,
    add_manifest_flags,
    generation,
    node_name,
)
from policyd.cli.loading import load_cluster
from policyd.cli.nodes import build_warnings, choose_nodes
from policyd.cli.parsing import Subparsers, add_command
from policyd.cli.summary import print_summary
from policyd.cluster.state import ClusterState
from policyd.errors import Exit, WrongUsage
from policyd.kube.encode import without_source
from policyd.kube.syntax import printable
from policyd.lint.certain import certain_findings, warning
from policyd.pipeline import Build, build
from policyd_compiler.ir_json import print_ir
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.json_printer import print_replace_json
from policyd_compiler.nft.keys import KeyType
from policyd_compiler.nft.printer import print_replace
from policyd_compiler.nft.stamp import stamp

#: Format → the end of a file's name, and what prints it.
FORMATS: dict[str, tuple[str, Callable[[ClusterState, Build], str]]] = {
    "nft": (".nft", lambda _, built: print_replace(built.table)),
    "json": (".json", lambda _, built: _print_json(built.table)),
    "ir": (".ir.json", lambda _, built: print_ir(built.snapshot)),
    "summary": (".txt", print_summary),
}

ALLOW_EMPTY = "compile policies although no pod holds an address: a ruleset that lets everything pass"
USAGE = "-f PATH [--node NAME] [OPTIONS]"
TEXT = """\
Turn Namespaces, Nodes, Pods and policies, as YAML or JSON, into the nftables ruleset of a node.
The ruleset goes to standard output, and is not applied. Its script is for a node without one: `nft -f -`
loads it as one transaction. Loaded over a ruleset in force it loses allowed packets that are in the rules at
that moment, or lets denied ones through; `policyd apply` and the agent do neither."""
EXAMPLES = """\
policyd compile -f manifests/ --node n1
kubectl get namespaces,nodes,pods,networkpolicies -A -o json | policyd compile -f - --node n1 --check
policyd compile -f cluster.json --all-nodes --output-dir rulesets/
policyd compile --live --context production --node n1 -o summary"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of the command."""
    parser = add_command(subparsers, "compile", TEXT, EXAMPLES, usage=USAGE)
    parser.add_argument("files", nargs="*", help=SUPPRESS)
    add_manifest_flags(parser)
    nodes = parser.add_argument_group("for which node")
    choice = nodes.add_mutually_exclusive_group()
    choice.add_argument(
        "--node",
        type=node_name,
        metavar="NAME",
        help="not needed when only one node is named in what is read",
    )
    choice.add_argument("--all-nodes", action="store_true", help="one file for each node, in --output-dir")
    nodes.add_argument(
        "--output-dir", metavar="DIR", help="where the files of --all-nodes go; made if not there"
    )
    nodes.add_argument(
        "--attachments",
        metavar="FILE",
        help="by which interface each pod of the node is attached to it, as JSON (`policyd schema "
        "attachments`); - for standard input; with --live else as the agent here has it",
    )
    add_compiler_flags(parser)
    group = parser.add_argument_group("what comes out")
    group.add_argument(
        "-o",
        "--output",
        choices=tuple(FORMATS),
        default="nft",
        help="nft: a script; json: the same for `nft -j -f -`; ir: what is enforced, in addresses and ports; "
        "summary: for people (%(default)s)",
    )
    group.add_argument("--allow-empty", action="store_true", help=ALLOW_EMPTY)
    group.add_argument(
        "--generation",
        type=generation,
        metavar="N",
        help="number the ruleset so, to compare it with one that an agent holds (1, as an agent's first)",
    )
    group.add_argument(
        "--no-sources",
        action="store_true",
        help="do not say where rules were written; so the bytes are those of objects from an API server",
    )
    group.add_argument(
        "--check", action="store_true", help="ask the kernel whether it would take the ruleset, apply nothing"
    )
    add_color_flag(group)


def main(args: Namespace) -> int:
    """Compile what the arguments name."""
    _check_usage(args)
    loaded = load_cluster(args)
    state = loaded.state
    certain = certain_findings(state.objects(), loaded.ignored)
    diagnostics = [*loaded.warnings, *map(warning, certain)]
    state = _as_asked(state, args)
    nodes = choose_nodes(loaded.node, state, all_nodes=args.all_nodes)
    if empty := _why_empty(state, args):
        terminal.print_diagnostics(
            tuple(dict.fromkeys(diagnostics)), colored=terminal.uses_color(args.color, sys.stderr)
        )
        terminal.print_info(empty)
        return Exit.FINDING
    refused = False
    text = ""
    suffix, print_build = FORMATS[args.output]
    for node in nodes:
        built = build(state, node, loaded.options)
        if args.generation is not None:
            built = replace(built, table=stamp(built.table, args.generation))
        diagnostics.extend(build_warnings(state, built, certain, one_node=not args.all_nodes))
        diagnostics.extend(of_another_node(state.attachments, state, node))
        if args.check:
            # Here, as the other outputs need no nft.
            from policyd.cli.kernel_check import check  # noqa: PLC0415

            refusals = check(node, print_replace(built.table), built.owners)
            diagnostics.extend(refusals)
            if refusals:
                refused = True
                continue
            terminal.print_info(f"{node}: ok, the kernel takes the ruleset")
        text = print_build(state, built)
        if args.output_dir is not None:
            path = write_file(Path(args.output_dir), node + suffix, text)
            terminal.print_info(f"wrote {printable(str(path))}")
    terminal.print_diagnostics(
        tuple(dict.fromkeys(diagnostics)), colored=terminal.uses_color(args.color, sys.stderr)
    )
    if refused:
        return Exit.FINDING
    if args.output_dir is None:
        terminal.write(text)
    return Exit.OK


def _as_asked(state: ClusterState, args: Namespace) -> ClusterState:
    """The state with the attachments that are given, and without sources if they are not wanted."""
    if args.attachments is not None:
        state = replace(state, attachments=read_attachments(args.attachments))
    if args.no_sources:
        plain = ClusterState.of(map(without_source, state.objects()), state.missing_namespaces)
        state = replace(plain, attachments=state.attachments)
    return state


def _why_empty(state: ClusterState, args: Namespace) -> str:
    """Say that policies would be compiled into a ruleset that lets everything pass, if they would."""
    policies = len(state.every_policy)
    if args.allow_empty or args.live or not policies:
        return ""
    if any(pod.has_address and not pod.host_network and not pod.terminal for pod in state.pods.values()):
        return ""
    return (
        f"{policies} {'policy' if policies == 1 else 'policies'}, and no pod that holds an address: the "
        "ruleset would let everything pass. Give Pods as `kubectl get pods -o json` prints them; "
        "--allow-empty compiles nevertheless; `policyd why` and `policyd reach` need no addresses"
    )


def _print_json(table: Table) -> str:
    """The commands in JSON. Raises WrongUsage for what nft's JSON cannot say."""
    parts = (*table.sets, *(table.bridge.sets if table.bridge is not None else ()))
    if any(part.key is KeyType.IFNAME_TARGET for part in parts):
        raise WrongUsage(
            "-o json cannot declare the set of what pods on bridges advertise, as nft's JSON has no type "
            "for its keys: take -o nft"
        )
    return print_replace_json(table)


def _check_usage(args: Namespace) -> None:
    check_usage(args)
    if args.files:
        files = "".join(f" -f {printable(name)}" for name in args.files)
        raise WrongUsage(f"files are named with -f, each with its own:{files}")
    if args.all_nodes and args.output_dir is None:
        raise WrongUsage("--all-nodes makes a file for each node: say where with --output-dir")
    if args.output_dir is not None and not args.all_nodes:
        raise WrongUsage("--output-dir is for --all-nodes; the ruleset of one node goes to standard output")
