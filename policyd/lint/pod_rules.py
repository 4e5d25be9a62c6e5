"""Rules about whom selectors match: NP101, NP102, NP103, NP106, and NP002 as far as pods tell."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.kube.objects import NAME_LABEL, LabelSelector, NetworkPolicy, PodPeer
from policyd.kube.reading import Path
from policyd.lint.drafts import Change, Draft, Subject
from policyd.lint.finding import Level
from policyd.lint.nearest import did_you_mean
from policyd.lint.seen import Seen, is_dns, is_elsewhere
from policyd.lint.selectors import (
    Repair,
    bare,
    is_open,
    peers_of,
    print_selector,
    renamed,
    repair_change,
    repairs,
)
from policyd.lint.text_rules import either_or

#: Keys under which people look for a namespace's name.
_NAME_KEYS = frozenset(
    ("name", "ns", "namespace", "kubernetes.io/name", "metadata.name", "kubernetes.io/metadata")
)
#: Namespaces that a message names.
_NAMED = 3


def selects_nobody(subject: Subject, seen: Seen) -> Iterator[Draft]:
    """NP101 and NP106: a policy that selects no pod (NP-024), or only pods on the host's network (NP-046)."""
    policy = subject.policy
    if policy is None:
        return
    selected = seen.selected(policy)
    path: Path = ("spec", "podSelector")
    if selected:
        if not selected & ~seen.on_host:
            yield Draft(
                "NP106", path, f"selects only {_on_host(seen, selected)}: it has no effect", near=True
            )
        return
    if is_open(policy.pods):  # whoever comes is isolated: that is what it says
        return
    here = seen.within((policy.namespace,))
    found = seen.repairs(policy.pods, here)
    if found:
        words, change = _mend(subject, path, policy.pods, found)
        yield Draft("NP101", path, _nobody(policy, seen), None, words, change, near=True)
        return
    elsewhere = _in_words(seen.namespaces_of(seen.select(policy.pods)))
    if elsewhere:
        hint = f"such pods are in {elsewhere}: a policy is for its own namespace"
        yield Draft("NP101", path, _nobody(policy, seen), hint=hint)
        return
    level: Level | None = None if here or seen.whole else "note"
    yield Draft("NP101", path, _nobody(policy, seen), level)


def _nobody(policy: NetworkPolicy, seen: Seen) -> str:
    return f"selects no pod: no {seen.one} of {policy.namespace} has {print_selector(policy.pods)}"


def peers_match_nobody(subject: Subject, seen: Seen) -> Iterator[Draft]:
    """NP102, NP103 and NP106: peers that match nobody."""
    policy = subject.policy
    if policy is None:
        return
    for path, peer in peers_of(policy):
        if isinstance(peer, PodPeer):
            yield from _judge_peer(subject, policy, path, peer, seen)


def _judge_peer(
    subject: Subject, policy: NetworkPolicy, path: Path, peer: PodPeer, seen: Seen
) -> Iterator[Draft]:
    spaces = seen.spaces(policy, peer)
    matched = seen.within(spaces.names) & seen.select(peer.pods)
    if matched:
        if not matched & ~seen.on_host and not spaces.others:
            who = _on_host(seen, matched)
            hint = "an ipBlock with the addresses of their nodes does"
            yield Draft("NP106", path, f"matches only {who}, which no selector reaches", hint=hint, near=True)
        return
    if peer.namespaces is not None and not spaces.names:
        yield from _no_namespace(subject, path, peer, peer.namespaces, seen)
        return
    if is_open(peer.pods):
        return
    here = seen.within(spaces.names)
    where = policy.namespace if peer.namespaces is None else _spaces_in_words(spaces.names)
    message = f"matches no pod: no {seen.one} of {where} has {print_selector(peer.pods)}"
    found = seen.repairs(peer.pods, here & ~seen.on_host)
    if found:
        words, change = _mend(subject, (*path, "podSelector"), peer.pods, found)
        yield Draft("NP102", path, message, None, words, change, near=True)
        return
    elsewhere = _in_words(seen.namespaces_of(seen.select(peer.pods) & ~seen.on_host))
    if elsewhere:
        hint = f"such pods are only in {elsewhere}"
        if peer.namespaces is None:
            hint += "; without namespaceSelector a rule means its own namespace"
        yield Draft("NP102", path, message, hint=hint)
    elif not is_dns(peer) or seen.whole:
        unseen = not here or spaces.others
        yield Draft("NP102", path, message, "note" if unseen and not seen.whole else None)


def _no_namespace(
    subject: Subject, path: Path, peer: PodPeer, selector: LabelSelector, seen: Seen
) -> Iterator[Draft]:
    """NP103: a selector of namespaces that matches none of those that were seen."""
    here = (*path, "namespaceSelector")
    message = f"matches no namespace: none has {print_selector(selector)}"
    for number, requirement in enumerate(selector.requirements):
        named = [value for value in requirement.values if value in seen.namespaces]
        if requirement.operator == "In" and requirement.key in _NAME_KEYS and named:
            if not seen.given.issuperset(named):  # whoever made the namespace may have labelled it so
                yield Draft("NP103", path, message, "note", f"every namespace has {NAME_LABEL}")
                return
            wanted = renamed(selector, number, NAME_LABEL)
            change = repair_change(
                subject, here, selector, Repair(number, "key", requirement.key, NAME_LABEL)
            )
            hint = f"did you mean {print_selector(wanted)}, which every namespace has?"
            yield Draft("NP103", path, message, None, hint, change, near=True)
            return
    found = repairs(selector, (dict(labels) for labels in seen.namespaces.values()))
    if found:
        words, change = _mend(subject, here, selector, found)
        yield Draft("NP103", path, message, None, words, change, near=True)
    elif seen.whole:
        yield Draft("NP103", path, message)
    elif not is_elsewhere(selector) and not is_dns(peer):
        by_name = any(r.key == NAME_LABEL for r in selector.requirements)
        if seen.names_all:
            yield Draft("NP103", path, message)
        elif not by_name and seen.given:
            yield Draft("NP103", path, message, "note")


def _mend(
    subject: Subject, path: Path, selector: LabelSelector, found: tuple[Repair, ...]
) -> tuple[str, Change | None]:
    """`did you mean web?`, and the change that it comes to if nothing else can be meant."""
    words = sorted({repair.new for repair in found})
    hint = did_you_mean(map(bare, words))
    return hint, repair_change(subject, path, selector, found[0]) if len(found) == 1 else None


def _spaces_in_words(names: tuple[str, ...]) -> str:
    return "any namespace" if len(names) > _NAMED else _in_words(names)


def _in_words(names: tuple[str, ...] | list[str]) -> str:
    if len(names) > _NAMED:
        return f"{', '.join(names[:_NAMED])} and {len(names) - _NAMED} more namespaces"
    return " and ".join(names)


def _on_host(seen: Seen, mask: int) -> str:
    return f"pods on the host's network ({seen.some(mask)})"


def and_meant(subject: Subject, seen: Seen) -> Iterator[Draft]:
    """NP002, unless pods tell that two items are meant: the second matches here, and nobody both."""
    policy = subject.policy
    if policy is None:
        return
    for draft, first, second in either_or(subject):
        here = seen.within((policy.namespace,)) & seen.select(second.pods)
        spaces = seen.spaces(policy, first)
        there = seen.within(spaces.names)
        both = there & seen.select(second.pods)
        if not here or not there or both:
            yield draft
