"""The JSON schemas of answers: `policyd schema KIND` prints them. Pure."""

from __future__ import annotations

from typing import Any, TypeAlias

from policyd.ask.answers import API_VERSION
from policyd.ask.endpoints import SHORT
from policyd.ask.exposure import TO

Json: TypeAlias = dict[str, Any]

_TEXT: Json = {"type": "string"}
_TEXTS: Json = {"type": "array", "items": _TEXT}
_NUMBERS: Json = {
    "type": "string",
    "pattern": "^[0-9]+(-[0-9]+)?(,[0-9]+(-[0-9]+)?)*$",
    "description": "numbers and inclusive ranges, sorted",
}
#: Protocols and ports. What is not named is not in it.
PORTS: Json = {
    "type": "object",
    "properties": {
        "TCP": _NUMBERS,
        "UDP": _NUMBERS,
        "SCTP": _NUMBERS,
        "other": {"const": True, "description": "every other protocol, ICMP included"},
    },
    "additionalProperties": False,
}


def record(required: Json, optional: Json | None = None) -> Json:
    """An object with these fields. Later versions may have more."""
    return {"type": "object", "properties": {**required, **(optional or {})}, "required": list(required)}


ENDPOINT: Json = record(
    {
        "id": {**_TEXT, "description": f"NAMESPACE/KIND/NAME, with KIND one of {', '.join(SHORT.values())}"},
        "namespace": _TEXT,
        "kind": {"enum": list(SHORT)},
        "name": _TEXT,
        "labels": {"type": "object", "additionalProperties": _TEXT, "description": "that policies see"},
        "pods": {**_TEXTS, "description": "NAMESPACE/NAME of its Pod objects"},
        "addresses": {**_TEXTS, "description": "of these pods"},
    }
)
ADDRESS: Json = record(
    {"address": {"type": ["string", "null"], "description": "null: any address outside"}},
    {"node": {**_TEXT, "description": "the node whose address it is"}},
)
REFERENCE: Json = {
    "policy": {**_TEXT, "description": "NAMESPACE/NAME"},
    "rule": {**_TEXT, "description": "as ingress[0]"},
    "peer": {"type": ["string", "null"], "description": "as ingress[0].from[1]"},
    "file": {"type": ["string", "null"]},
    "line": {"type": ["integer", "null"], "minimum": 1},
}


def reachability_schema() -> Json:
    """Of `policyd reach -o json`."""
    ends = {"from": _TEXT, "to": _TEXT}
    connection = record(
        {**ends, "allowed": PORTS},
        {"unknown": PORTS, "because": _TEXTS, "family": {"enum": [4, 6]}},
    )
    outside = record({**ends, "cidr": _TEXT, "except": _TEXTS, "allowed": PORTS})
    return answer(
        "Reachability",
        "Who can talk to whom: policyd reach -o json",
        {
            "endpoints": {"type": "array", "items": ENDPOINT},
            "connections": {
                "type": "array",
                "items": connection,
                "description": "pairs of which anything is allowed or unknown; what is not here is denied",
            },
            "outside": {
                "type": "array",
                "items": outside,
                "description": "addresses that no pod and no node has; one end is called outside",
            },
        },
    )


