"""What is open to whoever comes, and who is reached over several connections, as JSON. Pure."""

from __future__ import annotations

from policyd.ask.answers import API_VERSION, Json, endpoint_json, ports_json, reference_json
from policyd.ask.exposure import Exposed, Exposure
from policyd.ask.hops import Hops, Step
from policyd.ask.ports import only
from policyd.ask.published import Missing, Published


def exposure_json(found: Exposure) -> Json:
    """`kind: Exposure`."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Exposure",
        "endpoints": [endpoint_json(each) for each in found.endpoints],
        "exposed": [_exposed(each) for each in found.exposed],
        "isolated": list(found.isolated),
        "unselected": list(found.unselected),
        "published": [_published(each) for each in found.published if isinstance(each, Published)],
        "missing": [
            {"by": each.by, "service": each.service, "granted": each.granted}
            for each in found.published
            if isinstance(each, Missing)
        ],
    }


def _exposed(each: Exposed) -> Json:
    return {
        "endpoint": each.endpoint.id,
        "to": each.to,
        "allowed": ports_json(each.ports),
        "rules": [reference_json(rule) for rule in each.rules],
        "unruled": each.unruled,
    }


def _published(each: Published) -> Json:
    return {
        "by": each.by,
        "hosts": list(each.hosts),
        "service": each.service,
        "endpoint": each.endpoint.id,
        "ports": ports_json(only(each.packet)),
        "senders": list(each.senders),
        "outside": each.outside,
    }


def hops_json(found: Hops) -> Json:
    """`kind: Hops`."""
    return {
        "apiVersion": API_VERSION,
        "kind": "Hops",
        "endpoints": [endpoint_json(each) for each in found.endpoints],
        "from": list(found.senders),
        "most": found.most,
        "reached": [
            {"to": way[-1].receiver, "hops": len(way), "connections": [_step(step) for step in way]}
            for way in found.ways
        ],
        "unreached": list(found.unreached),
    }


def _step(step: Step) -> Json:
    return {"from": step.sender, "to": step.receiver, "allowed": ports_json(step.allowed)}
