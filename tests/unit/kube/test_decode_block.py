"""ipBlocks (semantics 1.5): what a block means, and what is said about its spelling."""

from __future__ import annotations

import pytest

from policyd.kube.cidr import parse_cidr
from policyd.kube.decode import decode_live, decode_manifest
from policyd.kube.objects import IPBlock, NetworkPolicy
from policyd.kube.reading import ReadingOptions
from tests.cases.form import block, ingress

# (rule, cidr, excepts, canonical cidr, canonical excepts, what is said of the spelling)
BLOCKS: list[tuple[str, str, tuple[str, ...], str, tuple[str, ...], tuple[str, ...]]] = [
    ("NP-070", "0.0.0.0/0", (), "0.0.0.0/0", (), ()),
    ("NP-071", "::/0", (), "::/0", (), ()),
    ("NP-072", "0.0.0.0/0", ("10.0.0.0/8",), "0.0.0.0/0", ("10.0.0.0/8",), ()),
    (
        "NP-075",
        "10.0.0.0/31",
        ("10.0.0.0/32", "10.0.0.1/32"),
        "10.0.0.0/31",
        ("10.0.0.0/32", "10.0.0.1/32"),
        (),
    ),
    (
        "NP-076",
        "10.0.0.0/8",
        ("10.1.0.0/16", "10.1.0.0/16", "10.1.1.0/24"),
        "10.0.0.0/8",
        ("10.1.0.0/16", "10.1.0.0/16", "10.1.1.0/24"),
        (),
    ),
    ("NP-077 host bits", "10.0.0.1/8", (), "10.0.0.0/8", (), ("10.0.0.0/8, which it means",)),
    ("NP-077 zeros", "010.0.0.0/08", (), "10.0.0.0/8", (), ("10.0.0.0/8, which it means",)),
    ("NP-077 mapped", "::ffff:10.0.0.0/104", (), "10.0.0.0/8", (), ("10.0.0.0/8, which it means",)),
    (
        "NP-077 in an except",
        "10.0.0.0/8",
        ("10.1.2.3/16",),
        "10.0.0.0/8",
        ("10.1.0.0/16",),
        ("10.1.0.0/16, which it means",),
    ),
    ("NP-078", "::ffff:0:0/96", (), "0.0.0.0/0", (), ("0.0.0.0/0, which it means",)),
    ("NP-078 IPv6", "::ffff:0:0/90", (), "::ffc0:0:0/90", (), ("::ffc0:0:0/90, which it means",)),
    (
        "NP-079",
        "10.0.0.0/24",
        ("::ffff:10.0.0.0/104",),
        "10.0.0.0/24",
        ("10.0.0.0/8",),
        ("10.0.0.0/8, which it means",),
    ),
    ("NP-080", "fd00::/8", ("fd00:1::/32",), "fd00::/8", ("fd00:1::/32",), ()),
    ("NP-081", "FD00:0:0::/8", (), "fd00::/8", (), ("is not the canonical spelling: write fd00::/8",)),
]


@pytest.mark.parametrize(
    ("rule", "cidr", "excepts", "canonical", "holes", "said"), BLOCKS, ids=[row[0] for row in BLOCKS]
)
def test_a_block(
    rule: str,
    cidr: str,
    excepts: tuple[str, ...],
    canonical: str,
    holes: tuple[str, ...],
    said: tuple[str, ...],
) -> None:
    raw = ingress("x", "a", {"from": [block(cidr, *excepts)]})
    decoded = decode_manifest(raw, ReadingOptions())
    assert decode_live(raw) == decoded
    assert isinstance(decoded.item, NetworkPolicy)
    [written] = decoded.item.ingress or ()
    assert written.peers == (IPBlock(parse_cidr(canonical), tuple(map(parse_cidr, holes))),)
    assert {mistake.severity for mistake in decoded.mistakes} <= {"warning"}
    assert len(decoded.mistakes) == len(said)
    for mistake, sentence in zip(decoded.mistakes, said, strict=True):
        assert sentence in mistake.text
