"""Of two that speak of a node's pods the newer counts, and what comes of it depends on no order."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

import pytest

from policyd.cluster.events import Delete, Event, Synced, Upsert
from policyd.kube.objects import Namespace, Pod
from policyd.node.two_sources import TwoSources, Word, merge

WEB = Pod(
    "shop", "web", "uid-1", (("app", "web"),), "n1", host_network=False, terminal=False, deleting=False,
    started="2026-11-30T10:00:00Z", v4=9, v6=None, ports=(), version=10,
)  # fmt: skip
KEY = "shop/web"
RELABELLED = replace(WEB, labels=(("app", "db"),))
STARTING = replace(WEB, v4=None)
NEXT = replace(WEB, uid="uid-2", v4=7, version=20)  # of the same name, after it


class Heard:
    """What the sink was told, as what it then has."""

    def __init__(self) -> None:
        self.pods: dict[str, Pod] = {}
        self.events: list[Event] = []
        self.both = TwoSources("n1", self)

    def __call__(self, events: Sequence[Event]) -> None:
        assert events, "nobody is woken for nothing"
        self.events += events
        for event in events:
            match event:
                case Upsert(key, Pod() as pod):
                    assert self.pods.get(key) != pod
                    self.pods[key] = pod
                case Delete("Pod", key):
                    del self.pods[key]
                case _:
                    pass

    def api(self, pod: Pod | None) -> None:
        self.both.api([Delete("Pod", KEY) if pod is None else Upsert(KEY, pod)])


@pytest.mark.parametrize(
    ("api", "word", "merged"),
    [
        (WEB, None, WEB),
        (None, Word(WEB), WEB),
        (None, Word(WEB, ended=True), None),
        (STARTING, Word(WEB), WEB),  # the kubelet has the status before it is written
        (STARTING, Word(replace(WEB, version=12)), WEB),
        (replace(STARTING, version=12), Word(WEB), WEB),  # and keeps the version of what it was told to run
        (replace(WEB, version=12), Word(replace(WEB, v4=8)), replace(WEB, v4=8)),
        (replace(WEB, version=12), Word(STARTING), WEB),  # a kubelet that has just begun
        (replace(WEB, version=12), Word(replace(WEB, terminal=True)), replace(WEB, terminal=True)),
        (replace(RELABELLED, version=11), Word(WEB), RELABELLED),
        (WEB, Word(replace(RELABELLED, version=11)), RELABELLED),
        (replace(STARTING, version=11, terminal=True), Word(WEB), replace(WEB, terminal=True)),
        (replace(WEB, version=11), Word(WEB, ended=True), replace(WEB, terminal=True)),
        (NEXT, Word(WEB), NEXT),
        (replace(NEXT, v4=None), Word(WEB), replace(NEXT, v4=None)),
        (NEXT, Word(WEB, ended=True), NEXT),
        (WEB, Word(NEXT), NEXT),
        (WEB, Word(NEXT, ended=True), WEB),
        (WEB, Word(replace(RELABELLED, uid="hash", version=0)), WEB),  # a static pod and its mirror
    ],
)
def test_the_newer_word_counts(api: Pod | None, word: Word | None, merged: Pod | None) -> None:
    assert merge(api, word) == merged


def test_a_pod_is_known_without_the_api_server() -> None:
    heard = Heard()
    heard.both.kubelet_has([Word(STARTING)])
    heard.both.kubelet([Word(WEB)])
    assert heard.events == [Upsert(KEY, STARTING), Upsert(KEY, WEB)]
    heard.api(replace(WEB, version=11))  # what is known already wakes nobody
    assert len(heard.events) == 2


def test_what_is_no_pod_of_the_node_passes_as_it_is() -> None:
    heard = Heard()
    events: list[Event] = [
        Upsert("shop", Namespace("shop", ())), Upsert(KEY, replace(WEB, node="n2")), Synced("Pod"),
        Delete("Namespace", "shop"), Delete("Pod", KEY),
    ]  # fmt: skip
    heard.both.api(events)
    assert heard.events == events


def test_what_other_nodes_get_is_not_kept() -> None:
    """Every pod of a cluster is nobody's at first: this is no second store of them all."""
    heard = Heard()
    heard.api(replace(STARTING, node=None))
    heard.api(replace(STARTING, node="n2"))
    heard.api(replace(WEB, node="n2"))
    assert heard.pods == {KEY: replace(WEB, node="n2")}
    assert not heard.both._api
    assert not heard.both._told
    heard.both.kubelet([Word(NEXT)])  # it went there meanwhile, and a pod of its name came here
    heard.api(None)
    assert heard.pods == {KEY: NEXT}


