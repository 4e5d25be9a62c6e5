"""Other network namespaces, entered for a moment by one thread."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from policyd.errors import EnvironmentRefused
from policyd.lab.namespace import Namespace
from policyd.netlink.inside import Inside, NoNamespace

pytestmark = pytest.mark.kernel


@pytest.fixture
def pod() -> Iterator[Namespace]:
    with closing(Namespace("pod")) as made:
        made.ip(
            ["link add eth0 type veth peer name other", "link set eth0 up", "addr add 10.0.0.1/24 dev eth0"]
        )
        yield made


@pytest.fixture
async def there() -> AsyncIterator[Inside]:
    made = Inside()
    yield made
    await made.rest(0.0)


async def test_what_is_asked_is_answered_there(pod: Namespace, there: Inside) -> None:
    assert (await there.interfaces(pod.path))[4, 10 << 24 | 1] == "eth0"
    before = await there.generation(pod.path)
    assert pod.run(["nft", "add table inet t"]).returncode == 0
    assert await there.generation(pod.path) == before + 1


async def test_neither_the_nodes_own_namespace_nor_none_is_entered(there: Inside) -> None:
    with pytest.raises(EnvironmentRefused, match="own network namespace"):
        await there.generation("/proc/self/ns/net")
    with pytest.raises(NoNamespace):
        await there.generation("/run/netns/none")


async def test_another_namespace_at_a_path_is_another(pod: Namespace, there: Inside, tmp_path: Path) -> None:
    """A socket that is kept is not taken for one in the namespace that came in the place of the first."""
    place = tmp_path / "netns"
    with closing(Namespace("next")) as following:
        for made in (pod, following):
            place.unlink(missing_ok=True)
            place.symlink_to(made.path)
            before = await there.generation(str(place))
            assert made.run(["nft", "add table inet t"]).returncode == 0
            assert await there.generation(str(place)) == before + 1


async def test_a_namespace_is_let_go(pod: Namespace, there: Inside) -> None:
    """What it held open in it is closed: a pod's links go with the pod."""
    await there.generation(pod.path)
    await there.rest(600.0)
    assert list(there._writers) == [pod.path]
    await there.rest(0.0)
    assert there._writers == {}
