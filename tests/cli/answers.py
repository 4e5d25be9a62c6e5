"""Answers of commands as JSON."""

from __future__ import annotations

import json
from typing import Any

from jsonschema import Draft202012Validator

from tests.cli.calls import Call


def answer(call: Call, *arguments: object, stdin: str = "", code: int = 0) -> Any:
    """What a command prints as JSON, which follows its published schema."""
    result = call(*arguments, "-o", "json", stdin=stdin)
    assert result.code == code, result.err
    found = json.loads(result.out)
    schema = json.loads(call("schema", found["kind"]).out)
    Draft202012Validator.check_schema(schema)
    Draft202012Validator(schema).validate(found)
    return found
