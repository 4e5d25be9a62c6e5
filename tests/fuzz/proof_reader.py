"""Rulesets given to `policyd verify`: whatever is in them, a proof ends, and says what it found."""

from __future__ import annotations

import json
from pathlib import Path

from policyd.cli.rulesets import parse_ruleset
from policyd.cluster.state import ClusterState
from policyd.errors import BadInput
from policyd.manifests.load import load_manifest
from policyd.pipeline import build
from policyd.proof.prove import prove
from policyd_compiler.nft.printer import print_replace
from policyd_compiler.options import Options
from tests.fuzz.mutations import WORDS
from tests.fuzz.readers import LIST
from tests.fuzz.target import Target


def ruleset_reader(_directory: Path) -> Target:
    """A script of ours, damaged, against the policies of which it was made."""
    state = ClusterState.of(load_manifest(json.dumps(LIST).encode(), "f")[0])
    options = Options(pod_interfaces=("cni0", "veth*"))

    def read(text: bytes) -> str:
        try:
            found = parse_ruleset(text, "f", "policyd")
        except BadInput as error:
            [mistake] = error.diagnostics
            return mistake.text.partition(" (")[0]
        proof = prove(state, "n1", options, found.table)
        if proof.unprovable:
            return "unprovable"
        return f"{len(proof.differences)} differences"

    return Target("ruleset", read, (print_replace(build(state, "n1", options).table).encode(),), WORDS)
