"""Flags that several commands have: what is read and how, what is compiled, and colour."""

from __future__ import annotations

import argparse
import re
from dataclasses import fields
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

from policyd.cluster.state import MissingNamespaces
from policyd.kube.reading import ReadingOptions, Severity
from policyd.kube.syntax import dns_label_mistake, subdomain_mistake
from policyd_compiler.options import Options, interface_mistake, table_mistake

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
    add_reading_flags(group)


def add_reading_flags(group: argparse._ActionsContainer) -> None:
    """Add the flags that say how a cluster and manifests are read, and what odd things in them mean."""
    group.add_argument("--kubeconfig", metavar="FILE", help="for --live; else $KUBECONFIG, or ~/.kube/config")
    group.add_argument("--context", metavar="NAME", help="for --live: a context of the kubeconfig")
    group.add_argument(
        "--config", type=Path, metavar="FILE", help="for --live: the agent's settings (POLICYD_CONFIG)"
    )
    group.add_argument("-R", "--recursive", action="store_true", help="read the folders of a directory, too")
    add_namespace_flag(group)
    _add_oddity_flags(group)


def add_namespace_flag(group: argparse._ActionsContainer) -> None:
    """Add `--namespace`."""
    group.add_argument(
        "-n",
        "--namespace",
        default="default",
        type=_namespace,
        help="namespace of objects that name none (%(default)s)",
    )


def _add_oddity_flags(group: argparse._ActionsContainer) -> None:
    """Add the flags that say what odd things in manifests mean."""
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
    group.add_argument(
        "--cnp-channel",
        choices=("experimental", "standard"),
        default="experimental",
        help="which ClusterNetworkPolicies the server takes: its standard channel has no named ports, no "
        "nodes and no domain names (%(default)s)",
    )

    group.add_argument(
        "--missing-namespaces",
        choices=tuple(m.value for m in MissingNamespaces),
        help="what a Namespace is that pods are in and nobody gave: named has its name as its only label, "
        "unknown is matched by no namespaceSelector, as by an agent (named; with --live always unknown)",
    )


def missing_namespaces(args: argparse.Namespace) -> MissingNamespaces:
    """What a missing Namespace is for manifests, by the flags of `add_manifest_flags`."""
    return MissingNamespaces(args.missing_namespaces or MissingNamespaces.NAMED)


def reading_options(args: argparse.Namespace) -> ReadingOptions:
    """How manifests are read, by the flags of `add_manifest_flags`."""
    return ReadingOptions(
        args.namespace,
        _SEVERITIES[args.unknown_fields],
        _SEVERITIES[args.legacy_cidrs],
        foreign_policies=_SEVERITIES[args.foreign_policies],
        cnp_channel=args.cnp_channel,
    )


def add_compiler_flags(parser: argparse.ArgumentParser) -> None:
    """Add the flags that change what is compiled: one for each option of the compiler."""
    group = parser.add_argument_group("what is compiled")
    choices = get_type_hints(Options)
    for option in fields(Options):
        text = f"{option.metadata['help']}{f' ({option.default})' if option.default else ''}"
        flag = f"--{option.name.replace('_', '-')}"
        if get_origin(choices[option.name]) is Literal:
            group.add_argument(flag, choices=get_args(choices[option.name]), help=text)
        elif isinstance(option.default, int):
            group.add_argument(flag, type=_count, metavar="N", help=text)
        elif isinstance(option.default, tuple):
            group.add_argument(flag, type=_interfaces, metavar="NAMES", help=text)
        else:
            group.add_argument(flag, type=_table, metavar="NAME", help=text)


def compiler_options(args: argparse.Namespace) -> Options:
    """What is compiled, by the flags of `add_compiler_flags`; what is not given is as by default."""
    given = {option.name: getattr(args, option.name) for option in fields(Options)}
    return Options(**{name: value for name, value in given.items() if value is not None})


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
    return _passed(text, subdomain_mistake(text))


def _namespace(text: str) -> str:
    return _passed(text, dns_label_mistake(text))


def generation(text: str) -> int:
    """The number of a ruleset, for `type` of a flag."""
    return _count(text)


def _count(text: str) -> int:
    if not re.fullmatch(r"[0-9]{1,18}", text) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a number from 1 on, of at most 18 digits, not {text!r}")
    return int(text)


def _table(text: str) -> str:
    return _passed(text, table_mistake(text))


def _interfaces(text: str) -> tuple[str, ...]:
    return tuple(_passed(name, interface_mistake(name)) for name in map(str.strip, text.split(",")))


def _passed(text: str, mistake: str | None) -> str:
    if mistake is not None:
        raise argparse.ArgumentTypeError(mistake)
    return text
