"""In which transactions elements change: how many, in which order, and when none is known to be safe."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest

from policyd_compiler.delta import Delta, Order, in_place
from policyd_compiler.elements import HeldTable
from policyd_compiler.nft.ast import Counter, CounterName, Drop, Rule, Set, Table, VerdictMap
from policyd_compiler.nft.commands import Elements
from policyd_compiler.nft.expressions import Field, InSet, Match
from policyd_compiler.nft.keys import KeyType, SetName
from policyd_compiler.nft.stamp import stamp
from policyd_compiler.sim import Simulator
from policyd_compiler.walks import HELD, Answer
from tests.splits import ATOMIC, OLDER, applied, ends, outcomes
from tests.strategies.judged import BASE, SIZE, Contents, Form, Forms, judged, names, packets

A, B, PEER = 0, 1, 2
DENY, ALL, WEB, TLS, BOTH, WIDE = range(6)
#: A pod that lets two groups use a port each, and one that has its own verdicts, too.
GROUPS = Form(shared=((0, WEB), (1, TLS)))
OWN = Form(own=DENY, is_map=True, shared=((0, WEB), (1, TLS)))


def table(forms: Forms, **contents: dict[int, int]) -> Table:
    """A ruleset; of `shared_0={PEER: 0}` and the like only the keys count, but for maps."""
    return sized(SIZE, forms, **contents)


def sized(size: int, forms: Forms, **contents: dict[int, int]) -> Table:
    held: Contents = {name: contents.get(name.replace("-", "_"), {}) for name in names()}
    return judged(4, forms, held, size)


def delta(old: Table, new: Table, *, replaces_are_atomic: bool = True) -> Delta | None:
    return in_place(old, new, ATOMIC if replaces_are_atomic else OLDER)


def steps(old: Table, new: Table) -> list[list[str]] | None:
    """The steps in words: `+shared-0-set` for an addition."""
    found = delta(old, new)
    if found is None:
        return None
    return [[words(change.verb, change.part) for change in step] for step in found.steps]


def is_wrong_at_once(old: Table, new: Table) -> bool:
    """Whether all in one transaction gives some packet a verdict that is neither's."""
    before, after = Simulator(old), Simulator(new)
    sent = packets(4, (A, B, PEER), (A, B, PEER))
    return not all(outcomes(before, after, one) <= ends(before, after, one) for one in sent)


def words(verb: str, part: object) -> str:
    assert isinstance(part, Set | VerdictMap | Elements)
    name = part.set if isinstance(part, Elements) else part.name
    return f"{'+' if verb == 'add' else '-'}{name}"


IN, OUT = {("in", A): GROUPS}, {("out", A): GROUPS}


def test_who_enters_and_who_leaves_does_so_at_once() -> None:
    none, some = table(IN), table(IN, shared_0={PEER: 0}, shared_1={B: 0})
    assert steps(none, none) == []
    assert steps(none, some) == [["+shared-0-set", "+shared-1-set"]]
    assert steps(some, none) == [["-shared-0-set", "-shared-1-set"]]


def test_who_moves_to_a_set_that_is_asked_earlier_is_in_both_for_a_while() -> None:
    """Met between the two questions a packet would be found by neither."""
    overlapping: Forms = {("in", A): Form(shared=((0, WEB), (1, BOTH)))}
    late, early = table(overlapping, shared_1={PEER: 0}), table(overlapping, shared_0={PEER: 0})
    assert steps(late, early) == [["+shared-0-set"], ["-shared-1-set"]]
    assert is_wrong_at_once(late, early)
    assert not is_wrong_at_once(early, late)
    assert steps(early, late) == [["-shared-0-set", "+shared-1-set"]]


def test_who_enters_two_sets_enters_the_one_first_that_counts() -> None:
    """Met between the two questions a packet would get the verdict of the later one."""
    forms: Forms = {("in", A): OWN}
    none, both = table(forms), table(forms, own_in_0={PEER: DENY}, shared_0={PEER: 0})
    assert steps(none, both) == [["+own-in-0-dport", "+own-in-0-sport"], ["+shared-0-set"]]
    assert is_wrong_at_once(none, both)
    assert steps(both, none) == [["-own-in-0-dport", "-own-in-0-sport", "-shared-0-set"]]
    for more in (WEB, BOTH, ALL):  # unless that lets less of the same pass, where nothing passed before
        wide = table(forms, own_in_0={PEER: more}, shared_0={PEER: 0})
        assert steps(none, wide) == [["+own-in-0-dport", "+own-in-0-sport", "+shared-0-set"]]
    before = table(forms, shared_1={PEER: 0})
    after = table(forms, own_in_0={PEER: BOTH}, shared_0={PEER: 0}, shared_1={PEER: 0})
    assert steps(before, after) == [["+own-in-0-dport", "+own-in-0-sport"], ["+shared-0-set"]]


