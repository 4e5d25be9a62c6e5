"""Whether a pod that starts may go on: what it asked, what is known of it, what is in force. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from policyd.cni.request import Request
from policyd.node.attach import Address, Hint, KnownPod, KnownPods
from policyd.node.cni_result import POD_INTERFACE, read_hint

#: Errors of the CNI specification: a field is wrong; the same may go well later.
_BAD_CONFIGURATION, _LATER = 7, 11
#: So long an interface that the result names is looked for: without one a pod is closed rather than open.
BIND_SECONDS = 2.0
#: The uid of a pod that the kubelet has from a file: a hash, where the API server's are UUIDs.
_STATIC = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Answer:
    """What the plugin is answered: to go on, if there is no code."""

    code: int = 0
    text: str = ""

    def line(self) -> str:
        """As `plugin.sh` reads it: one line, without what would end its own text."""
        words = " ".join("".join(c if c.isprintable() and c not in '"\\' else " " for c in self.text).split())
        return f"refuse {self.code} {words[:1000]}\n" if self.code else "ok\n"


@dataclass(frozen=True, slots=True)
class Wait:
    """Not yet, and why. `start`: what the runtime says of its addresses is to be believed from now on."""

    reason: str
    start: Hint | None = None


def decide(
    request: Request, known: KnownPods, in_force: KnownPods | None, trouble: str, waited: float
) -> Answer | Wait:
    """Judge one request.

    `known` are the pods as the store has them, `in_force` as the ruleset in force has them: None if there is
    none. `trouble` says what keeps rulesets from coming into force, `waited` are seconds since the question.
    """
    if not request.pod or request.interface != POD_INTERFACE:
        return Answer()  # policies are about pods, and their first network (NP-113)
    hint = read_hint(request.result)
    if hint is None or not request.uid:
        return Answer(_BAD_CONFIGURATION, f"policyd: {request.pod} has no uid or no address in its result")
    verdict = _judge(request, hint, known.get(request.pod), in_force, trouble, waited)
    if isinstance(verdict, Wait) and waited >= request.wait_seconds:
        return Answer(_LATER, f"policyd: the rules of {request.pod} are not in force: {verdict.reason}")
    return verdict


def _judge(
    request: Request,
    hint: Hint,
    known: KnownPod | None,
    in_force: KnownPods | None,
    trouble: str,
    waited: float,
) -> Answer | Wait:
    if known is None or not _is_same(known, request):
        reason = "the API server has not reported this pod"
        return Wait(f"{reason}; {trouble}" if trouble else reason)
    wanted = addresses_of(hint)
    if not wanted <= known.addresses:
        # CHECK asks of a pod that runs: what it says is no news.
        return Wait("another address is known of it", hint if request.command == "ADD" else None)
    if in_force is None:
        return Wait(trouble or "no ruleset is in force yet")
    enforced = in_force.get(request.pod)
    if enforced is None or enforced.uid != known.uid or not wanted <= enforced.addresses:
        return Wait(trouble or "the ruleset that holds it is not in force yet")
    if hint.interfaces and enforced.interface is None and waited < BIND_SECONDS:
        return Wait("its interface on the node is not known yet")
    return Answer()


def _is_same(known: KnownPod, request: Request) -> bool:
    """Whether the pod of that name is the one that starts, and not one that had its name before.

    A static pod has another uid at the API server than at the kubelet; nobody but the node can make one.
    """
    return known.uid == request.uid or _STATIC.fullmatch(request.uid) is not None


def addresses_of(hint: Hint) -> frozenset[Address]:
    """The addresses of a hint, each with its family."""
    return frozenset((f, a) for f, a in ((4, hint.v4), (6, hint.v6)) if a is not None)
