"""`policyd schema`: the JSON schema of an output or an input, for who handles it with a program."""

from __future__ import annotations

import json
from argparse import Namespace

from policyd.ask import schemas
from policyd.cli import terminal
from policyd.cli.parsing import Subparsers, add_command
from policyd.cluster import attachments_schema
from policyd.lint import as_json
from policyd.proof import as_json as proof_schema
from policyd_compiler import ir_json

SCHEMAS = {
    "ir": "what `policyd compile -o ir` prints",
    "attachments": "what `policyd compile --attachments` reads",
    "config": "the settings file of `policyd run`",
    "Findings": "what `policyd lint -o json` prints",
    "Reachability": "what `policyd reach -o json` prints",
    "Verdict": "what `policyd why -o json` prints",
    "Difference": "what `policyd diff -o json` prints",
    "TestReport": "what `policyd test -o json` prints",
    "Proof": "what `policyd verify -o json` prints",
}


def add_parser(subparsers: Subparsers) -> None:
    """Add the parser of the command."""
    parser = add_command(
        subparsers,
        "schema",
        "Print the JSON schema (2020-12) of what policyd prints or reads.",
        "policyd schema ir > ir.schema.json",
        usage=f"{{{','.join(SCHEMAS)}}}",
    )
    parser.add_argument(
        "of",
        metavar="SCHEMA",
        choices=tuple(SCHEMAS),
        help="; ".join(f"{k}: {v}" for k, v in SCHEMAS.items()),
    )


def main(args: Namespace) -> int:
    """Print the schema."""
    terminal.write(json.dumps(_schema(args.of), indent=2) + "\n")
    return 0


def _schema(of: str) -> object:
    if of == "ir":
        return ir_json.schema()
    if of == "attachments":
        return attachments_schema.schema()
    if of == "Findings":
        return as_json.schema()
    if of == "Reachability":
        return schemas.reachability_schema()
    if of == "Verdict":
        return schemas.verdict_schema()
    if of == "Difference":
        return schemas.difference_schema()
    if of == "TestReport":
        return schemas.test_report_schema()
    if of == "Proof":
        return proof_schema.schema()
    from policyd.config import Settings  # noqa: PLC0415 (pydantic: 0.1 s that the other one need not wait)

    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **Settings.model_json_schema()}
