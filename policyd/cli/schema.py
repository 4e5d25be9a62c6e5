"""`policyd schema`: the JSON schema of an output or an input, for who handles it with a program."""

from __future__ import annotations

import json
from argparse import Namespace
from collections.abc import Callable

from policyd.ask import schemas
from policyd.cli import terminal
from policyd.cli.parsing import Subparsers, add_command
from policyd.cluster import attachments_schema
from policyd.lint import as_json
from policyd.proof import as_json as proof_schema
from policyd_compiler import ir_json


def _config() -> object:
    from policyd.config import Settings  # noqa: PLC0415 (pydantic: 0.1 s that the others need not wait)

    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Settings.model_json_schema()}


def _of_node(name: str) -> Callable[[], object]:
    def schema() -> object:
        from policyd.doctor import schemas as of_node  # noqa: PLC0415 (pydantic, as above)

        made: Callable[[], object] = getattr(of_node, name)
        return made()

    return schema


#: Name → what it is the schema of, and what makes it.
SCHEMAS: dict[str, tuple[str, Callable[[], object]]] = {
    "ir": ("what `policyd compile -o ir` prints", ir_json.schema),
    "attachments": ("what `policyd compile --attachments` reads", attachments_schema.schema),
    "config": ("the settings file of `policyd run`", _config),
    "Findings": ("what `policyd lint -o json` prints", as_json.schema),
    "Reachability": ("what `policyd reach -o json` prints", schemas.reachability_schema),
    "Exposure": ("what `policyd reach --open -o json` prints", schemas.exposure_schema),
    "Hops": ("what `policyd reach --hops N -o json` prints", schemas.hops_schema),
    "Verdict": ("what `policyd why -o json` prints", schemas.verdict_schema),
    "Difference": ("what `policyd diff -o json` prints", schemas.difference_schema),
    "TestReport": ("what `policyd test -o json` prints", schemas.test_report_schema),
    "NodeStatus": ("what `policyd status -o json` prints", _of_node("status_schema")),
    "Examination": ("what `policyd doctor -o json` prints", _of_node("examination_schema")),
    "Settings": ("what `policyd config -o json` prints", _of_node("settings_schema")),
    "Proof": ("what `policyd verify -o json` prints", proof_schema.schema),
}


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of the command."""
    parser = add_command(
        subparsers,
        "schema",
        "Print the JSON schema (2020-12) of what policyd prints or reads.",
        "policyd schema ir > ir.schema.json",
        usage="SCHEMA",
    )
    parser.add_argument(
        "of",
        metavar="SCHEMA",
        choices=tuple(SCHEMAS),
        help="; ".join(f"{name}: {what}" for name, (what, _) in SCHEMAS.items()),
    )


def main(args: Namespace) -> int:
    """Print the schema."""
    _, schema = SCHEMAS[args.of]
    terminal.write(json.dumps(schema(), indent=2) + "\n")
    return 0
