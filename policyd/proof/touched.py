"""Of which frames two tables in family bridge may say something else: by ports and addresses that differ.

Names of chains and sets there follow from what is in them, so both are compared rule by rule. Keys that are
not in both sets are touched, and keys of a map that lead to other rules. Of all else both say the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from policyd.proof.cluster import FAMILIES
from policyd.proof.differing import named
from policyd.proof.frames import ARP_MAC, MAC, TARGET, Frames
from policyd.proof.line import Line, mask_of
from policyd.proof.space import RECEIVER, SENDER, Box, Unprovable
from policyd_compiler.nft.ast import Goto, Jump, Rule, Set, Table, Verdict, VerdictMap, Vmap
from policyd_compiler.nft.expressions import Field, InSet, Match
from policyd_compiler.nft.keys import FROM, KEY, Family, KeyType

_OF_PORTS = (*FROM.values(), KeyType.IFNAME_ETHER, KeyType.IFNAME_TARGET)
_FAMILIES: Mapping[KeyType, Family] = {KEY[family]: family for family in FAMILIES}


@dataclass
class Touched:
    """What differs; with `unknown` what is said of all ports of which nobody knows who is behind."""

    ports: set[str] = field(default_factory=set)
    addresses: dict[Family, set[int]] = field(default_factory=lambda: {4: set(), 6: set()})
    macs: set[int] = field(default_factory=set)
    unknown: bool = False

    def __bool__(self) -> bool:
        return bool(self.unknown or self.ports or self.macs or any(self.addresses.values()))

    def note(self, part: Set | VerdictMap, keys: Iterable[object]) -> None:
        """Keys of a set or map of which it says something else. Raises Unprovable."""
        for key in keys:
            match key:
                case str() if part.key is KeyType.IFNAME and not key.endswith("*"):
                    self.ports.add(key)
                case (str(port), int()) if part.key in _OF_PORTS:
                    self.ports.add(port)
                case int() if part.key is KeyType.ETHER:
                    self.macs.add(key)
                case int() if part.key in _FAMILIES:
                    self.addresses[_FAMILIES[part.key]].add(key)
                case _:
                    raise Unprovable(f"set {part.name} differs")

    def boxes(self, space: Frames, names: frozenset[str]) -> Iterator[Box]:
        """The frames of a space that are touched: `names` are ports of which the pod is known."""
        ports = {name for name in space.links if self._is_touched(name, names)}
        if len(space.links) == 1:
            sides = {} if ports else self._sides_entering(space)
            yield from (space.full,) if ports else ()
        else:
            ends = space.at(_around(space.addresses, self.addresses[space.family])) | space.named(ports)
            sides = {SENDER: ends, RECEIVER: ends}
            yield from (space.full,) if self.macs else ()
        for side, mask in sides.items():
            if inside := space.full[side] & mask:
                yield (*space.full[:side], inside, *space.full[side + 1 :])

    def _sides_entering(self, space: Frames) -> dict[int, int]:
        """What is touched of the frames that come in by one port, which is not."""
        sides = {SENDER: _around(space.addresses, self.addresses[space.family])}
        sides[MAC] = macs = _around(space.macs, self.macs)
        if space.kind == "arp":
            sides[ARP_MAC] = macs
        if space.family == 6:
            sides[TARGET] = _around(space.targets, self.addresses[6])
        return sides

    def may_touch(self, port: str, family: Family, names: frozenset[str]) -> bool:
        """Whether any frame that comes in by a port may be touched."""
        return self._is_touched(port, names) or bool(self.macs or self.addresses[family])

    def _is_touched(self, port: str, names: frozenset[str]) -> bool:
        return port in self.ports or (self.unknown and port not in names)


def _around(line: object, numbers: Iterable[int]) -> int:
    """The bits that stand for these numbers, and for whatever nothing tells from them."""
    assert isinstance(line, Line)  # noqa: S101 for mypy
    return mask_of(map(line.find, numbers), line.count)


def find_touched(before: Table, now: Table, names: frozenset[str], touched: Mapping[str, Touched]) -> None:
    """Add by hook what both tables do not say the same of. Raises Unprovable where that is not to be told."""
    if before is now:
        return
    hooks = [{c.hook: str(c.name) for c in table.chains if c.hook is not None} for table in (before, now)]
    if hooks[0].keys() != hooks[1].keys():
        raise Unprovable("other hooks of family bridge")
    for hook, name in hooks[0].items():
        _Both(before, now, names, touched[hook.hook]).compare(name, hooks[1][hook])


class _Both:
    """Two tables, compared; `names` are the ports of which the pod is known now."""

    def __init__(self, before: Table, now: Table, names: frozenset[str], touched: Touched) -> None:
        tables = before, now
        self._chains = named(before), named(now)
        self._were, self._are = ({str(part.name): part for part in table.sets} for table in tables)
        self._led, self._lead = ({str(part.name): part for part in table.maps} for table in tables)
        self._names, self._touched = names, touched
        #: By pairs of chains whether they are the same but for what is touched; None while that is looked at.
        self._known: dict[tuple[str, str], bool | None] = {}

    def compare(self, was: str, is_: str) -> None:
        """Compare two chains, and all that they lead to."""
        pair = was, is_
        if pair not in self._known:
            self._known[pair] = None
            try:
                self._compare_rules(was, is_)
            except Unprovable:
                self._known[pair] = False
                raise
            self._known[pair] = True
        elif not self._known[pair]:
            raise Unprovable(f"chain {is_} has other rules, or leads to itself")

    def _compare_rules(self, was: str, is_: str) -> None:
        before, now = self._chains[0].get(was), self._chains[1].get(is_)
        if before is None or now is None or len(before.rules) != len(now.rules):
            raise Unprovable(f"chain {is_} has other rules")
        for one, other in zip(before.rules, now.rules, strict=True):
            self._compare_rule(one, other)

    def _compare_rule(self, was: Rule, is_: Rule) -> None:
        if was.statements != is_.statements or len(was.matches) != len(is_.matches):
            raise Unprovable("a rule differs")
        pairs = tuple(zip(was.matches, is_.matches, strict=True))
        guarded = any(self._keeps_out_known(*pair) for pair in pairs)
        for one, other in pairs:
            self._compare_match(one, other, guarded=guarded)
        match was.action, is_.action:
            case (Jump(before), Jump(now)) | (Goto(before), Goto(now)):
                self.compare(str(before), str(now))
            case Vmap(of, led), Vmap(asked, leads) if of is asked:
                self._compare_maps(str(led), str(leads))
            case does, should if does == should:
                pass
            case _:
                raise Unprovable("a rule does something else")

    def _keeps_out_known(self, was: Match, is_: Match) -> bool:
        """Whether a rule is only for ports whose pod is not known; but for those that are touched."""
        match was, is_:
            case Match(Field.IIFNAME, InSet(one), True), Match(Field.IIFNAME, InSet(other), True):
                before, now = self._were.get(str(one)), self._are.get(str(other))
                if before is None or now is None:
                    return False
                return self._names - self._touched.ports <= {*before.elements} & {*now.elements}
            case _:
                return False

    def _compare_match(self, was: Match, is_: Match, *, guarded: bool) -> None:
        if (was.field, was.negated) != (is_.field, is_.negated):
            raise Unprovable("a rule asks for something else")
        match was.right, is_.right:
            case InSet(one), InSet(other):
                keys = self._unlike(self._were.get(str(one)), self._are.get(str(other)))
                if guarded and was.field is not Field.IIFNAME:
                    self._touched.unknown |= bool(keys)
                elif keys:
                    self._touched.note(self._are[str(other)], keys)
            case one, other if one != other:
                raise Unprovable("a rule asks for something else")
            case _:
                pass

    def _unlike(self, was: Set | None, is_: Set | None) -> frozenset[object]:
        if was is None or is_ is None or (was.key, was.interval) != (is_.key, is_.interval):
            raise Unprovable("a rule asks another set")
        if was.elements == is_.elements:
            return frozenset()
        return frozenset(was.elements) ^ frozenset(is_.elements)

    def _compare_maps(self, was: str, is_: str) -> None:
        before, now = self._led.get(was), self._lead.get(is_)
        if before is None or now is None or (before.key, before.interval) != (now.key, now.interval):
            raise Unprovable("a rule asks another map")
        were, are = dict(before.elements), dict(now.elements)
        if len(were) != len(before.elements) or len(are) != len(now.elements):
            raise Unprovable(f"a key stands twice in map {is_}")
        unlike = (
            key
            for key in were.keys() | are.keys()
            if key not in were or key not in are or not self._is_same(were[key], are[key])
        )
        self._touched.note(now, unlike)

    def _is_same(self, was: Verdict, is_: Verdict) -> bool:
        """Whether both verdicts do the same, but for what is touched meanwhile."""
        match was, is_:
            case (Jump(one), Jump(other)) | (Goto(one), Goto(other)):
                try:
                    self.compare(str(one), str(other))
                except Unprovable:
                    return False
                return True
            case _:
                return was == is_
