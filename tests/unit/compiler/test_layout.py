"""Which sets the chains of an isolation with tiers ask: as its rules say, whoever is selected."""

from __future__ import annotations

from policyd_compiler.layout import Does, Layout, Ordered, Selected, Written, lay_out_ordered
from policyd_compiler.ports import EVERYTHING, NOTHING, PortSet

HTTP, DNS = PortSet(tcp=((80, 80),)), PortSet(udp=((53, 53),))
TEAM, APP = Selected("team", 0b0110, 1, wide=True), Selected("app", 0b1100, 2, wide=True)


def rule(*selected: Selected, ports: PortSet = EVERYTHING, ranges: str = "", named: str = "") -> Written:
    return Written(selected, ranges, anything=not selected and not ranges, ports=ports, named=named)


def tier(*rules: tuple[Does, Written], claimant: int = 0) -> Ordered:
    return Ordered(rules, isolates=False, claimant=claimant)


def isolated(*rules: Written, claimant: int = 0) -> Ordered:
    return Ordered(tuple(("accept", each) for each in rules), isolates=True, claimant=claimant)


def groups(layout: Layout) -> list[tuple[str, PortSet]]:
    return [(group.identity, group.ports) for group in layout.groups]


def test_whom_an_administrator_denies_is_a_group_that_is_asked_first() -> None:
    stages = [tier(("deny", rule(TEAM))), isolated(rule(APP, ports=HTTP), rule(ports=DNS))]
    layout = lay_out_ordered(("",), stages)
    assert groups(layout) == [("team", NOTHING), ("app", HTTP | DNS)]
    assert layout.own, "of both, who is denied first is denied, but others may follow"


def test_who_is_denied_as_everybody_is_stands_in_no_group() -> None:
    layout = lay_out_ordered(("",), [tier(("deny", rule(TEAM))), isolated(rule(APP, ports=HTTP))])
    assert groups(layout) == [("app", HTTP)]
    assert layout.own, "who is of both is denied, and APP's ports are open to others"


def test_a_single_selector_needs_no_map_of_its_own() -> None:
    layout = lay_out_ordered(("",), [tier(("deny", rule(TEAM, ports=HTTP)))])
    assert groups(layout) == [("team", EVERYTHING - HTTP)]
    assert not layout.own


def test_but_with_a_range_beside_it_peers_may_differ() -> None:
    layout = lay_out_ordered(("",), [tier(("accept", rule(ranges="10/8", ports=DNS)), ("deny", rule(TEAM)))])
    assert groups(layout) == [("team", NOTHING)]
    assert layout.own


def test_who_may_no_more_than_everybody_needs_no_element() -> None:
    denied = tier(("deny", rule(ports=HTTP)), ("accept", rule(TEAM, ports=HTTP)))
    assert groups(lay_out_ordered(("",), [denied])) == []


def test_a_pass_leaves_it_to_the_stage_behind() -> None:
    first = tier(("pass", rule(TEAM)), ("deny", rule()))
    assert groups(lay_out_ordered(("",), [first, isolated(rule(ports=HTTP))])) == [("team", HTTP)]
    assert groups(lay_out_ordered(("",), [first])) == [("team", EVERYTHING)]


def test_baseline_has_no_say_behind_a_networkpolicy() -> None:
    behind = [isolated(rule(APP, ports=HTTP)), tier(("accept", rule(TEAM)))]
    assert groups(lay_out_ordered(("",), behind)) == [("app", HTTP)]


def test_all_claimants_must_allow_it() -> None:
    both = [isolated(rule(TEAM, ports=HTTP | DNS)), isolated(rule(TEAM, ports=DNS), claimant=1)]
    assert groups(lay_out_ordered(("",), both)) == [("team", DNS)]


def test_whom_only_a_named_port_of_theirs_names_is_no_group() -> None:
    """Of these the rule names some alone: those that have the port."""
    layout = lay_out_ordered(("",), [tier(("deny", rule(TEAM, ports=NOTHING, named="http")))])
    assert groups(layout) == []
    assert layout.own
