"""A proof as JSON, and the schema of it."""

from __future__ import annotations

from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address
from typing import Final

from policyd.proof.result import Difference, Proof
from policyd_compiler.nft.packet import Packet

API_VERSION: Final = "policyd/v1"
KIND: Final = "Proof"
#: Where a ruleset is read.
SOURCES: Final = ("compiled", "file", "kernel", "bundle")
HOOKS: Final = ("forward", "input", "output", "prerouting")


def proof_json(proof: Proof, source: str) -> dict[str, object]:
    """The proof as JSON has it; the same proof gives the same."""
    return {
        "apiVersion": API_VERSION,
        "kind": KIND,
        "node": proof.node,
        "table": proof.table,
        "ruleset": source,
        "proved": proof.proved,
        "pods": proof.endpoints,
        "chains": proof.chains,
        "toldApart": proof.apart,
        "differences": [_difference(each) for each in proof.differences],
        "unprovable": list(proof.unprovable),
        "notCovered": list(proof.not_covered),
    }


def _difference(found: Difference) -> dict[str, object]:
    return {
        "packet": _packet(found.packet),
        "from": found.sender,
        "to": found.receiver,
        "policies": {
            "verdict": found.policies,
            "why": found.why,
            "file": found.file or None,
            "line": found.line or None,
        },
        "ruleset": {
            "verdict": found.ruleset,
            "table": found.family,
            "chain": found.chain or None,
            "rule": found.rule or None,
            "text": found.text or None,
        },
    }


def _packet(packet: Packet) -> dict[str, object]:
    address = IPv4Address if packet.family == 4 else IPv6Address
    return {
        "family": packet.family,
        "source": str(address(packet.saddr)),
        "destination": str(address(packet.daddr)),
        "protocol": packet.protocol_number,
        "port": packet.dport,
        "sourcePort": packet.sport,
        "hook": packet.hook,
        "fromInterface": packet.iifname or None,
        "toInterface": packet.oifname or None,
        "state": packet.ct_state,
        "throughService": packet.dnat,
        "nodeAddressAsSource": packet.fib_local,
        "opensConnection": packet.tcp_syn,
        "icmpType": packet.icmp_type,
        "hopLimit": packet.hop_limit,
        "etherType": packet.network_type,
        "tagged": packet.vlan is not None,
    }


def schema() -> dict[str, object]:
    """The JSON schema (2020-12) of what `policyd verify -o json` prints."""
    text, count, flag = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
    differences = {"type": "array", "items": _difference_schema()}
    sentences = {"type": "array", "items": text}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "What policyd verify proves of a node's ruleset",
        **_object(
            {
                "apiVersion": {"const": API_VERSION},
                "kind": {"const": KIND},
                "node": text,
                "table": text,
                "ruleset": {"enum": list(SOURCES)},
                "proved": flag,
                "pods": count,
                "chains": count,
                "toldApart": count,
                "differences": differences,
                "unprovable": sentences,
                "notCovered": sentences,
            }
        ),
    }


def _difference_schema() -> dict[str, object]:
    text, count, flag = {"type": "string"}, {"type": "integer", "minimum": 0}, {"type": "boolean"}
    number, words = {"type": ["integer", "null"]}, {"type": ["string", "null"]}
    verdict = {"enum": ["allow", "drop"]}
    packet = _object(
        {
            "family": {"enum": [4, 6]},
            "source": text,
            "destination": text,
            "protocol": count,
            "port": number,
            "sourcePort": number,
            "hook": {"enum": list(HOOKS)},
            "fromInterface": words,
            "toInterface": words,
            "state": {"enum": ["established", "related", "new", "invalid", "untracked"]},
            "throughService": flag,
            "nodeAddressAsSource": flag,
            "opensConnection": flag,
            "icmpType": number,
            "hopLimit": count,
            "etherType": count,
            "tagged": flag,
        }
    )
    policies = _object({"verdict": verdict, "why": text, "file": words, "line": number})
    ruleset = _object(
        {
            "verdict": verdict,
            "table": {"enum": ["inet", "bridge"]},
            "chain": words,
            "rule": number,
            "text": words,
        }
    )
    return _object({"packet": packet, "from": text, "to": text, "policies": policies, "ruleset": ruleset})


def _object(properties: Mapping[str, object]) -> dict[str, object]:
    return {
        "type": "object",
        "properties": dict(properties),
        "required": list(properties),
        "additionalProperties": False,
    }
