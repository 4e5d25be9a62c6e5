"""What questions are asked about: manifests, a revision of a repository, a bundle, or the cluster as it is.

Whatever asks (`why`, `reach` and the like) reads here, so that all of them read the same.
"""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace, _ArgumentGroup
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace

from policyd.ask.world import World
from policyd.cli import terminal
from policyd.cli.flags import add_manifest_flags, add_reading_flags, reading_options
from policyd.cli.inputs import STDIN, Input, Text, read_inputs
from policyd.cli.revisions import read_bundle, read_revision
from policyd.cluster.state import ClusterState, MissingNamespaces
from policyd.errors import BadInput, Diagnostic, WrongUsage
from policyd.kube.encode import encode
from policyd.kube.objects import KubeObject
from policyd.kube.reading import ReadingOptions
from policyd.kube.registry import ASKED
from policyd.kube.syntax import printable
from policyd.manifests.foreign import is_no_manifest
from policyd.manifests.load import load_manifest, twin_mistake, twins

#: What to do where objects are given twice, as overlays have them.
ONE = (
    "Name the files of one deployment, or read what renders it from standard input (-): "
    "kustomize build, helm template"
)
#: What a side of a comparison can be beside a path.
LIVE, GIT, BUNDLE = "live", "git:", "bundle:"


@dataclass(slots=True)
class Objects:
    """What was read, mistakes and warnings, and the files of directories that are no manifests."""

    found: list[KubeObject] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)
    skipped: list[str] = field(default_factory=list)
    only_namespace: str = ""


@dataclass(frozen=True, slots=True)
class Asked:
    """The world that is asked about, the warnings, and how many files were skipped."""

    world: World
    warnings: tuple[Diagnostic, ...]
    skipped: int


def add_question_flags(parser: ArgumentParser) -> None:
    """Add the flags that say what is asked about."""
    add_manifest_flags(parser)
    group = parser.add_argument_group("what else is read")
    _add_overlay_flag(group)
    group.add_argument(
        "--git", metavar="REV[:PATH]", help="read a revision of the repository here, or a folder of it"
    )
    group.add_argument("--bundle", metavar="FILE", help="read what `policyd support-bundle` wrote")


def add_side_flags(parser: ArgumentParser) -> None:
    """Add the flags that say how the worlds are read which arguments name (`read_side`)."""
    group = parser.add_argument_group("how it is read")
    add_reading_flags(group)
    _add_overlay_flag(group)


def _add_overlay_flag(group: _ArgumentGroup) -> None:
    group.add_argument(
        "--with",
        dest="overlay",
        action="append",
        default=[],
        metavar="PATH",
        help="put these objects over what is read, as `kubectl apply` would; can be repeated",
    )


def read_side(name: str, args: Namespace) -> Objects:
    """What one argument names: a path, `git:REV[:PATH]`, `bundle:FILE` or `live`.

    A directory is read with its folders, as a revision is: they are compared with each other.
    Raises as `load_world` does.
    """
    if name == LIVE:
        return _live(args)
    objects = Objects()
    for prefix, read, lenient in ((GIT, read_revision, True), (BUNDLE, read_bundle, False)):
        if name.startswith(prefix):
            _read(read(name.removeprefix(prefix)), reading_options(args), objects, lenient=lenient)
            break
    else:
        if name != "-" and not os.path.lexists(name):
            text = f"there is no such file or directory; a revision of git is written {GIT}{printable(name)}"
            raise BadInput((Diagnostic(printable(name), 0, 0, "error", text),))
        read_path(name, args, objects, recursive=True)
    _join(objects)
    return objects


def read_overlay(args: Namespace) -> Objects:
    """What `--with` names."""
    over = Objects()
    for path in args.overlay:
        read_path(path, args, over)
    _join(over)
    return over


def load_world(args: Namespace, *, by_pod: bool = False) -> Asked:
    """The world that the flags of `add_question_flags` name.

    Raises BadInput, WrongUsage and, for `--live` and `--git`, EnvironmentRefused.
    """
    _check(args)
    overlay = read_overlay(args)
    if args.live:
        objects = _live(args)
    else:
        objects = Objects()
        for inputs, lenient in _sources(args):
            _read(inputs, reading_options(args), objects, lenient=lenient)
        _join(objects)
    asked = world_of(objects, args, overlay, by_pod=by_pod)
    require_endpoints(asked)
    return asked


def require_endpoints(*sides: Asked) -> None:
    """BadInput if there is nobody in any of the worlds: an answer about nobody would look like a good one."""
    if not any(each.world.endpoints for each in sides):
        text = "no pod and no workload was read, and policies are about pods: give what makes them, too"
        raise BadInput((Diagnostic("policyd", 0, 0, "error", text),))


