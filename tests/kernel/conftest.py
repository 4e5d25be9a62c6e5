"""The labs that tests on packets share, one of each kind in a worker, and the proof that nothing is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from policyd.lab.lab import Lab
from policyd.lab.plan import Bridged, NodePlan, PodPlan, Routed
from tests.kernel.ground import Ground, open_ground
from tests.kernel.scene import Scene, open_scene
from tests.kernel.swaps import NODE, A, B, Road
from tests.lab.leftovers import leftovers


@pytest.fixture(scope="session", autouse=True)
def nothing_left() -> Iterator[None]:
    """At the end this process has no namespace and no child that it did not have at the beginning."""
    before = leftovers()
    yield
    assert leftovers() - before == Counter()


@pytest.fixture(scope="session", params=["routed", "bridged"])
def ground(request: pytest.FixtureRequest, nothing_left: None) -> Iterator[Ground]:
    with open_ground(request.param) as ground:
        yield ground


@pytest.fixture
def packets_counted(ground: Ground, record_property: Callable[[str, object], None]) -> Iterator[None]:
    """Tell the report how many packets a test had judged; the summary adds them up."""
    before = ground.judged
    yield
    record_property("packets", ground.judged - before)


@pytest.fixture(params=["routed", "bridged"])
def scene(request: pytest.FixtureRequest, nothing_left: None) -> Iterator[Scene]:
    with open_scene(request.param) as scene:
        yield scene


@pytest.fixture(params=["routed", "bridged"])
def road(request: pytest.FixtureRequest, nothing_left: None) -> Iterator[Road]:
    wiring = Routed() if request.param == "routed" else Bridged(("10.244.1.1", "fd00:10:244:1::1"))
    with Lab([NodePlan("n1", NODE, (PodPlan("x/a", A), PodPlan("x/b", B)), wiring)]) as lab:
        a, b = lab.pods["x/a"], lab.pods["x/b"]
        yield Road(lab.nodes["n1"], a.namespace, b.namespace, request.param, (a.device, b.device))