def exposure_schema() -> Json:
    """Of `policyd reach --open -o json`."""
    exposed = record(
        {
            "endpoint": _TEXT,
            "to": {"enum": list(TO), "description": "; ".join(f"{to}: {what}" for to, what in TO.items())},
            "allowed": PORTS,
            "rules": {
                "type": "array",
                "items": record(REFERENCE),
                "description": "that open it; none where no policy isolates the endpoint",
            },
            "unruled": {"type": "boolean", "description": "some of it is open without a rule"},
        }
    )
    published = record(
        {
            "by": {**_TEXT, "description": "as Ingress shop/front"},
            "hosts": _TEXTS,
            "service": {**_TEXT, "description": "as svc/shop/web:80"},
            "endpoint": _TEXT,
            "ports": {**PORTS, "description": "of the pods, to which the Service leads"},
            "senders": {**_TEXTS, "description": "endpoints of other namespaces that may use it"},
            "outside": {"type": "boolean", "description": "some address outside may use it"},
        }
    )
    missing = record(
        {
            "by": _TEXT,
            "service": {**_TEXT, "description": "that is not among the objects"},
            "granted": {"type": "boolean", "description": "false: no ReferenceGrant lets it lead there"},
        }
    )
    return answer(
        "Exposure",
        "What is open to whoever comes: policyd reach --open -o json",
        {
            "endpoints": {"type": "array", "items": ENDPOINT},
            "exposed": {"type": "array", "items": exposed},
            "isolated": {**_TEXTS, "description": "endpoints that are isolated in both directions"},
            "unselected": {**_TEXTS, "description": "endpoints that no policy selects"},
            "published": {"type": "array", "items": published},
            "missing": {"type": "array", "items": missing},
        },
    )


def hops_schema() -> Json:
    """Of `policyd reach --hops N -o json`."""
    connection = record({"from": _TEXT, "to": _TEXT, "allowed": PORTS})
    reached = record(
        {
            "to": _TEXT,
            "hops": {"type": "integer", "minimum": 1},
            "connections": {"type": "array", "items": connection, "description": "a shortest way, in order"},
        }
    )
    return answer(
        "Hops",
        "Who is reached over several connections: policyd reach --hops N -o json",
        {
            "endpoints": {"type": "array", "items": ENDPOINT},
            "from": _TEXTS,
            "most": {"type": "integer", "minimum": 1},
            "reached": {"type": "array", "items": reached, "description": "the nearest first"},
            "unreached": {**_TEXTS, "description": "all other endpoints"},
        },
    )


def verdict_schema() -> Json:
    """Of `policyd why -o json`."""
    side = record(
        {
            "verdict": {"enum": ["open", "allowed", "denied", "unknown"]},
            "isolatedBy": {**_TEXTS, "description": "all policies that isolate this end in this direction"},
            "rules": {
                "type": "array",
                "items": record(REFERENCE),
                "description": "all that allow it: any one of them is enough",
            },
            "near": {
                "type": "array",
                "items": record({**REFERENCE, "because": _TEXT}),
                "maxItems": 10,
                "description": "rules that do not allow it, the nearest first",
            },
        },
        {"because": {**_TEXTS, "description": "what it depends on, or what allows it beside rules"}},
    )
    end = {"anyOf": [ENDPOINT, ADDRESS]}
    return answer(
        "Verdict",
        "Why a connection is allowed or denied: policyd why -o json",
        optional={
            "packets": {
                "type": "array",
                "items": _packet_schema(),
                "description": "with --packets: its walks",
            },
            "notWalked": {**_TEXTS, "description": "with --packets: what has no walk, and why"},
        },
        fields={
            "from": end,
            "to": end,
            "protocol": {"enum": ["TCP", "UDP", "SCTP", "other"]},
            "port": {"type": ["integer", "null"], "minimum": 1, "maximum": 65535},
            "verdict": {"enum": ["allowed", "denied", "unknown"]},
            "egress": side,
            "ingress": side,
        },
    )


def _packet_schema() -> Json:
    look = record({"in": _TEXT, "key": _TEXT, "found": {"type": ["string", "null"]}})
    step = record(
        {
            "chain": _TEXT,
            "rule": _TEXT,
            "looks": {"type": "array", "items": look, "description": "null: not in it; member: of a set"},
            "verdict": {"type": ["string", "null"], "description": "null: the rule did not match"},
        }
    )
    verdict = ["accept", "drop"]
    return record(
        {
            "node": _TEXT,
            "hook": {"enum": ["forward", "input", "output"]},
            "source": _TEXT,
            "destination": _TEXT,
            "verdict": {"enum": verdict, "description": "of the ruleset"},
            "policies": {
                "enum": [*verdict, None],
                "description": "the same of the policies; null: not known",
            },
            "lookups": {"type": "integer"},
            "steps": {"type": "array", "items": step},
        }
    )


