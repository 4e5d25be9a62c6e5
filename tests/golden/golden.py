"""Golden cases: manifests, the ruleset that they become, and verdicts written by hand.

A case is a folder of three files. `manifests.yaml` begins with the command that compiles it; `--stored`
there means objects as a server holds them, which it might not take today; `--attachments` names a file
next to it. `expected.nft` is printed by
`make golden` and read by reviewers. Nothing writes `verdicts.txt` but a person who read the specification.
"""

from __future__ import annotations

import argparse
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from policyd.cli.attachments_file import read_attachments
from policyd.cli.flags import add_compiler_flags, compiler_options
from policyd.cluster.attachments import UNKNOWN, Attachments
from policyd.cluster.state import ClusterState, MissingNamespaces
from policyd.manifests.load import load_manifest
from policyd.pipeline import build
from policyd_compiler.nft.ast import Table
from policyd_compiler.nft.printer import print_replace
from policyd_compiler.options import Options
from tests.oracle import Manifest
from tests.routes import state_of
from tests.worlds import Probe, resolve_probe

HERE = Path(__file__).parent
_COMMAND = "# policyd compile -f manifests.yaml "


@dataclass(frozen=True, slots=True)
class Row:
    """One verdict. With `guard` it is about interfaces, of which NetworkPolicy says nothing (decisions 4).

    `by` and `to` are ports of a bridge: there the table beside judges first.
    """

    line: int
    probe: Probe
    iifname: str
    oifname: str
    guard: bool
    by: str = ""
    to: str = ""


@dataclass(frozen=True, slots=True)
class Golden:
    """A case as it stands on disk."""

    folder: Path
    objects: list[Manifest]
    node: str
    options: Options
    stored: bool
    attachments: Attachments = UNKNOWN

    @property
    def expected(self) -> Path:
        """Name the file that holds the ruleset."""
        return self.folder / "expected.nft"

    def table(self, node: str) -> Table:
        """Compile the case for one of its nodes, as the command does."""
        return build(self.state(node), node, self.options).table

    def state(self, node: str) -> ClusterState:
        """Read the cluster as one of its nodes knows it."""
        if self.stored:
            return state_of(self.objects)
        manifests = self.folder / "manifests.yaml"
        loaded, diagnostics = load_manifest(manifests.read_bytes(), manifests.name)
        if mistakes := [str(d) for d in diagnostics if d.severity == "error"]:
            raise ValueError("\n".join(mistakes))
        state = ClusterState.of(loaded, MissingNamespaces.NAMED)
        if node == self.node:
            state = replace(state, attachments=self.attachments)
        return state

    def script(self) -> str:
        """Print the ruleset of the case's own node."""
        return print_replace(self.table(self.node))

    def rows(self) -> Iterator[Row]:
        """Read the verdicts, each in every family that both of its ends have."""
        text = (self.folder / "verdicts.txt").read_text()
        for number, line in enumerate(text.splitlines(), start=1):
            if line and not line.startswith("#"):
                try:
                    yield from self._row(number, line)
                except (KeyError, IndexError, ValueError) as error:
                    raise ValueError(f"{self.folder.name}/verdicts.txt:{number}: {error}: {line}") from error

    def _row(self, number: int, line: str) -> Iterator[Row]:
        source, arrow, destination, packet, *rest = line.split()
        end = next(at for at, word in enumerate(rest) if word in ("accept", "drop"))
        flags, reason = set(rest[:end]), rest[end + 1 :]
        if arrow != ">" or not reason:
            raise ValueError("no verdict with its reason")
        protocol, _, port = packet.partition("/")
        expect = "ALLOW" if rest[end] == "accept" else "DENY"
        probe: dict[str, Any] = {"src": source, "dst": destination, "proto": protocol, "expect": expect}
        probe |= {"port": int(port)} if port else {}
        if family := flags & {"v4", "v6"}:
            probe["family"] = int(family.pop()[1])
        probe |= {"hairpin": True} if "hairpin" in flags else {}
        interfaces = dict(flag.split("=") for flag in flags - {"v4", "v6", "hairpin"})
        if set(interfaces) - {"in", "out", "by", "to"}:
            raise ValueError("a flag that is none of v4, v6, hairpin, in=, out=, by=, to=")
        found = resolve_probe(self.objects, probe, (4, 6))
        if not found:
            raise ValueError("the two ends have no family in common")
        for one in found:
            yield Row(
                number,
                one,
                interfaces.get("in", ""),
                interfaces.get("out", ""),
                guard=reason[0] == "guard",
                by=interfaces.get("by", ""),
                to=interfaces.get("to", ""),
            )


def load(folder: Path) -> Golden:
    """Read a case."""
    text = (folder / "manifests.yaml").read_text()
    first = text.partition("\n")[0]
    if not first.startswith(_COMMAND):
        raise ValueError(f"{folder.name}/manifests.yaml must begin with {_COMMAND!r}")
    parser = argparse.ArgumentParser()
    parser.add_argument("--node", required=True)
    parser.add_argument("--stored", action="store_true")
    parser.add_argument("--attachments")
    add_compiler_flags(parser)
    chosen = parser.parse_args(shlex.split(first.removeprefix(_COMMAND)))
    objects = list(yaml.safe_load_all(text))
    attachments = read_attachments(str(folder / chosen.attachments)) if chosen.attachments else UNKNOWN
    return Golden(folder, objects, chosen.node, compiler_options(chosen), chosen.stored, attachments)


def cases() -> list[Golden]:
    """Read every case."""
    return [load(path.parent) for path in sorted(HERE.glob("*/manifests.yaml"))]
