"""Services and EndpointSlices go their own way, and nothing is judged by them before all are known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from policyd.agent.known_services import KnownServices
from policyd.cluster.events import Delete, Event, Synced, Upsert
from policyd.cluster.served import served_of
from policyd.kube.objects import Namespace
from policyd.kube.workloads import EndpointSlice
from policyd_compiler.served import Served
from tests.cases.services import part, ports, service


def test_what_is_said_of_others_is_said_to_others() -> None:
    services, others, calls = KnownServices(), list[Event](), list[int]()
    services.on_change.append(lambda: calls.append(1))

    def take(events: Sequence[Event]) -> None:
        others.extend(events)

    said = services.beside(take)
    namespace = Upsert("shop", Namespace("shop", (), None))
    said([namespace, Synced("Namespace"), Delete("Pod", "shop/a")])
    assert (others, calls) == ([namespace, Synced("Namespace"), Delete("Pod", "shop/a")], [])
    said([Upsert("shop/web", service()), Synced("Service")])
    complete = [services.is_complete]
    said([Upsert("shop/web-x", part()), Synced("EndpointSlice"), Synced("Pod")])
    assert [*complete, services.is_complete] == [False, True]
    assert (others[3:], len(calls)) == ([Synced("Pod")], 2)


def test_what_they_come_to_is_the_same_until_something_is_said() -> None:
    services = KnownServices()
    said = services.beside(lambda _: None)
    said([Upsert("shop/web", service()), Upsert("shop/web-x", part())])
    found = services.served()
    assert services.served() is found
    assert all(ports(found).values())
    said([Delete("EndpointSlice", "shop/web-x")])
    assert not any(ports(services.served()).values())
    said([Upsert("shop/web-x", part()), Delete("Service", "shop/web")])
    assert services.served() == {4: {}, 6: {}}
    said([Delete("Service", "shop/none")])


def test_a_slice_of_no_service_is_nobodys() -> None:
    services = KnownServices()
    lone = EndpointSlice("shop", "lone", "", ("10.244.1.9",), ())
    services.beside(lambda _: None)([Upsert("shop/lone", lone)])
    assert services.served() == {4: {}, 6: {}}


def test_what_is_said_while_they_are_put_together_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    """That is done in a thread. What it came to then is of no use any more."""
    services = KnownServices()
    said = services.beside(lambda _: None)
    said([Upsert("shop/web", service()), Upsert("shop/web-x", part())])

    def interrupted(*known: Any) -> Served:
        monkeypatch.undo()
        said([Delete("EndpointSlice", "shop/web-x")])
        return served_of(*known)

    monkeypatch.setattr("policyd.agent.known_services.served_of", interrupted)
    assert all(ports(services.served()).values())
    assert not any(ports(services.served()).values())