def test_what_narrows_early_comes_before_what_widens_late() -> None:
    """The sender's egress is judged first. Between pods of this node, both of which change for the other."""
    forms: Forms = {("out", A): Form(own=WEB), ("in", B): Form(own=WEB)}
    by_receiver, by_sender = table(forms, own_out_0={B: 0}), table(forms, own_in_1={A: 0})
    assert steps(by_receiver, by_sender) == [["-own-out-0-set"], ["+own-in-1-set"]]
    assert is_wrong_at_once(by_receiver, by_sender)
    # Back it is safe for what asks; but as an answer a packet meets the receiver's judges first.
    assert steps(by_sender, by_receiver) == [["-own-in-1-set"], ["+own-out-0-set"]]
    forms = {("out", A): Form(own=WEB), ("in", B): Form(own=WEB), ("in", A): GROUPS}
    assert steps(table(forms), table(forms, own_out_0={B: 0}, own_in_1={A: 0})) == [
        ["+own-in-1-set", "+own-out-0-set"]
    ]


def test_of_a_stray_egress_is_asked_before_ingress_too() -> None:
    """One peer, to which a pod may not speak any more, and which may speak to it from now on (NP-165)."""
    forms: Forms = {("out", A): Form(own=WEB), ("in", A): Form(own=WEB)}
    server, client = table(forms, own_out_0={PEER: 0}), table(forms, own_in_0={PEER: 0})
    assert steps(server, client) == [["-own-out-0-set"], ["+own-in-0-set"]]
    # And the other way round: as an answer it is asked what the pod receives before what it sends.
    assert steps(client, server) == [["-own-in-0-set"], ["+own-out-0-set"]]
    assert is_wrong_at_once(server, client)
    assert is_wrong_at_once(client, server)


def test_what_lets_more_of_the_same_pass_does_not_narrow() -> None:
    forms: Forms = {("out", A): Form(own=BOTH, default=WEB), ("in", A): Form(own=WEB)}
    none, some = table(forms), table(forms, own_out_0={PEER: 0}, own_in_0={PEER: 0})
    assert steps(none, some) == [["+own-in-0-set", "+own-out-0-set"]]
    forms = {("out", A): Form(own=TLS, default=WEB), ("in", A): Form(own=WEB)}
    none, some = table(forms), table(forms, own_out_0={PEER: 0}, own_in_0={PEER: 0})
    assert steps(none, some) == [["+own-out-0-set"], ["+own-in-0-set"]]
    forms = {("out", A): Form(own=TLS, default=WEB), ("in", A): Form(own=TLS, default=WEB)}
    none, some = table(forms), table(forms, own_out_0={PEER: 0}, own_in_0={PEER: 0})
    assert steps(none, some) is None  # each narrows, and must not come after what the other widens


def test_data_is_replaced_only_where_no_look_up_can_miss_it() -> None:
    forms: Forms = {("in", A): OWN}
    old, new = table(forms, own_in_0={PEER: WEB}), table(forms, own_in_0={PEER: TLS})
    assert steps(old, new) == [["-own-in-0-dport", "-own-in-0-sport", "+own-in-0-dport", "+own-in-0-sport"]]
    assert delta(old, new, replaces_are_atomic=False) is None
    assert delta(old, table(forms), replaces_are_atomic=False) is not None


def test_a_set_is_never_fuller_than_it_says() -> None:
    """What one transaction deletes makes room in it; two transactions need room for both."""
    one, other = sized(1, IN, shared_0={PEER: 0}), sized(1, IN, shared_0={B: 0})
    assert steps(one, other) == [["-shared-0-set", "+shared-0-set"]]
    assert delta(one, sized(1, IN, shared_0={PEER: 0, B: 0})) is None
    assert delta(sized(0, IN), sized(0, IN, shared_0={PEER: 0, B: 0})) is not None


def test_other_differences_are_for_a_plan() -> None:
    old = table(IN, shared_0={PEER: 0})
    new = table(IN, shared_1={PEER: 0})
    assert delta(old, new) is not None
    assert delta(old, replace(new, comment="other", notes=("other",))) is not None
    assert delta(old, table(OUT)) is None
    assert delta(old, sized(2 * SIZE, IN)) is None
    assert delta(old, replace(new, counters=(Counter(CounterName("c")),))) is None
    assert delta(old, replace(new, bridge=Table("policyd", family="bridge"))) is None
    assert delta(old, replace(new, sets=new.sets[1:])) is None
    assert delta(old, stamp(new, 2)) is None


