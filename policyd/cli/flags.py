"""Flags that several commands have: what is read and how, what is compiled, and colour."""

from __future__ import annotations

import argparse
import re

from policyd.kube.reading import Options as ReadingOptions
from policyd.kube.reading import Severity
from policyd.kube.syntax import dns_label_mistake, subdomain_mistake
from policyd_compiler.options import Options

_TABLE = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,63}")
#: As the kernel has it, but without what nft would take for something else.
_INTERFACE = re.compile(r"[A-Za-z0-9_.:@-]{1,15}|[A-Za-z0-9_.:@-]{1,14}\*")
_SEVERITIES: dict[str, Severity] = {"warn": "warning", "error": "error"}


def add_manifest_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that say what manifests are read, and how."""
    group = parser.add_argument_group("what is read")
    group.add_argument(
        "-f",
        "--filename",
        action="append",
        default=[],
        metavar="PATH",
        help="a file, a directory (its *.yaml, *.yml and *.json), or - for standard input; can be repeated",
    )
    group.add_argument(
        "--live", action="store_true", help="read the cluster as it is instead, changing nothing"
    )
    group.add_argument("--kubeconfig", metavar="FILE", help="for --live; else $KUBECONFIG, or ~/.kube/config")
    group.add_argument("--context", metavar="NAME", help="for --live: a context of the kubeconfig")
    group.add_argument("-R", "--recursive", action="store_true", help="read the folders of a directory, too")
    group.add_argument(
        "-n",
        "--namespace",
        default="default",
        type=_namespace,
        help="namespace of objects that name none (%(default)s)",
    )
    group.add_argument(
        "--unknown-fields",
        choices=tuple(_SEVERITIES),
        default="error",
        help="what to make of a field that does not exist: a server ignores it with a warning, which mostly "
        "makes a rule wider (%(default)s)",
    )
    group.add_argument(
        "--legacy-cidrs",
        choices=tuple(_SEVERITIES),
        default="warn",
        help="what a CIDR such as 10.0.0.1/8 is, which servers refuse since Kubernetes 1.36 (%(default)s)",
    )
    group.add_argument(
        "--foreign-policies",
        choices=tuple(_SEVERITIES),
        default="warn",
        help="what a policy for another engine is (Calico, Cilium, Antrea ...), as it is not enforced "
        "(%(default)s)",
    )


def reading_options(args: argparse.Namespace) -> ReadingOptions:
    """How manifests are read, by the flags of `add_manifest_flags`."""
    return ReadingOptions(
        args.namespace,
        _SEVERITIES[args.unknown_fields],
        _SEVERITIES[args.legacy_cidrs],
        foreign_policies=_SEVERITIES[args.foreign_policies],
    )


def add_compiler_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that change what is compiled."""
    group = parser.add_argument_group("what is compiled")
    group.add_argument(
        "--pod-interfaces",
        type=_interfaces,
        default=(),
        metavar="NAMES",
        help="interfaces of pods on the node, such as cni0,veth*: unknown pods behind them are closed",
    )
    group.add_argument(
        "--node-egress",
        choices=("enforce", "exempt"),
        default="enforce",
        help="whether egress policies judge traffic of a pod to its own node (%(default)s)",
    )
    group.add_argument(
        "--hairpin",
        choices=("allow", "evaluate"),
        default="allow",
        help="whether policies judge a pod that reaches itself through its Service (%(default)s)",
    )
    group.add_argument(
        "--deny",
        choices=("drop", "reject"),
        default="drop",
        help="how packets are denied; reject is for debugging (%(default)s)",
    )
    add_table_flag(group)


def add_table_flag(parser: argparse._ActionsContainer) -> None:
    """Add `--table`."""
    parser.add_argument(
        "--table", type=_table, default="policyd", help="name of the nft table, of family inet (%(default)s)"
    )


def compiler_options(args: argparse.Namespace) -> Options:
    """What is compiled, by the flags of `add_compiler_flags`."""
    return Options(args.table, args.pod_interfaces, args.node_egress, args.hairpin, args.deny)


def add_color_flag(parser: argparse._ActionsContainer) -> None:
    """Add `--color`."""
    parser.add_argument(
        "--color",
        choices=("auto", "always", "never"),
        default="auto",
        help="colour messages; auto: on a terminal, unless NO_COLOR is set (%(default)s)",
    )


def node_name(text: str) -> str:
    """The name of a node, for `type` of a flag."""
    mistake = subdomain_mistake(text)
    if mistake is not None:
        raise argparse.ArgumentTypeError(mistake)
    return text


def _namespace(text: str) -> str:
    mistake = dns_label_mistake(text)
    if mistake is not None:
        raise argparse.ArgumentTypeError(mistake)
    return text


def _table(text: str) -> str:
    if not _TABLE.fullmatch(text):
        raise argparse.ArgumentTypeError("must be a letter, and at most 63 letters, digits, '_', '.', '-'")
    return text


def _interfaces(text: str) -> tuple[str, ...]:
    names = tuple(part.strip() for part in text.split(","))
    for name in names:
        if not _INTERFACE.fullmatch(name):
            raise argparse.ArgumentTypeError(
                f"{name!r} is not an interface: at most 15 letters, digits and '_.:@-'; '*' at the end"
            )
    return names