def test_a_pod_of_another_node_is_not_taken_of_the_kubelet() -> None:
    heard = Heard()
    heard.both.kubelet_has([Word(replace(WEB, node="n2"))])
    assert not heard.events


def test_a_pod_that_the_api_server_deleted_stays_so_whatever_the_kubelet_says_of_it() -> None:
    """Deleted by force its containers end later, and the kubelet goes on telling how they fare."""
    heard = Heard()
    heard.both.kubelet_has([Word(WEB)])
    heard.api(WEB)
    heard.api(None)
    heard.both.kubelet([Word(replace(WEB, deleting=True)), Word(WEB, ended=True)])
    heard.both.kubelet_has([Word(WEB)])
    assert not heard.pods
    heard.both.kubelet([Word(NEXT)])
    assert heard.pods == {KEY: NEXT}
    heard.both.kubelet_has([Word(NEXT)])
    heard.api(NEXT)
    assert heard.pods == {KEY: NEXT}


def test_a_pod_that_is_back_by_a_restored_backup_counts() -> None:
    heard = Heard()
    heard.api(WEB)
    heard.both.kubelet_has([Word(WEB)])
    heard.api(None)
    heard.api(WEB)
    heard.both.kubelet([Word(replace(WEB, v4=8))])
    assert heard.pods == {KEY: replace(WEB, v4=8)}


def test_a_pod_that_has_ended_gives_its_address_away() -> None:
    heard = Heard()
    heard.api(WEB)
    heard.both.kubelet_has([Word(WEB)])
    heard.both.kubelet([Word(replace(WEB, node=None, v4=None, version=0), ended=True)])
    assert heard.pods == {KEY: replace(WEB, terminal=True)}
    heard.api(replace(WEB, terminal=True, version=12))
    heard.api(None)
    assert not heard.pods


def test_the_end_of_one_pod_is_not_that_of_the_next_of_its_name() -> None:
    heard = Heard()
    heard.both.kubelet_has([Word(WEB)])
    heard.both.kubelet([Word(NEXT), Word(WEB, ended=True), Word(replace(WEB, deleting=True))])
    assert heard.pods == {KEY: NEXT}


def test_what_a_kubelet_does_not_list_the_api_server_may_have_nevertheless() -> None:
    heard = Heard()
    heard.api(WEB)
    heard.both.kubelet_has([])
    assert heard.pods == {KEY: WEB}


def test_an_event_that_the_kubelet_dropped_is_made_up_for_by_its_next_list() -> None:
    heard = Heard()
    heard.both.kubelet_has([Word(STARTING), Word(replace(WEB, name="gone", uid="uid-3"))])
    heard.both.kubelet_has([Word(WEB)])
    assert heard.pods == {KEY: WEB}


def test_without_the_kubelet_the_api_server_is_all_there_is() -> None:
    heard = Heard()
    heard.api(STARTING)
    heard.both.kubelet_has([Word(WEB), Word(replace(WEB, name="new", uid="uid-3"))])
    heard.both.forget_kubelet()
    assert heard.pods == {KEY: STARTING}


@pytest.mark.parametrize("seed", range(300))
def test_when_all_has_been_said_both_agree_whatever_came_first(seed: int) -> None:
    """A pod's life, as two tell it that are late by different times; the last word of both is the same."""
    rng = random.Random(seed)
    life: list[Pod] = []
    told: list[Pod] = []  # the same by the kubelet, with the version of the last change that was not its own
    for uid in ("uid-1", "uid-2"):
        pod = replace(WEB, uid=uid, v4=None)
        for _ in range(rng.randint(1, 5)):
            change = rng.choice(
                ({"v4": rng.randint(1, 9)}, {"labels": (("app", str(rng.random())),)}, {"deleting": True})
            )
            pod = replace(pod, version=10 + len(life), **change)
            life.append(pod)
            is_new = not told or told[-1].uid != uid or "v4" not in change
            told.append(replace(pod, version=pod.version if is_new else told[-1].version))
    last = life[-1]
    by_api = sorted({0, len(life) - 1, *rng.choices(range(len(life)), k=4)})
    by_kubelet = sorted({len(life) - 1, *rng.choices(range(len(life)), k=4)})
    heard = Heard()
    api, kubelet = [life[i] for i in by_api], [told[i] for i in by_kubelet]
    known: Pod | None = None
    while api or kubelet:
        if api and (not kubelet or rng.random() < 0.5):
            pod = api.pop(0)
            if known is not None and known.uid != pod.uid:
                heard.api(None)
            known = pod
            heard.api(pod)
        elif rng.random() < 0.7:
            heard.both.kubelet([Word(kubelet.pop(0))])
        else:
            heard.both.kubelet_has([Word(kubelet.pop(0))])
    assert heard.pods == {KEY: last}