def world_of(
    objects: Objects, args: Namespace, overlay: Objects | None = None, *, by_pod: bool = False
) -> Asked:
    """The world of what was read. Raises BadInput if there is a mistake in it, or nothing at all."""
    over = overlay or Objects()
    diagnostics = [*objects.diagnostics, *over.diagnostics]
    if not any(each.severity == "error" for each in diagnostics) and not objects.found and not over.found:
        folders = "" if getattr(args, "recursive", True) else " (-R also reads the folders of a directory)"
        text = f"no Kubernetes object was read: what is asked about?{folders}"
        diagnostics.append(Diagnostic("policyd", 0, 0, "error", text))
    if any(each.severity == "error" for each in diagnostics):
        raise BadInput(tuple(sorted(diagnostics)))
    named = args.missing_namespaces == MissingNamespaces.NAMED.value
    missing = MissingNamespaces.NAMED if named else MissingNamespaces.UNKNOWN
    state = ClusterState.of([*objects.found, *over.found], missing, ASKED)
    world = World.of(state, by_pod=by_pod, only_namespace=objects.only_namespace)
    return Asked(world, tuple(sorted(diagnostics)), len(objects.skipped) + len(over.skipped))


def read_path(argument: str, args: Namespace, objects: Objects, *, recursive: bool = False) -> None:
    """Read a file, a directory, or `-`. In a directory, what is no manifest is skipped."""
    inputs = read_inputs(argument, recursive=recursive or args.recursive)
    _read(inputs, reading_options(args), objects, lenient=os.path.isdir(argument))  # noqa: PTH112 never raises


def _join(objects: Objects) -> None:
    """Keep one of objects that are given twice. What they decide may not differ."""
    second: set[int] = set()
    differ: list[Diagnostic] = []
    for first, other in twins(objects.found, ASKED):
        second.add(id(other))
        if encode(first, ASKED) != encode(other, ASKED):
            differ.append(twin_mistake(first, other, ASKED))
    objects.found[:] = [each for each in objects.found if id(each) not in second]
    if differ:
        more = f", and {len(differ) - 1} more like this" if len(differ) > 1 else ""
        first_of_all = min(differ)
        objects.diagnostics.append(
            replace(first_of_all, text=f"{first_of_all.text}, and they differ{more}. {ONE}")
        )


def print_warnings(asked: Asked, *, colored: bool) -> None:
    """Tell a person what is odd in what was read, and what was passed over."""
    terminal.print_diagnostics(asked.warnings, colored=colored)
    if asked.skipped:
        files = "file that is no manifest was" if asked.skipped == 1 else "files that are no manifests were"
        terminal.print_info(f"{asked.skipped} {files} skipped")


def _check(args: Namespace) -> None:
    sources = [bool(args.filename), args.live, args.git is not None, args.bundle is not None]
    if sum(sources) == 0:
        raise WrongUsage(
            "nothing to ask about: name files or directories with -f (- is standard input), "
            "or take --live, --git or --bundle"
        )
    if sum(sources) > 1:
        raise WrongUsage("one of -f, --live, --git and --bundle says what is asked about, not several")
    if [*args.filename, *args.overlay].count("-") > 1:
        raise WrongUsage("standard input can be read once: give `-` once")
    if not args.live and (args.kubeconfig or args.context or args.config):
        raise WrongUsage("--kubeconfig, --context and --config are for --live")


def _sources(args: Namespace) -> Iterator[tuple[Iterable[Input], bool]]:
    """Texts, and whether those that are no manifests are skipped."""
    if args.git is not None:
        yield read_revision(args.git), True
    if args.bundle is not None:
        yield read_bundle(args.bundle), False
    for path in args.filename:
        yield read_inputs(path, recursive=args.recursive), os.path.isdir(path)  # noqa: PTH112 never raises


def _read(inputs: Iterable[Input], options: ReadingOptions, objects: Objects, *, lenient: bool) -> None:
    for item in inputs:
        if not isinstance(item, Text):
            objects.diagnostics.append(item)
            continue
        found, said = load_manifest(item.content, item.name, options, ASKED)
        if lenient and is_no_manifest(item.content, said, found=len(found)):
            objects.skipped.append(item.name)
            continue
        objects.found.extend(found)
        objects.diagnostics.extend(said)
        if not found and not said and item.name == STDIN:
            objects.diagnostics.append(Diagnostic(printable(item.name), 0, 0, "warning", "holds no object"))


def _live(args: Namespace) -> Objects:
    # Here, as the offline commands know nothing of a Kubernetes client.
    from policyd.cli.live import load_live  # noqa: PLC0415

    loaded = load_live(args, ASKED, lenient=True)
    return Objects(list(loaded.state.objects()), list(loaded.warnings), only_namespace=loaded.only_namespace)
