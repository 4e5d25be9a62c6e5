"""The JSON schemas of what is said of a node: `policyd schema` prints them. Pure."""

from __future__ import annotations

from typing import Any, TypeAlias, get_args

from policyd.agent_api import AgentState
from policyd.ask.schemas import answer, record
from policyd.config import Settings
from policyd.doctor.node_lines import State

Json: TypeAlias = dict[str, Any]
_TEXT: Json = {"type": "string"}
_COUNT: Json = {"type": "integer"}


def status_schema() -> Json:
    """Of `policyd status -o json`."""
    agent = AgentState.model_json_schema(mode="serialization")
    definitions = agent.pop("$defs", {})
    texts = {"type": "array", "items": _TEXT}
    kernel = record(
        {
            "generation": _COUNT,
            "isolated": _COUNT,
            "addresses": texts,
            "foreign": {**texts, "description": "what somebody else wrote into the tables"},
            "bound": _COUNT,
            "at_ports": _COUNT,
            "names": _TEXT,
        }
    )
    remains = {
        "why": {**_TEXT, "description": "why no agent answers"},
        "holder": {**_TEXT, "description": "who is at work nevertheless; empty if nobody is"},
        "kernel": {"anyOf": [kernel, _TEXT, {"type": "null"}], "description": "a text: why it is not known"},
        "disk": {"type": ["integer", "string", "null"], "description": "the generation on disk"},
    }
    fields = {
        "enforcing": {
            "type": ["boolean", "null"],
            "description": "whether what is in force is what the objects say; null: not known",
        },
        "agent": {"anyOf": [agent, {"type": "null"}]},
    }
    return {**answer("NodeStatus", "policyd status -o json", fields, remains), "$defs": definitions}


def examination_schema() -> Json:
    """Of `policyd doctor -o json`."""
    line = record({"name": _TEXT, "state": {"enum": list(get_args(State))}, "text": _TEXT})
    return answer("Examination", "policyd doctor -o json", {"lines": {"type": "array", "items": line}})


def settings_schema() -> Json:
    """Of `policyd config -o json`."""
    settings = Settings.model_json_schema(mode="serialization")
    definitions = settings.pop("$defs", {})
    origins = {
        "type": "object",
        "additionalProperties": _TEXT,
        "description": "with --origin: where each value is from",
    }
    found = answer("Settings", "policyd config -o json", {"settings": settings}, {"origins": origins})
    return {**found, "$defs": definitions}
