"""The answer of `policyd why` for people. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.ask.ends import End
from policyd.ask.fits import FAR, Reference
from policyd.ask.ports import print_ports
from policyd.ask.summed import judge_all
from policyd.ask.tiers import FIRST
from policyd.ask.why import Side, Verdict
from policyd.ask.world import World
from policyd.kube.syntax import printable

#: Rules that nearly allow it; the rest is in the JSON.
_NEAR = 3
#: Policies that isolate; the rest is counted.
_POLICIES = 6
_COLORS = {"allowed": "\x1b[1;32m", "denied": "\x1b[1;31m", "unknown": "\x1b[1;33m"}
_PLAIN = "\x1b[0m"
_WORDS = {"open": "open", "allowed": "allow", "denied": "DENY", "unknown": "?"}


def why_text(verdict: Verdict, said: str, *, colored: bool) -> str:
    """A verdict, both directions, and what would change it."""
    ends = f"{verdict.sender.text} → {verdict.receiver.text}"
    lines = [f"{_paint(verdict.answer, colored=colored)}  {ends}  {verdict.packet}"]
    if said:
        lines.append(f"  {said}")
    for word, side, end in (
        ("egress", verdict.egress, verdict.sender),
        ("ingress", verdict.ingress, verdict.receiver),
    ):
        first, *rest = _side(word, side, end)
        lines.append(f"  {word:8} {first}")
        lines.extend(f"{'':11}{line}" for line in rest)
    if verdict.answer == "allowed":
        lines.append("  answers pass, too")
    return printable_lines(lines)


def printable_lines(lines: list[str]) -> str:
    """Lines without anything that a terminal would obey, but for our own colours."""
    out = []
    for line in lines:
        for code in (*_COLORS.values(), _PLAIN):
            line = line.replace(code, f"\0{code[1:]}")  # noqa: PLW2901
        out.append("\x1b".join(map(printable, line.split("\0"))))
    return "\n".join(out) + "\n"


def _paint(answer: str, *, colored: bool) -> str:
    text = answer.upper()
    return f"{_COLORS[answer]}{text}{_PLAIN}" if colored else text


def _side(word: str, side: Side, end: End) -> Iterator[str]:
    verb = _WORDS[side.state]
    if side.state == "open":
        whom = end.text if end.endpoint is not None or end.hosts else ""
        why = f"no policy selects {whom} for {word}" if whom else "it is not a pod: no policy selects it"
        yield f"{verb:6} {'; '.join(side.because) or why}"
        return
    isolated = f"isolated by {_policies(side.isolated_by)}"
    if side.state == "allowed":
        lines = [*side.because, *(_print_reference(each) for each in side.rules)]
        yield f"{verb:6} {lines[0] if lines else isolated}"
        yield from (f"{'and by':6} {line}" for line in lines[1:])
        return
    if side.state == "denied":
        yield f"{verb:6} {_by(side, isolated)}"
        yield from (f"{'':6} {each}" for each in side.because)
    else:
        yield f"{verb:6} {'; '.join(side.because) or isolated}"
    close = [near for near in side.near if near.distance < FAR] or side.near
    for near in close[:_NEAR]:
        yield f"{'near':6} {_print_reference(near.reference)}"
        yield f"{'':6} {near.because}"
        if near.edit:
            yield f"{'fix':6} {near.edit}"
    if len(close) > _NEAR:
        yield f"{'':6} and {len(close) - _NEAR} more rules that do not fit (-o json has them)"


def _by(side: Side, isolated: str) -> str:
    """What denies it."""
    denied = "a ClusterNetworkPolicy denies it"
    if not side.isolated_by:
        return denied
    if any(near.distance <= FIRST for near in side.near):
        return f"{denied}, before {_policies(side.isolated_by)} are asked"
    return f"{isolated}; no rule of theirs allows it"


def _policies(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - _POLICIES} more" if len(names) > _POLICIES else ""
    return ", ".join(names[:_POLICIES]) + more


def _print_reference(reference: Reference) -> str:
    place = f"  {reference.file}:{reference.line}" if reference.file else ""
    return f"{reference.policy} {reference.peer or reference.rule}{place}"


def all_ports(world: World, sender: End, receiver: End, *, colored: bool) -> tuple[str, bool]:
    """Which ports are open between two ends; and whether any is."""
    judged = judge_all(world, sender, receiver)
    lines = [f"{sender.text} → {receiver.text}"]
    for family, each in judged.items():
        name = f"  IPv{family}" if family else ""
        if each.allowed:
            lines.append(f"  {_paint('allowed', colored=colored)}{name}  {print_ports(each.allowed)}")
        elif not each.unknown:
            denied = _paint("denied", colored=colored)
            lines.append(
                f"  {denied}{name}  all ports; with one, as in {receiver.text}:80, the reason is said"
            )
        if each.unknown:
            lines.append(f"  {_paint('unknown', colored=colored)}{name}  {print_ports(each.unknown)}")
    return printable_lines(lines), any(each.allowed for each in judged.values())
