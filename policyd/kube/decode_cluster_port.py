"""Raw protocols of a rule of a ClusterNetworkPolicy → objects. None: not understood (CNP-042)."""

from __future__ import annotations

from collections.abc import Mapping

from policyd.kube.objects import PolicyPort, PortName, Protocol, TierPort
from policyd.kube.ports import decode_number
from policyd.kube.reading import Path, Reading, kind_of
from policyd.kube.syntax import port_name_mistake

PROTOCOLS: Mapping[str, Protocol] = {"tcp": "TCP", "udp": "UDP", "sctp": "SCTP"}
KEYS = (*PROTOCOLS, "destinationNamedPort")
MOST = 25


def decode_tier_ports(
    rule: Mapping[str, object], path: Path, reading: Reading
) -> tuple[TierPort, ...] | None:
    """The `protocols` of a rule; None where it has none, which is every packet, and where not understood."""
    if "protocols" not in rule:
        return None
    here = (*path, "protocols")
    written = reading.items(rule["protocols"], here)
    if written is None:
        return None
    if not 1 <= len(written) <= MOST:
        reading.error(here, f"must have from 1 to {MOST} entries, not {len(written)}")
    read = [_decode_port(entry, (*here, index), reading) for index, entry in enumerate(written)]
    understood = tuple(port for port in read if port is not None)
    return understood if written and len(understood) == len(read) else None


def _decode_port(raw: object, path: Path, reading: Reading) -> TierPort | None:
    entry = reading.mapping(raw, path)
    if entry is None:
        return None
    known = reading.fields(entry, path, KEYS)
    given = [key for key in KEYS if key in entry]
    if len(given) != 1:
        reading.error(path, f"must have exactly one of {', '.join(KEYS)}")
        return None
    here = (*path, given[0])
    if given[0] == "destinationNamedPort":
        name = _decode_name(entry[given[0]], here, reading)
        return name if known else None
    port = _decode_numbers(entry[given[0]], PROTOCOLS[given[0]], here, reading)
    return port if known else None


def _decode_name(raw: object, path: Path, reading: Reading) -> PortName | None:
    """A name that no pod can have is taken by every server, and matches nothing (CNP-035)."""
    if not isinstance(raw, str):
        reading.error(path, f"must be a string, not {kind_of(raw)}")
        return None
    if reading.options.cnp_channel == "standard":
        reading.error(path, "named ports are not in the standard channel of the CRD")
    mistake = port_name_mistake(raw)
    if mistake is not None:
        reading.warn(path, f"no port has this name, so it matches nothing: {mistake}")
    return PortName(raw)


def _decode_numbers(raw: object, protocol: Protocol, path: Path, reading: Reading) -> PolicyPort | None:
    body = reading.mapping(raw, path)
    if body is None:
        return None
    known = reading.fields(body, path, ("destinationPort",))
    here = (*path, "destinationPort")
    if "destinationPort" not in body:
        # Prose takes this for every port; the CRD refuses it.
        reading.error(path, "destinationPort is required: every port is the range from 1 to 65535")
        return None
    port = reading.mapping(body["destinationPort"], here)
    if port is None:
        return None
    known = reading.fields(port, here, ("number", "range")) and known
    if len([key for key in ("number", "range") if key in port]) != 1:
        reading.error(here, "must have either number or range")
        return None
    if "number" in port:
        number = decode_number(port["number"], (*here, "number"), reading)
        return PolicyPort(protocol, number) if number is not None and known else None
    return _decode_range(port["range"], protocol, (*here, "range"), reading) if known else None


def _decode_range(raw: object, protocol: Protocol, path: Path, reading: Reading) -> PolicyPort | None:
    bounds = reading.mapping(raw, path)
    if bounds is None:
        return None
    known = reading.fields(bounds, path, ("start", "end"))
    start = decode_number(bounds.get("start"), (*path, "start"), reading)
    end = decode_number(bounds.get("end"), (*path, "end"), reading)
    if start is None or end is None:
        return None
    if start >= end:
        reading.error(path, f"start must be below end: {start} is not below {end}")
        return None
    return PolicyPort(protocol, start, end) if known else None