def test_what_is_asked_for_more_than_peers_stays() -> None:
    """Dispatch maps, ranges, and what a base chain asks."""
    old = table({("in", A): Form(shared=((0, WEB),), ranges=WEB)}, shared_0={PEER: 0})
    undispatched = tuple(replace(part, elements=()) for part in old.maps)
    assert undispatched != old.maps
    assert delta(old, replace(old, maps=undispatched)) is None
    no_ranges = tuple(replace(part, elements=()) if part.interval else part for part in old.sets)
    assert no_ranges != old.sets
    assert delta(old, replace(old, sets=no_ranges)) is None
    asked = Rule(Drop(), (Match(Field.IP_SADDR, InSet(SetName("shared-0-set"))),))
    chains = tuple(replace(c, rules=(asked, *c.rules)) if c.name == "stray" else c for c in old.chains)
    nobody = tuple(replace(part, elements=()) if not part.interval else part for part in old.sets)
    assert delta(old, replace(old, sets=nobody)) is not None
    assert delta(replace(old, chains=chains), replace(old, chains=chains, sets=nobody)) is None


def test_an_address_that_changed_a_moment_ago_waits() -> None:
    forms: Forms = {("in", A): GROUPS, ("in", B): GROUPS}
    none = table(forms)
    peer, other, a, b = (delta(none, table(forms, shared_0={who: 0})) for who in (PEER, 3, A, B))
    assert peer is not None
    assert other is not None
    assert a is not None
    assert b is not None
    assert other.may_follow(peer)
    assert a.may_follow(peer)
    assert not peer.may_follow(peer)
    assert not b.may_follow(a)
    assert a.touched == a.ends == {(KeyType.V4, BASE[4] + A)}


def test_who_enters_is_looked_up_only_where_that_could_matter() -> None:
    """Most changes are of one address in sets that no packet meets together."""
    old = table({("in", A): GROUPS, ("out", B): OWN})
    found: list[tuple[str, int]] = []

    class Noting(HeldTable):
        def find(self, name: SetName, key: int) -> Answer:
            found.append((name, key))
            return super().find(name, key)

    order, held, peer = Order(old, replaces_are_atomic=True), Noting(old), BASE[4] + PEER
    enters = {SetName("shared-0-set"): {peer: (None, HELD)}}
    assert order.delta(enters, held) is not None
    assert found == []
    both = enters | {SetName("shared-1-set"): {peer: (None, HELD)}}
    assert order.delta(both, held) is not None
    assert {name for name, _ in found} >= both.keys()
    assert {key for _, key in found} == {peer}


@pytest.mark.parametrize("verdicts", list(product((WEB, BOTH), (WEB, BOTH), (DENY, WEB))))
def test_whatever_changes_for_one_peer_of_one_pod(verdicts: tuple[int, int, int]) -> None:
    """Every change of three look-ups: one transaction exactly where that is safe."""
    own, shared, default = verdicts
    forms: Forms = {("in", A): Form(own=own, shared=((0, shared), (1, BOTH)), default=default)}
    members = list(product((False, True), repeat=3))
    tables = {of: table(forms, **contents(of)) for of in members}
    sent = list(packets(4, [PEER], [A]))
    for old, new in product(members, members):
        found = delta(tables[old], tables[new])
        assert found is not None
        state, whole = tables[old], (Simulator(tables[old]), Simulator(tables[new]))
        for step in found.steps:
            before, state = Simulator(state), applied(state, step)
            for one in sent:
                assert outcomes(before, Simulator(state), one) <= ends(*whole, one), (old, new, one)
        assert state == tables[new]
        safe = all(outcomes(*whole, one) <= ends(*whole, one) for one in sent)
        assert safe or len(found.steps) > 1
        assert safe == (len(found.steps) < 2), (old, new)


def contents(members: tuple[bool, ...]) -> dict[str, dict[int, int]]:
    names = ("own_in_0", "shared_0", "shared_1")
    return {name: {PEER: 0} for name, held in zip(names, members, strict=True) if held}


def test_whatever_changes_between_two_pods() -> None:
    """Every change of the four sets that decide what two pods may say to each other."""
    forms: Forms = {(direction, pod): Form(own=WEB) for direction, pod in product(("in", "out"), (A, B))}
    sent = [*packets(4, [A], [B]), *packets(4, [B], [A])]
    members = list(product((False, True), repeat=4))
    tables = [
        table(
            forms,
            **{
                name: {peer: 0}
                for (name, peer), held in zip(
                    (("own_out_0", B), ("own_in_1", A), ("own_out_1", A), ("own_in_0", B)), of, strict=True
                )
                if held
            },
        )
        for of in members
    ]
    for old, new in product(tables, tables):
        found = delta(old, new)
        assert found is not None
        state, whole = old, (Simulator(old), Simulator(new))
        for step in found.steps:
            before, state = Simulator(state), applied(state, step)
            for one in sent:
                assert outcomes(before, Simulator(state), one) <= ends(*whole, one)
        safe = all(outcomes(*whole, one) <= ends(*whole, one) for one in sent)
        assert safe or len(found.steps) > 1
        assert len(found.steps) < 3
