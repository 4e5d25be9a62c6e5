"""Names in settings: what passes is taken by nft, and names that overlap are one."""

from __future__ import annotations

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policyd_compiler.errors import CompilerBug
from policyd_compiler.nft.keys import KeyType, print_key
from policyd_compiler.options import Options, covering, interface_mistake, table_mistake

WRONG_TABLES = ("", "1", "a b", "a;b", 'a"', "a\n", "ä", "-a", "a" * 65, "inet", "table", "flush", "destroy")
WRONG_INTERFACES = (
    *("", "*", "a b", "a/b", "a:b", "ve*th", "**", ".", "..", "lo", "ä", "a\n", 'a"b; } } table inet x { #'),
    *("sixteen-letters-", "fifteen-letters*", "averyveryverylonginterfacename"),
)


@pytest.mark.parametrize("name", WRONG_TABLES)
def test_a_name_that_nft_does_not_take_is_no_table(name: str) -> None:
    assert table_mistake(name) is not None
    with pytest.raises(CompilerBug):
        Options(table=name)


@pytest.mark.parametrize("name", WRONG_INTERFACES)
def test_a_name_that_no_interface_has_is_none(name: str) -> None:
    assert interface_mistake(name) is not None
    with pytest.raises(CompilerBug):
        Options(pod_interfaces=("cni0", name))


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        (("lxc*", "lxc_health"), ("lxc*",)),
        (("veth*", "veth1*"), ("veth*",)),
        (("eth0", "eth0*"), ("eth0*",)),
        (("veth1*", "veth*", "cni0", "veth", "cni0"), ("cni0", "veth*")),
        (("a", "ab", "b*", "ba"), ("a", "ab", "b*")),
        ((), ()),
    ],
)
def test_a_name_that_a_wildcard_covers_is_dropped(names: tuple[str, ...], expected: tuple[str, ...]) -> None:
    assert covering(names) == expected


STEM = st.text("ab", min_size=1, max_size=4)
PATTERN = STEM | STEM.map(lambda stem: f"{stem}*")


@given(st.lists(PATTERN, max_size=6), STEM)
def test_fewer_names_mean_the_same_interfaces(names: list[str], interface: str) -> None:
    few = covering(names)
    assert any(fnmatchcase(interface, n) for n in names) == any(fnmatchcase(interface, n) for n in few)
    assert not any(a != b and a.endswith("*") and b.startswith(a[:-1]) for a in few for b in few)


@pytest.mark.parametrize("name", ['a"', "a\n", "a\x00"])
def test_a_name_that_would_end_its_quotes_is_not_printed(name: str) -> None:
    with pytest.raises(CompilerBug, match="no interface has the name"):
        print_key(KeyType.IFNAME, name)
