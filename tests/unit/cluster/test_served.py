"""What Services lead to, by Services and EndpointSlices as the API server has them."""

from __future__ import annotations

from typing import Any

import pytest

from policyd.cluster.served import served_of
from policyd.kube.decode import decode_live
from policyd.kube.registry import ENDPOINT_SLICE, SERVED, SERVICE
from policyd_compiler.served import Backend, ServedPort
from tests.cases.services import RAW_SERVICE, RAW_SLICE, part, ports, service, v4


def test_each_port_leads_to_the_port_of_its_name_on_every_endpoint() -> None:
    """Ready or not: which of them is asked changes sooner than anybody can say. A family has its own."""
    sixth = part(
        metadata={**RAW_SLICE["metadata"], "name": "web-y"},
        addressType="IPv6",
        endpoints=[{"addresses": ["fd00::1"]}],
    )
    found = served_of([service()], [part(), sixth])
    both = [v4("10.244.1.1"), v4("10.244.1.2")]
    assert ports(found) == {
        ("tcp", 80): tuple(Backend(address, 8080) for address in both),
        ("udp", 53): tuple(Backend(address, 5353) for address in both),
    }
    assert found[6][v4("fd00:96::7")][0] == ServedPort("tcp", 80, (Backend(v4("fd00::1"), 8080),))


@pytest.mark.parametrize(
    "changes",
    [
        {"endpoints": []},
        {"ports": [{"name": "other", "port": 8080}]},
        {"ports": [{"name": "http", "port": 8080, "protocol": "UDP"}]},
        {"ports": [{"name": "http"}]},  # whatever port it is
        {"metadata": {**RAW_SLICE["metadata"], "labels": {}}},
        {"metadata": {**RAW_SLICE["metadata"], "namespace": "other"}},
        {"addressType": "FQDN", "endpoints": [{"addresses": ["shop.example"]}]},
    ],
)
def test_a_port_that_is_not_known_to_lead_anywhere_has_nothing_behind_it(changes: dict[str, Any]) -> None:
    assert ports(served_of([service()], [part(**changes)]))["tcp", 80] == ()


def test_a_headless_service_has_no_address_of_its_own() -> None:
    spec = {**RAW_SERVICE["spec"], "clusterIP": "None", "clusterIPs": ["None"]}
    assert served_of([service({**RAW_SERVICE, "spec": spec})], [part()]) == {4: {}, 6: {}}


def test_what_is_written_is_read_as_the_same_object() -> None:
    for item, written in (
        (service(), decode_live(SERVICE.encode(service()), SERVICE)),
        (part(), decode_live(ENDPOINT_SLICE.encode(part()), ENDPOINT_SLICE)),
    ):
        assert (written.item, written.mistakes) == (item, ())
        assert SERVED.key(item) == f"shop/{item.name}"


def test_another_name_of_a_service_is_that_of_its_endpoints_too() -> None:
    def other(word: str, name: str, within: str = "", /) -> str:
        return f"{word}-{name}-{within}"

    renamed, behind = SERVICE.rename(service(), other), ENDPOINT_SLICE.rename(part(), other)
    assert (behind.namespace, behind.service) == (renamed.namespace, renamed.name) != ("shop", "web")
    assert ports(served_of([renamed], [behind])) == ports(served_of([service()], [part()]))
