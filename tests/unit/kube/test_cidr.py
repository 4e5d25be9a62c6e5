"""CIDR text means what the API server's legacy parser makes of it, and is printed canonically."""

from ipaddress import IPv6Address, ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policyd.kube.cidr import (
    canonical_ip,
    except_mistake,
    is_legacy_cidr,
    is_subset,
    parse_cidr,
    parse_ip,
    print_cidr,
    read_cidr,
)
from policyd.kube.objects import Cidr
from policyd_compiler.addr import print_address

READ = [
    ("10.0.0.0/8", "10.0.0.0/8", False),
    ("0.0.0.0/0", "0.0.0.0/0", False),
    ("10.0.0.1/8", "10.0.0.0/8", True),
    ("010.0.0.0/8", "10.0.0.0/8", True),
    ("10.0.0.0/08", "10.0.0.0/8", True),
    ("10.0.0.0000000009/32", "10.0.0.9/32", True),
    ("::ffff:10.0.0.0/104", "10.0.0.0/8", True),
    ("::ffff:0:0/96", "0.0.0.0/0", True),
    ("::ffff:0:0/95", "::fffe:0:0/95", True),
    ("::ffff:0:0/90", "::ffc0:0:0/90", True),
    ("::ffff:1.2.3.04/128", "1.2.3.4/32", True),
    ("64:ff9b::1.2.3.04/128", "64:ff9b::102:304/128", True),
    ("FD00:0:0::/8", "fd00::/8", False),
    ("fd00:0000::00/8", "fd00::/8", False),
    ("fd00::1/8", "fd00::/8", True),
    ("::/0", "::/0", False),
    ("0:0:1:0:0:0:0:1/128", "0:0:1::1/128", False),
    ("1:0:0:2:0:0:3:4/128", "1::2:0:0:3:4/128", False),
    ("1:2:3:4:5:6:7::/128", "1:2:3:4:5:6:7:0/128", False),
    ("::00000001/128", "::1/128", True),
    ("00001::/64", "1::/64", True),
    ("0001::/64", "1::/64", False),
    ("::00001:192.0.2.1/128", "::1:c000:201/128", True),
]

REFUSED = [
    ("", "must be a CIDR block such as 10.0.0.0/8, not empty"),
    ("10.0.0.1", '"10.0.0.1" has no prefix length; for the one address write 10.0.0.1/32'),
    ("FD00::1", '"FD00::1" has no prefix length; for the one address write fd00::1/128'),
    ("web", '"web" is not a CIDR block: it has no /prefix'),
    ("10.0.0.0/33", 'the prefix length of "10.0.0.0/33" must be a number from 0 to 32'),
    ("::/129", 'the prefix length of "::/129" must be a number from 0 to 128'),
    ("10.0.0.0/-1", 'the prefix length of "10.0.0.0/-1" must be a number from 0 to 32'),
    ("10.0.0.0/+8", 'the prefix length of "10.0.0.0/+8" must be a number from 0 to 32'),
    ("10.0.0.0/", 'the prefix length of "10.0.0.0/" must be a number from 0 to 32'),
    ("10.0.0.0/8 ", 'the prefix length of "10.0.0.0/8 " must be a number from 0 to 32'),
    ("10.0.0.0/٨", 'the prefix length of "10.0.0.0/\\u0668" must be a number from 0 to 32'),
    (
        "10.0.0.0/" + "9" * 5000,
        'the prefix length of "10.0.0.0/' + "9" * 68 + '..." must be a number from 0 to 32',
    ),
    (" 10.0.0.0/8", '" 10.0.0.0" is not an IP address: there is a space'),
    ("fe80::1%eth0/64", '"fe80::1%eth0" is not an IP address: a zone is not allowed'),
    ("1.2.3/24", '"1.2.3" is not an IP address'),
    ("1.2.3.256/24", '"1.2.3.256" is not an IP address'),
    ("1.2.3.0x4/24", '"1.2.3.0x4" is not an IP address'),
    ("1::2::3/64", '"1::2::3" is not an IP address'),
    (":::/64", '":::" is not an IP address'),
    ("1:2:3:4:5:6:7:8::/64", '"1:2:3:4:5:6:7:8::" is not an IP address'),
    ("12345::/64", '"12345::" is not an IP address'),
    ("::1.2.3/64", '"::1.2.3" is not an IP address'),
]

