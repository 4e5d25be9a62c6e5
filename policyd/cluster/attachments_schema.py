"""The JSON schema of attachments: `policyd schema attachments` prints it."""

from __future__ import annotations

from policyd_compiler.ir_json import Json

_NAME: dict[str, Json] = {
    "type": "string",
    "pattern": r"^(?!(\.|\.\.|lo)$)[A-Za-z0-9_.@-]{1,15}$",
    "description": "of an interface",
}


def schema() -> dict[str, Json]:
    """The JSON Schema (2020-12) of what `attachments_json` gives."""
    pod: Json = {
        "type": "object",
        "properties": {
            "interface": {**_NAME, "description": "the node's end of the pod's link"},
            "bridge": {
                "anyOf": [_NAME, {"const": ""}, {"type": "null"}],
                "description": "whose port it is; empty where packets are routed",
            },
            "mac": {
                "anyOf": [
                    {"type": "string", "pattern": "^[0-9A-Fa-f]{2}(:[0-9A-Fa-f]{2}){5}$"},
                    {"type": "null"},
                ],
                "description": "the hardware address of the pod's end, if it is known",
            },
        },
        "required": ["interface"],
        "additionalProperties": False,
    }
    port: Json = {"type": "integer", "minimum": 1, "maximum": 65535}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "By which interface each pod of a node is attached to it: policyd compile --attachments",
        "type": "object",
        "properties": {
            "pods": {
                "type": "object",
                "additionalProperties": pod,
                "description": "by namespace/name",
            },
            "bridges": _names("bridges that lead to pods, and whose ports are guarded"),
            "ports": _names("ports of these bridges that lead to pods, or may"),
            "others": _names("ports of any bridge that lead to no pod"),
            "tunnels": {
                "type": "array",
                "items": port,
                "description": "UDP ports of this node's own tunnels",
            },
            "shared": _names("bridges by which pods of other nodes are reached, too"),
        },
        "additionalProperties": False,
    }


def _names(description: str) -> Json:
    return {"type": "array", "items": _NAME, "description": description}
