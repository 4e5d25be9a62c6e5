"""Raw peers and selectors → objects. None means: not understood, so it matches nothing (NP-089)."""

from __future__ import annotations

from collections.abc import Mapping

from policyd.kube.cidr import Written, except_mistake, is_legacy_cidr, print_cidr, read_cidr
from policyd.kube.objects import IPBlock, LabelSelector, Operator, Peer, PodPeer, Requirement
from policyd.kube.reading import Mistake, Path, Reading, kind_of
from policyd.kube.syntax import did_you_mean, label_key_mistake, label_value_mistake, quote

PEER = ("podSelector", "namespaceSelector", "ipBlock")
IP_BLOCK = ("cidr", "except")
SELECTOR = ("matchLabels", "matchExpressions")
EXPRESSION = ("key", "operator", "values")
OPERATORS: dict[str, Operator] = {
    "In": "In",
    "NotIn": "NotIn",
    "Exists": "Exists",
    "DoesNotExist": "DoesNotExist",
}


def decode_peer(raw: object, path: Path, reading: Reading) -> Peer | None:
    """Decode one entry of `from` or `to`: selectors, or an ipBlock, never both and never neither (NP-043)."""
    entry = reading.mapping(raw, path)
    if entry is None:
        return None
    known = reading.fields(entry, path, PEER)
    given = [key for key in PEER if entry.get(key) is not None]
    if not given:
        reading.error(path, "must have a podSelector, a namespaceSelector or an ipBlock")
        return None
    block = entry.get("ipBlock")
    peer: Peer | None
    if block is None:
        peer = _decode_pod_peer(entry, path, reading)
    elif len(given) == 1:
        peer = _decode_ip_block(block, (*path, "ipBlock"), reading)
    else:
        reading.error(path, "must not have both an ipBlock and a selector; write two entries for either-or")
        peer = None
    return peer if known else None


def _decode_pod_peer(entry: Mapping[str, object], path: Path, reading: Reading) -> PodPeer | None:
    pods = decode_selector(entry.get("podSelector"), (*path, "podSelector"), reading)
    if entry.get("namespaceSelector") is None:  # the policy's own namespace (NP-036)
        return None if pods is None else PodPeer(None, pods)
    namespaces = decode_selector(entry["namespaceSelector"], (*path, "namespaceSelector"), reading)
    return None if pods is None or namespaces is None else PodPeer(namespaces, pods)


def _decode_ip_block(raw: object, path: Path, reading: Reading) -> IPBlock | None:
    """Decode an ipBlock. A bad cidr, or a bad except, leaves a block that matches nothing (NP-089)."""
    block = reading.mapping(raw, path)
    if block is None:
        return None
    known = reading.fields(block, path, IP_BLOCK)
    if block.get("cidr") in (None, ""):
        cidr = None
        reading.error((*path, "cidr"), "required, a CIDR block such as 10.0.0.0/8")
    else:
        cidr = _decode_cidr(block["cidr"], (*path, "cidr"), reading)
    written = reading.items(block.get("except"), (*path, "except"))
    excepts = [_decode_cidr(entry, (*path, "except", i), reading) for i, entry in enumerate(written or ())]
    for index, exception in enumerate(excepts):
        if cidr is not None and exception is not None:
            reading.error((*path, "except", index), except_mistake(cidr, exception))
    read = tuple(exception.cidr for exception in excepts if exception is not None)
    if cidr is None or written is None or len(read) < len(excepts) or not known:
        return IPBlock(None)
    return IPBlock(cidr.cidr, read)


def _decode_cidr(raw: object, path: Path, reading: Reading) -> Written | None:
    text = reading.text(raw, path)
    if text is None:
        return None
    try:
        written = read_cidr(text)
    except ValueError as error:
        reading.error(path, str(error))
        return None
    canonical = print_cidr(written.cidr)
    if text == canonical:
        return written
    if is_legacy_cidr(text):
        reason = f"write {canonical}, which it means: servers with StrictIPCIDRValidation refuse it"
        reading.mistakes.append(Mistake(path, f"{quote(text)}: {reason}", reading.options.legacy_cidrs))
    else:
        reading.warn(path, f"{quote(text)} is not the canonical spelling: write {canonical}")
    return written


def decode_selector(raw: object, path: Path, reading: Reading) -> LabelSelector | None:
    """Decode a label selector; missing, null and empty select everything (NP-002). None if not understood.

    A label value that is not legal is a mistake, but still evaluated literally (NP-045).
    """
    selector = reading.mapping(raw, path)
    if selector is None:
        return None
    known = reading.fields(selector, path, SELECTOR)
    labels = _decode_match_labels(selector.get("matchLabels"), (*path, "matchLabels"), reading)
    written = reading.items(selector.get("matchExpressions"), (*path, "matchExpressions"))
    expressions = [
        _decode_expression(entry, (*path, "matchExpressions", i), reading)
        for i, entry in enumerate(written or ())
    ]
    read = [requirement for requirement in expressions if requirement is not None]
    if not known or labels is None or written is None or len(read) < len(expressions):
        return None
    # Order and repetition mean nothing (L1); sorted, equal selectors are equal values.
    return LabelSelector(tuple(sorted({*labels, *read}, key=lambda r: (r.key, r.operator, r.values))))


def _decode_match_labels(raw: object, path: Path, reading: Reading) -> list[Requirement] | None:
    labels = reading.mapping(raw, path)
    if labels is None:
        return None
    out: list[Requirement] = []
    for key, value in labels.items():
        here = (*path, key)
        text = reading.text(value, here)
        if (mistake := label_key_mistake(key)) is not None:
            reading.mistakes.append(Mistake(here, mistake, at="key"))
        if text is not None:
            reading.error(here, label_value_mistake(text))
            out.append(Requirement(key, "In", (text,)))
    return out if len(out) == len(labels) else None


def _decode_expression(raw: object, path: Path, reading: Reading) -> Requirement | None:
    """Decode one of matchExpressions (NP-044)."""
    entry = reading.mapping(raw, path)
    if entry is None:
        return None
    known = reading.fields(entry, path, EXPRESSION)
    key = reading.text(entry.get("key"), (*path, "key"))
    if key is not None:
        reading.error((*path, "key"), label_key_mistake(key) if key else "required, the key of a label")
    operator = _decode_operator(entry.get("operator"), (*path, "operator"), reading)
    values = _decode_values(entry.get("values"), (*path, "values"), reading)
    if not known or not key or operator is None or values is None:
        return None
    if operator in ("In", "NotIn") and not values:
        reading.error((*path, "values"), f'required: the operator "{operator}" needs at least one value')
        return None
    if operator in ("Exists", "DoesNotExist") and values:
        reading.error((*path, "values"), f'not allowed with the operator "{operator}"')
        return None
    return Requirement(key, operator, tuple(sorted(set(values))))


def _decode_operator(raw: object, path: Path, reading: Reading) -> Operator | None:
    operator = OPERATORS.get(raw) if isinstance(raw, str) else None
    if operator is None:
        hint = did_you_mean(raw, OPERATORS) if isinstance(raw, str) else ""
        reading.error(path, f"must be In, NotIn, Exists or DoesNotExist, not {kind_of(raw)}{hint}")
    return operator


def _decode_values(raw: object, path: Path, reading: Reading) -> list[str] | None:
    written = reading.items(raw, path)
    if written is None:
        return None
    out: list[str] = []
    for index, entry in enumerate(written):
        text = reading.text(entry, (*path, index))
        if text is not None:
            reading.error((*path, index), label_value_mistake(text))
            out.append(text)
    return out if len(out) == len(written) else None