EXCEPTS = [
    ("10.0.0.0/8", "10.1.0.0/16", None),
    ("0.0.0.0/0", "10.0.0.0/8", None),
    ("10.0.0.0/8", "10.0.0.0/8", "must be a strict subset of the cidr 10.0.0.0/8"),
    ("10.0.0.0/16", "10.0.0.0/8", "must be a strict subset of the cidr 10.0.0.0/16"),
    ("10.0.0.0/8", "11.0.0.0/16", "must be a strict subset of the cidr 10.0.0.0/8"),
    ("10.0.0.0/8", "fd00::/64", "must be of the same IP family as the cidr 10.0.0.0/8"),
    # Wider, but its length as written is greater: accepted, and matches nothing (NP-079).
    ("10.0.0.0/24", "::ffff:10.0.0.0/104", None),
    ("::ffff:10.0.0.0/104", "10.1.0.0/16", "must be a strict subset of the cidr 10.0.0.0/8"),
]


@pytest.mark.parametrize(("text", "canonical", "legacy"), READ)
def test_read_and_printed(text: str, canonical: str, legacy: bool) -> None:
    assert print_cidr(parse_cidr(text)) == canonical
    assert is_legacy_cidr(text) is legacy
    assert not is_legacy_cidr(canonical)


@pytest.mark.parametrize(("text", "sentence"), REFUSED)
def test_refused_with_a_sentence(text: str, sentence: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 (the whole sentence is compared)
        parse_cidr(text)
    assert str(caught.value) == sentence


@pytest.mark.parametrize(("cidr", "exception", "mistake"), EXCEPTS)
def test_excepts_are_compared_by_length_as_written(cidr: str, exception: str, mistake: str | None) -> None:
    assert except_mistake(read_cidr(cidr), read_cidr(exception)) == mistake


def test_subsets() -> None:
    assert is_subset(Cidr(4, 10 << 24, 16), Cidr(4, 10 << 24, 8))
    assert not is_subset(Cidr(4, 10 << 24, 8), Cidr(4, 10 << 24, 16))
    assert not is_subset(Cidr(6, 0, 8), Cidr(4, 0, 0))


@given(st.ip_addresses())
def test_canonical_addresses_round_trip(address: object) -> None:
    theirs = ip_address(str(address))
    mapped = getattr(theirs, "ipv4_mapped", None)
    ours = parse_ip(str(theirs))
    assert ours == ((4, int(mapped)) if mapped else (theirs.version, int(theirs)))
    assert canonical_ip(theirs.exploded) == print_address(*ours)
    assert print_address(*ours) == str(mapped or theirs)


groups = st.lists(st.sampled_from(["0", "1", "00", "0a", "A", "ffff", "10", ""]), min_size=1, max_size=8)


@given(groups, groups)
def test_canonical_text_is_only_taken_over_where_it_is_canonical(head: list[str], tail: list[str]) -> None:
    text = f"{':'.join(head)}::{':'.join(tail)}"
    try:
        read = parse_ip(text)
    except ValueError:
        with pytest.raises(ValueError, match="is not an IP address"):
            canonical_ip(text)
    else:
        assert canonical_ip(text) == print_address(*read)


@given(st.integers(0, 2**128 - 1), st.integers(0, 128))
def test_blocks_agree_with_the_standard_library(value: int, length: int) -> None:
    theirs = ip_network((ip_address(value) if value >> 32 else IPv6Address(value), length), strict=False)
    ours = parse_cidr(f"{ip_address(value) if value >> 32 else print_address(6, value)}/{length}")
    if ours.family == 6:
        assert print_cidr(ours) == str(theirs)