def answer(kind: str, title: str, fields: Json, optional: Json | None = None) -> Json:
    """Of the answer of a command: of which kind it is, and these fields."""
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": title,
        **record({"apiVersion": {"const": API_VERSION}, "kind": {"const": kind}, **fields}, optional),
    }


def difference_schema() -> Json:
    """Of `policyd diff -o json`."""
    sides = {"enum": ["both", "old", "new"]}
    rule = record({"side": {"enum": ["old", "new"]}, **REFERENCE})
    change = record(
        {"from": _TEXT, "to": _TEXT, "allowed": PORTS, "rules": {"type": "array", "items": rule}},
        {"family": {"enum": [4, 6]}},
    )
    outside = record({"from": _TEXT, "to": _TEXT, "cidr": _TEXT, "except": _TEXTS, "allowed": PORTS})
    isolation = record(
        {"endpoint": _TEXT, "direction": {"enum": ["ingress", "egress"]}, "old": _TEXTS, "new": _TEXTS}
    )
    endpoint = record({**ENDPOINT["properties"], "side": sides})
    return answer(
        "Difference",
        "What opens and what closes: policyd diff -o json",
        {
            "endpoints": {
                "type": "array",
                "items": {**endpoint, "required": [*ENDPOINT["required"], "side"]},
            },
            "opened": {"type": "array", "items": change},
            "closed": {"type": "array", "items": change},
            "outside": record({name: {"type": "array", "items": outside} for name in ("opened", "closed")}),
            "isolation": {"type": "array", "items": isolation},
        },
        optional={
            "cost": {"type": "array", "items": _cost_schema(), "description": "with --cost"},
            "flows": {**_flows_schema(), "description": "with --flows: live connections"},
        },
    )


def _cost_schema() -> Json:
    size = record({name: {"type": "integer"} for name in ("chains", "rules", "elements")})
    return record(
        {
            "node": _TEXT,
            "way": {"enum": ["nothing", "elements", "swap"], "description": "elements: changed in place"},
            **dict.fromkeys(("old", "new", "added", "removed"), size),
            "milliseconds": {"type": "number", "description": "an estimate"},
        }
    )


def _flows_schema() -> Json:
    count: Json = {"type": "integer"}
    kind = record(
        {
            "from": _TEXT,
            "to": _TEXT,
            "protocol": _TEXT,
            "port": {"type": ["integer", "null"]},
            "connections": count,
        }
    )
    return record(
        {
            "read": count,
            "judged": {**count, "description": "with a pod of these objects at an end"},
            "deniedBefore": count,
            "cut": {"type": "array", "items": kind},
        }
    )


def test_report_schema() -> Json:
    """Of `policyd test -o json`."""
    verdict = verdict_schema()
    asked = [name for name in verdict["required"] if name not in ("apiVersion", "kind")]
    wrong = record({name: verdict["properties"][name] for name in asked})
    result = record(
        {
            "name": _TEXT,
            "file": {"type": ["string", "null"]},
            "line": {"type": ["integer", "null"]},
            "expected": {"enum": ["allowed", "denied"]},
            "passed": {"type": "boolean"},
            "judged": {"type": "integer", "description": "connections"},
            "mistake": {"type": ["string", "null"], "description": "why it could not be judged"},
            "wrong": {"type": "array", "items": wrong, "description": "connections, as policyd why says"},
        }
    )
    return answer(
        "TestReport",
        "Which assertions hold: policyd test -o json",
        {
            "results": {"type": "array", "items": result},
            "summary": record({"passed": {"type": "integer"}, "failed": {"type": "integer"}}),
        },
    )
