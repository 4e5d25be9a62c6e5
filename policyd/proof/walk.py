"""Boxes of packets through chains: which end accepted, dropped, or at the end of the chain.

The rules of a table (`of_table`) and those that are expected of it (`hooks.py`) are walked by the same code.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple, Protocol, TypeAlias, assert_never

from policyd.proof.parts import Parts
from policyd.proof.space import Box, Condition, Space, Unprovable, cut
from policyd_compiler.nft.ast import (
    Accept,
    Action,
    Continue,
    Drop,
    Goto,
    Jump,
    Limit,
    Reject,
    Return,
    Rule,
    Table,
    Verdict,
    VerdictMap,
    Vmap,
)
from policyd_compiler.nft.keys import KEY

#: The kernel refuses deeper jumps, and a walk of more steps would not end in useful time.
MAX_DEPTH, MAX_STEPS = 16, 1_000_000

Kind: TypeAlias = Literal["accept", "drop", "return", "jump", "goto", "continue", "map", "ask", "open"]


class Step(NamedTuple):
    """What a rule does. `ask`: the packet goes on, or with `last` accepted, if what is called `name` lets it.

    `map`: what becomes of it depends on a side of the box; what is in none of `parts` meets the next rule.
    `open`: nobody says what becomes of it.
    """

    kind: Kind
    name: str = ""
    parts: Parts[Step] | None = None
    last: bool = False


#: A rule that is expected: what it asks, and what it does.
Wanted: TypeAlias = tuple[tuple[Condition, ...], Step]
#: Nobody says what becomes of it.
OPEN = Step("open")


def accept(why: str) -> Step:
    """It passes, for this reason."""
    return Step("accept", why)


def drop(why: str) -> Step:
    """It does not."""
    return Step("drop", why)


class Walked(NamedTuple):
    """A rule: where it stands, what it asks (None: nothing can match), and what it does."""

    number: int
    conditions: tuple[Condition, ...] | None
    step: Step


class Outcome(NamedTuple):
    """Packets with one verdict: what they still have to be asked, and the chain and rule that decided.

    `back`: they came to the end of the chain, or to a `return`.
    """

    box: Box
    verdict: Literal["accept", "drop", "open", "back"]
    asks: frozenset[str]
    chain: str
    rule: int


class Rules(Protocol):
    """Chains by name, whoever wrote them."""

    def rules(self, name: str) -> tuple[Walked, ...]: ...


#: A box, and what the packets in it still have to be asked.
_State: TypeAlias = tuple[Box, frozenset[str]]
_NOTHING: frozenset[str] = frozenset()


@dataclass
class Walker:
    """Walks chains, by name. `rules` are compiled when first met."""

    chains: Rules
    steps: int = 0

    def run(self, chain: str, box: Box) -> list[Outcome]:
        """The outcomes of a box in a chain, all of them together the box. Raises Unprovable."""
        out: list[Outcome] = []
        out.extend(self._chain(chain, [(box, _NOTHING)], out, 0))
        return out

    def _chain(self, name: str, states: list[_State], out: list[Outcome], depth: int) -> list[Outcome]:
        """What comes back to the caller; what does not is in `out`."""
        if depth > MAX_DEPTH:
            raise Unprovable(f"chain {name} lies more than {MAX_DEPTH} jumps deep")
        back: list[Outcome] = []
        rule = -1
        for rule, conditions, step in self.chains.rules(name):
            if not states:
                return back
            if conditions is None:
                continue
            onward: list[_State] = []
            for state in states:
                box, asks = state
                hit, rest = cut(box, conditions)
                if hit is None and len(rest) == 1:  # all of it goes on, as it is for most rules
                    onward.append(state)
                    continue
                onward.extend([(each, asks) for each in rest])
                if hit is not None:
                    self._do(step, (hit, asks), _At(name, rule, depth, out, back, onward))
            states = onward if step.parts is None else _joined(onward, step.parts.side)
            self.steps += len(states) + 1
            if self.steps > MAX_STEPS:
                raise Unprovable(f"more than {MAX_STEPS} steps: chain {name} is too intricate")
        back.extend(Outcome(box, "back", asks, name, rule) for box, asks in states)
        return back

    def _do(self, step: Step, state: _State, at: _At) -> None:
        box, asks = state
        match step.kind:
            case "accept" | "drop" | "open":
                at.out.append(Outcome(box, step.kind, asks, at.chain, at.rule))
            case "return":
                at.back.append(Outcome(box, "back", asks, at.chain, at.rule))
            case "continue":
                at.onward.append(state)
            case "jump":
                back = self._chain(step.name, [state], at.out, at.depth + 1)
                at.onward.extend((each.box, each.asks) for each in back)
            case "goto":
                at.back.extend(self._chain(step.name, [state], at.out, at.depth + 1))
            case "ask" if step.last:
                at.back.append(Outcome(box, "back", asks | {step.name}, at.chain, at.rule))
            case "ask":
                at.onward.append((box, asks | {step.name}))
            case "map":
                self._map(step, state, at)
            case _:
                assert_never(step.kind)

    def _map(self, step: Step, state: _State, at: _At) -> None:
        box, asks = state
        if step.parts is None:
            at.onward.append(state)
            return
        side = step.parts.side
        before, rest, behind = box[:side], box[side], box[side + 1 :]
        for inside, then in step.parts.met(rest):
            self._do(then, ((*before, inside, *behind), asks), at)
            rest &= ~inside
        if rest:
            at.onward.append(((*before, rest, *behind), asks))


def joined(outcomes: list[Outcome], sides: Iterable[int]) -> list[Outcome]:
    """The same in fewer boxes: those with the same end that differ in one of these sides alone are one."""
    for side in sides:
        found: dict[object, tuple[int, Outcome]] = {}
        for each in outcomes:
            box = each.box
            key = box[:side], box[side + 1 :], each[1:]
            known = found.get(key)
            found[key] = (box[side] if known is None else known[0] | box[side]), each
        outcomes = [
            each._replace(box=(*each.box[:side], value, *each.box[side + 1 :]))
            for value, each in found.values()
        ]
    return outcomes


def _joined(states: list[_State], side: int) -> list[_State]:
    """The same packets in fewer boxes: those that differ in one side alone are one.

    Behind a map there is a box for each of its parts, and each would be led through all that follows.
    """
    found: dict[tuple[Box, Box, frozenset[str]], int] = {}
    for box, asks in states:
        key = box[:side], box[side + 1 :], asks
        found[key] = found.get(key, 0) | box[side]
    return [((*before, value, *behind), asks) for (before, behind, asks), value in found.items()]


class _At(NamedTuple):
    """Where a walk is, and where its packets go."""

    chain: str
    rule: int
    depth: int
    out: list[Outcome]
    back: list[Outcome]
    onward: list[_State]


@dataclass
class Chains:
    """The chains of a table, or others, in one space; each is compiled when it is first asked for.

    With `asking`, a map from addresses to chains is not followed: whoever is in it must be asked for what the
    map says, which is looked at apart (`asked` gathers the names of maps, each with the side of its key).
    """

    space: Space
    table: Mapping[str, tuple[Rule, ...]]
    maps: Mapping[str, VerdictMap]
    asking: bool = False
    asked: dict[str, int] = field(default_factory=dict)
    _compiled: dict[str, tuple[Walked, ...]] = field(default_factory=dict)
    _parts: dict[tuple[str, str], Parts[Step] | None] = field(default_factory=dict)

    def rules(self, name: str) -> tuple[Walked, ...]:
        """The rules of a chain. Raises Unprovable."""
        found = self._compiled.get(name)
        if found is None:
            if name not in self.table:
                raise Unprovable(f"there is no chain {name}")
            found = self._compiled[name] = tuple(
                self._compile(name, number, rule) for number, rule in enumerate(self.table[name])
            )
        return found

    def _compile(self, chain: str, number: int, rule: Rule) -> Walked:
        try:
            conditions: list[Condition] = []
            for match in rule.matches:
                found = self.space.conditions(match)
                if found is None:
                    return Walked(number, None, Step("continue"))
                conditions.extend(found)
            step = self._step(rule.action)
        except Unprovable as error:
            raise Unprovable(f"chain {chain}, rule {number + 1}: {error}") from None
        limited = any(isinstance(each, Limit) for each in rule.statements)
        if limited and step.kind != "continue":
            raise Unprovable(f"chain {chain}, rule {number + 1} depends on a rate")
        if step.kind == "map" and not step.parts:
            return Walked(number, None, step)
        return Walked(number, tuple(conditions), step)

    def _step(self, action: Action) -> Step:
        if not isinstance(action, Vmap):
            return step_of(action)
        if action.map not in self.maps:
            raise Unprovable(f"there is no map {action.map}")
        key = (action.map, action.field.row.text)
        if key not in self._parts:
            self._parts[key] = self._parts_of(action, self.maps[action.map])
        return Step("map", parts=self._parts[key])

    def _parts_of(self, action: Vmap, part: VerdictMap) -> Parts[Step] | None:
        """The map's keys by verdict."""
        having = self.space.having(action.field)
        if having is None:
            return None
        if having[0]:
            raise Unprovable(f"a map is asked for {action.field.row.text}")
        side = having[1]
        by_verdict: dict[Step, list[object]] = {}
        asking = self.asking and part.key in KEY.values() and leads_to_chains(part)
        for key, verdict in part.elements:
            step = step_of(verdict)
            if asking and step.kind in ("jump", "goto", "drop"):
                step = Step("ask", str(part.name), last=is_last(part))
                if self.asked.setdefault(str(part.name), side) != side:
                    raise Unprovable(f"map {part.name} is asked for senders and for receivers")
            by_verdict.setdefault(step, []).append(key)
        keys_of = ((self.space.keys(action.field, keys), step) for step, keys in by_verdict.items())
        return Parts(side, keys_of)


def leads_to_chains(part: VerdictMap) -> bool:
    """Whether a map says what becomes of addresses by chains: then all that it says is looked at apart."""
    return any(isinstance(verdict, Jump | Goto) for _, verdict in part.elements)


def is_last(part: VerdictMap) -> bool:
    """Whether nothing comes back from a map's chains. Raises Unprovable where some do and some do not."""
    kinds = {type(verdict) for _, verdict in part.elements} & {Jump, Goto}
    if len(kinds) > 1:
        raise Unprovable(f"map {part.name} has jumps and gotos")
    return Goto in kinds


def step_of(verdict: Verdict) -> Step:
    """What a verdict does."""
    match verdict:
        case Accept():
            return Step("accept")
        case Drop() | Reject():
            return Step("drop")
        case Return():
            return Step("return")
        case Continue():
            return Step("continue")
        case Jump(chain):
            return Step("jump", str(chain))
        case Goto(chain):
            return Step("goto", str(chain))
        case _:
            assert_never(verdict)


def of_table(space: Space, table: Table, *, asking: bool = False) -> Chains:
    """The chains of a table in a space."""
    return Chains(
        space,
        {str(chain.name): chain.rules for chain in table.chains},
        {str(part.name): part for part in table.maps},
        asking,
    )
