"""`policyd verify`: is the ruleset of a node what the policies mean, for every packet?"""

from __future__ import annotations

import asyncio
import json
import sys
from argparse import Namespace
from dataclasses import replace
from importlib import import_module
from typing import cast

from policyd.cli import terminal
from policyd.cli.attachments_file import check_usage, of_another_node, read_attachments
from policyd.cli.flags import (
    add_color_flag,
    add_compiler_flags,
    add_manifest_flags,
    compiler_options,
    node_name,
)
from policyd.cli.loaded import LoadedCluster
from policyd.cli.loading import load_cluster
from policyd.cli.nodes import build_warnings, choose_node
from policyd.cli.parsing import Subparsers, add_command
from policyd.cli.rulesets import Found, read_bundle, read_ruleset
from policyd.errors import Exit, WrongUsage
from policyd.pipeline import Build, build
from policyd.proof.as_json import proof_json
from policyd.proof.prove import prove
from policyd.proof.result import Proof
from policyd_compiler.nft.parser import parse_replace
from policyd_compiler.nft.printer import print_replace

USAGE = "-f PATH [--node NAME] [--ruleset FILE | --kernel] [OPTIONS]"
TEXT = """\
Prove that the ruleset of a node does with every packet what the policies say, whatever its addresses, ports,
protocol, interfaces and state; or show a packet with which it does not, and the rules that decide.
The ruleset is the one that is compiled, or the one in a file, in the kernel, or in a support bundle."""
EXAMPLES = """\
policyd verify -f manifests/ --node n1
policyd compile -f manifests/ --node n1 > n1.nft; policyd verify -f manifests/ --node n1 --ruleset n1.nft
policyd verify --live --node n1 --kernel
policyd verify --bundle policyd-n1-20261129T120000Z.tar.gz -o json"""


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of the command."""
    parser = add_command(subparsers, "verify", TEXT, EXAMPLES, usage=USAGE)
    add_manifest_flags(parser)
    what = parser.add_argument_group("which ruleset")
    what.add_argument(
        "--node",
        type=node_name,
        metavar="NAME",
        help="not needed when only one node is named in what is read",
    )
    source = what.add_mutually_exclusive_group()
    source.add_argument(
        "--ruleset",
        metavar="FILE",
        help="the ruleset in a file: what `policyd compile` prints, or `nft -j list table`; - for stdin",
    )
    source.add_argument(
        "--kernel", action="store_true", help="the ruleset in the kernel of this machine; needs root"
    )
    source.add_argument(
        "--bundle", metavar="FILE", help="objects and ruleset as `policyd support-bundle` packed them"
    )
    what.add_argument(
        "--attachments",
        metavar="FILE",
        help="by which interface each pod of the node is attached to it, as for `policyd compile`",
    )
    add_compiler_flags(parser)
    group = parser.add_argument_group("what comes out")
    group.add_argument("-o", "--output", choices=("text", "json"), default="text", help="form (%(default)s)")
    add_color_flag(group)


def main(args: Namespace) -> int:
    """Prove, and tell."""
    args.all_nodes = False
    check_usage(args)
    if args.bundle is not None and (args.filename or args.live or args.attachments is not None):
        raise WrongUsage("--bundle holds the objects: give neither -f, nor --live, nor --attachments")
    source, loaded, found, closed = _read(args)
    state, node = loaded.state, choose_node(loaded.node, loaded.state)
    built = build(state, node, loaded.options, closed)
    closed = closed.union(over.policy for over in built.over)
    if found is None:
        # As it is printed, so that the printer is proved with the rest.
        found = Found(parse_replace(print_replace(built.table)))
    proof = prove(state, node, loaded.options, found.table, closed)
    if found.foreign:
        proof = replace(proof, differences=(), unprovable=found.foreign)
    _warn(args, loaded, built, node)
    if args.output == "json":
        terminal.write(json.dumps(proof_json(proof, source), indent=2, ensure_ascii=False) + "\n")
    else:
        terminal.write("".join(f"{line}\n" for line in lines(proof, source)))
    return Exit.OK if proof.proved else Exit.FINDING


def _read(args: Namespace) -> tuple[str, LoadedCluster, Found | None, frozenset[str]]:
    """Where the ruleset is from, the cluster, the ruleset if it is not to be compiled, who is quarantined."""
    if args.bundle is not None:
        bundled = read_bundle(args.bundle, args, compiler_options(args))
        return "bundle", bundled.loaded, bundled.found, bundled.closed
    if args.ruleset == "-" and "-" in args.filename:
        raise WrongUsage("standard input can be read once: for -f or for --ruleset")
    loaded = load_cluster(args)
    if args.attachments is not None:
        attached = replace(loaded.state, attachments=read_attachments(args.attachments))
        loaded = replace(loaded, state=attached)
    if args.ruleset is not None:
        return "file", loaded, read_ruleset(args.ruleset, loaded.options.table), frozenset()
    if args.kernel:
        # Imported only here: nothing else of this command looks at a kernel or at an agent.
        held = import_module("policyd.cli.kernel_ruleset")
        found, closed = asyncio.run(held.read_kernel(args, loaded.options.table))
        return "kernel", loaded, cast(Found, found), cast(frozenset[str], closed)
    return "compiled", loaded, None, frozenset()


def _warn(args: Namespace, loaded: LoadedCluster, built: Build, node: str) -> None:
    diagnostics = (
        *loaded.warnings,
        *build_warnings(loaded.state, built, one_node=True),
        *of_another_node(loaded.state.attachments, loaded.state, node),
    )
    terminal.print_diagnostics(
        tuple(dict.fromkeys(diagnostics)), colored=terminal.uses_color(args.color, sys.stderr)
    )


_SOURCES = {
    "compiled": "the ruleset that is compiled",
    "file": "the ruleset in the file",
    "kernel": "the ruleset in the kernel",
    "bundle": "the ruleset in the bundle",
}


def lines(proof: Proof, source: str) -> tuple[str, ...]:
    """The proof for people."""
    counted = f"{proof.endpoints} pods, {proof.chains} chains, {proof.apart} kinds of packets told apart"
    beside = f" and table bridge {proof.table}" if proof.bridged else ""
    what = f"{_SOURCES[source]} (table inet {proof.table}{beside} of {proof.node})"
    covered = tuple(f"not covered: {text}" for text in proof.not_covered)
    if proof.proved:
        return f"PROVED: {what} does with every packet what the policies say", f"  {counted}", *covered
    found = []
    for difference in proof.differences:
        packet, policies, ruleset = difference.lines()
        found += [f"DIFFERS: {packet}", f"  {policies}", f"  {ruleset}"]
    found += [f"NOT PROVED: {text}" for text in proof.unprovable]
    return (*found, f"{what}: {counted}", *covered)
