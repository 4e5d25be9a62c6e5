"""What `-f` names → the cluster as a value, or every mistake in it."""

from __future__ import annotations

from argparse import Namespace
from collections.abc import Iterable
from typing import assert_never

from policyd.cli.flags import compiler_options, missing_namespaces, reading_options
from policyd.cli.inputs import STDIN, Text, read_inputs
from policyd.cli.loaded import LoadedCluster
from policyd.cluster.state import ClusterState, MissingNamespaces
from policyd.errors import BadInput, Diagnostic, WrongUsage
from policyd.kube.kind import Kinds
from policyd.kube.objects import KubeObject
from policyd.kube.registry import KINDS
from policyd.kube.syntax import printable
from policyd.lint.suppress import IgnoredLines, ignored_lines
from policyd.manifests.load import combine, load_manifest


def _one_of(kinds: Kinds) -> str:
    """`Namespace, Node, Pod, ClusterNetworkPolicy or NetworkPolicy`: policies last."""
    *others, last = [kind.name for kind in sorted(kinds, key=lambda kind: kind.policy)]
    return f"{', '.join(others)} or {last}"


ONE_OF = _one_of(KINDS)


def load_cluster(args: Namespace) -> LoadedCluster:
    """Read all that the flags of `add_manifest_flags` name.

    Raises BadInput, WrongUsage and, for `--live`, EnvironmentRefused.
    """
    _check_flags(args)
    if args.live:
        # Here, as the offline commands know nothing of a Kubernetes client.
        from policyd.cli.live import load_live  # noqa: PLC0415

        return load_live(args)
    if not args.filename:
        raise WrongUsage(
            "nothing to read: name files or directories with -f (- is standard input), or take --live"
        )
    if args.filename.count("-") > 1:
        raise WrongUsage("standard input can be read once: give `-f -` once")
    objects: list[KubeObject] = []
    diagnostics: list[Diagnostic] = []
    ignored: dict[str, IgnoredLines] = {}
    for argument in args.filename:
        found, said = _load_argument(argument, args, ignored)
        if not found and not _has_errors(said):
            name = STDIN if argument == "-" else printable(argument)
            said.append(Diagnostic(name, 0, 0, "warning", f"holds no {ONE_OF}"))
        objects.extend(found)
        diagnostics.extend(said)
    diagnostics.extend(combine(objects))
    if not objects and not _has_errors(diagnostics):
        # An empty ruleset would open everything, and an empty input mostly is an accident.
        diagnostics.append(
            Diagnostic("policyd", 0, 0, "error", f"no {ONE_OF} was given: there is nothing to compile")
        )
    if _has_errors(diagnostics):
        raise BadInput(tuple(sorted(diagnostics)))
    state = ClusterState.of(objects, missing_namespaces(args))
    return LoadedCluster(
        state, tuple(sorted(diagnostics)), compiler_options(args), args.node, ignored=ignored
    )


def _check_flags(args: Namespace) -> None:
    """Refuse flags that do not go together."""
    if args.live and args.filename:
        raise WrongUsage("either manifests (-f) or the cluster as it is (--live), not both")
    if args.live and args.missing_namespaces == MissingNamespaces.NAMED.value:
        raise WrongUsage("--missing-namespaces named is for manifests: in a cluster they may come any moment")
    if not args.live and (args.kubeconfig or args.context or args.config):
        raise WrongUsage("--kubeconfig, --context and --config are for --live")


def _load_argument(
    argument: str, args: Namespace, ignored: dict[str, IgnoredLines]
) -> tuple[list[KubeObject], list[Diagnostic]]:
    options = reading_options(args)
    objects: list[KubeObject] = []
    diagnostics: list[Diagnostic] = []
    for item in read_inputs(argument, recursive=args.recursive):
        match item:
            case Diagnostic():
                diagnostics.append(item)
            case Text(name, content):
                loaded, said = load_manifest(content, name, options)
                objects.extend(loaded)
                diagnostics.extend(said)
                if lines := ignored_lines(content):
                    ignored[printable(name)] = lines
            case _:
                assert_never(item)
    return objects, diagnostics


def _has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    return any(diagnostic.severity == "error" for diagnostic in diagnostics)
