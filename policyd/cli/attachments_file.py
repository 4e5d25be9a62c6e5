"""`--attachments`: the file that says by which interface each pod of the node is attached to it."""

from __future__ import annotations

from argparse import Namespace
from pathlib import Path

from policyd.cli.inputs import Text, read_inputs
from policyd.cluster.attachments import Attachments, load_attachments
from policyd.cluster.state import ClusterState
from policyd.errors import BadInput, Diagnostic, WrongUsage
from policyd.kube.syntax import printable


def check_usage(args: Namespace) -> None:
    """Refuse what does not go together. Raises WrongUsage."""
    if args.attachments is None:
        return
    if args.all_nodes:
        raise WrongUsage("--attachments is about the interfaces of one node: name that one with --node")
    if args.attachments == "-" and "-" in args.filename:
        raise WrongUsage("standard input can be read once: for -f or for --attachments")


def read_attachments(argument: str) -> Attachments:
    """What the file says. Raises BadInput with the place of the first mistake."""
    name = printable(argument)
    if argument not in ("", "-") and Path(argument).is_dir():
        raise BadInput((Diagnostic(name, 0, 0, "error", "a directory, not a file"),))
    [item] = read_inputs(argument, recursive=False)
    match item:
        case Text(_, content):
            return load_attachments(content, "<stdin>" if argument == "-" else name)
        case _:
            raise BadInput((item,))


def of_another_node(attachments: Attachments, state: ClusterState, node: str) -> tuple[Diagnostic, ...]:
    """A warning if the attachments name pods, and none of them is on this node."""
    here = {key for key, pod in state.pods.items() if pod.node == node}
    if not attachments.pods or here & attachments.pods.keys():
        return ()
    text = f"--attachments names no pod of node {node}: is it of another node?"
    return (Diagnostic("policyd", 0, 0, "warning", text),)
