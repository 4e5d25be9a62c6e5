"""Raw protocols and port numbers, as they stand in policies and in containers."""

from __future__ import annotations

from policyd.kube.objects import Protocol
from policyd.kube.reading import Path, Reading, integer, kind_of
from policyd.kube.syntax import quote

PROTOCOLS: dict[str, Protocol] = {"TCP": "TCP", "UDP": "UDP", "SCTP": "SCTP"}


def decode_protocol(raw: object, path: Path, reading: Reading) -> Protocol | None:
    """A protocol; missing is TCP (NP-019). None, and a mistake, if it is no known one (NP-028)."""
    if raw is None:
        return "TCP"
    protocol = PROTOCOLS.get(raw) if isinstance(raw, str) else None
    if protocol is None:
        upper = raw.upper() if isinstance(raw, str) else ""
        hint = f"; did you mean {quote(upper)}?" if upper in PROTOCOLS else ""
        reading.error(path, f'must be "TCP", "UDP" or "SCTP", not {kind_of(raw)}{hint}')
    return protocol


def decode_number(raw: object, path: Path, reading: Reading) -> int | None:
    """A port number; None, and a mistake, if it is none (NP-028)."""
    number = integer(raw)
    if number is None or not 1 <= number <= 65535:
        reading.error(path, f"must be a port number from 1 to 65535, not {kind_of(raw)}")
        return None
    return number
