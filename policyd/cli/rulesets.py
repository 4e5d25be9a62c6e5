"""Rulesets to prove: as somebody wrote them, as the kernel has them, or as a support bundle holds them."""

from __future__ import annotations

import gzip
import io
import json
import tarfile
import zlib
from argparse import Namespace
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace

from policyd.cli.inputs import STDIN, Text, read_inputs
from policyd.cli.loaded import LoadedCluster
from policyd.cluster.attachments import load_attachments
from policyd.cluster.state import ClusterState, MissingNamespaces
from policyd.errors import BadInput, Diagnostic
from policyd.kube.syntax import printable
from policyd.manifests.load import load_manifest, size_mistake
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.json_parser import ForeignContent, parse_listing
from policyd_compiler.nft.parser import ParseError, parse_replace
from policyd_compiler.options import Options

#: More than any bundle of ours holds, unpacked.
_MOST_BYTES = 1 << 30
_JSON = ("{", "[")


@dataclass(frozen=True, slots=True)
class Found:
    """A ruleset as it was read: None where there is none. `foreign`: what policyd did not write in it."""

    table: Table | None
    foreign: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Bundled:
    """What a support bundle holds: a cluster, a ruleset, and the policies that were quarantined."""

    loaded: LoadedCluster
    found: Found
    closed: frozenset[str]


def read_ruleset(argument: str, name: str) -> Found:
    """A ruleset that a file holds: a script of ours, or what `nft -j list table` prints. Raises BadInput."""
    [item] = read_inputs(argument, recursive=False)
    match item:
        case Text(_, content):
            file = STDIN if argument == "-" else printable(argument)
            return parse_ruleset(content, file, name)
        case _:
            raise BadInput((item,))


def parse_ruleset(content: bytes, file: str, name: str) -> Found:
    """The table of this name in a text. Raises BadInput."""
    try:
        text = content.decode()
    except UnicodeDecodeError:
        raise _mistake(
            file, "not UTF-8: a script of policyd's, or `nft -j list ruleset`, is expected"
        ) from None
    if text.lstrip().startswith(_JSON):
        return _listing(text, file, name)
    try:
        return Found(parse_replace(text))
    except ParseError as error:
        hint = "give what `policyd compile` prints, or the ruleset as `nft -j list table inet NAME` has it"
        raise _mistake(file, f"not a script of policyd's ({printable(str(error))}): {hint}") from None


def _listing(text: str, file: str, name: str) -> Found:
    foreign: list[str] = []
    tables: list[Table | None] = []
    try:
        for family in ("inet", "bridge"):
            try:
                tables.append(parse_listing(text, name, "inet" if family == "inet" else "bridge"))
            except ForeignContent as error:
                tables.append(Table(name))
                foreign.extend(error.things)
    except ValueError as error:
        raise _mistake(file, printable(str(error))) from None
    inet, bridge = tables
    if inet is None and bridge is None:
        raise _mistake(file, f"there is no table inet {name} in it; --table names another")
    return Found(replace(inet or Table(name), bridge=bridge), tuple(foreign))


def read_bundle(argument: str, args: Namespace, options: Options) -> Bundled:
    """What `policyd support-bundle` wrote. Flags count more than what the agent said. Raises BadInput."""
    [item] = read_inputs(argument, recursive=False)
    if not isinstance(item, Text):
        raise BadInput((item,))
    file = printable(argument)
    files = _unpacked(item.content, file)
    if "objects.json" not in files:
        raise _mistake(file, "no bundle of `policyd support-bundle`: it holds no objects.json")
    said = _settings(files, file)
    objects, diagnostics = load_manifest(files["objects.json"], f"{file}/objects.json")
    if any(each.severity == "error" for each in diagnostics):
        raise BadInput(tuple(diagnostics))
    missing = MissingNamespaces.NAMED if said.get("manifests") else MissingNamespaces.UNKNOWN
    state = ClusterState.of(objects, missing)
    if "attachments.json" in files:
        attachments = load_attachments(files["attachments.json"], f"{file}/attachments.json")
        state = replace(state, attachments=attachments)
    chosen = _options(said, args, options, file)
    node = args.node or str(said.get("node") or "") or None
    loaded = LoadedCluster(state, tuple(diagnostics), chosen, node)
    held = next((name for name in ("kernel.json", "ruleset.nft") if name in files), None)
    if held is None:
        raise _mistake(file, "it holds neither kernel.json nor ruleset.nft: there is nothing to prove")
    found = parse_ruleset(files[held], f"{file}/{held}", chosen.table)
    return Bundled(loaded, found, _quarantined(files))


def _unpacked(content: bytes, file: str) -> Mapping[str, bytes]:
    """The files of an archive by their last names; nothing is written anywhere. Raises BadInput."""
    found: dict[str, bytes] = {}
    try:
        with gzip.open(io.BytesIO(content)) as compressed:
            plain = compressed.read(_MOST_BYTES + 1)
        if len(plain) > _MOST_BYTES:
            raise _mistake(file, f"more than {_MOST_BYTES >> 20} MiB when unpacked")
        with tarfile.open(fileobj=io.BytesIO(plain), mode="r:") as archive:
            for member in archive:
                stream = archive.extractfile(member) if member.isfile() else None
                if stream is not None:
                    found[member.name.rpartition("/")[2]] = stream.read()
    except (OSError, EOFError, zlib.error, tarfile.TarError, ValueError) as error:
        raise _mistake(file, f"no archive of `policyd support-bundle`: {printable(str(error))}") from None
    for name, text in found.items():
        if name.endswith(".json") and (mistake := size_mistake(text[:8], len(text))) is not None:
            raise _mistake(f"{file}/{name}", mistake)
    return found


def _state(files: Mapping[str, bytes]) -> Mapping[str, object]:
    try:
        found = json.loads(files.get("state.json", b"{}"))
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _settings(files: Mapping[str, bytes], file: str) -> Mapping[str, object]:
    """The settings of the agent, if it answered."""
    said = _state(files).get("settings", {})
    if not isinstance(said, dict):
        raise _mistake(f"{file}/state.json", "settings: an object is expected")
    return said


def _quarantined(files: Mapping[str, bytes]) -> frozenset[str]:
    found = _state(files).get("quarantined", {})
    return frozenset(map(str, found)) if isinstance(found, dict) else frozenset()


def _options(said: Mapping[str, object], args: Namespace, options: Options, file: str) -> Options:
    """What the agent compiled with, but for what a flag says."""
    from policyd.config import Settings  # noqa: PLC0415 (pydantic: only a bundle has settings to check)

    names = [option.name for option in fields(Options)]
    given = {name: getattr(options, name) for name in names if getattr(args, name) is not None}
    theirs = {name: said[name] for name in names if name in said and name not in given}
    try:
        settings = Settings.model_validate({**theirs, **given})
    except ValueError as error:
        reason = printable(str(error).splitlines()[-1].strip())
        raise _mistake(f"{file}/state.json", f"settings: {reason}") from None
    return settings.options()


def _mistake(file: str, text: str) -> BadInput:
    return BadInput((Diagnostic(file, 0, 0, "error", text),))
