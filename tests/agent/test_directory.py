"""A directory as a source: it follows edits, and what is broken keeps counting as it was when it was good."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from policyd.agent.sources.directory import DirectorySource
from policyd.kube.objects import NetworkPolicy
from policyd.kube.registry import KINDS
from policyd.object_store import ObjectStore
from tests.agent.agents import WORLD, policy, write
from tests.support.waiting import eventually


@asynccontextmanager
async def following(
    directory: Path, *, keep_until_good: bool = False, recursive: bool = False
) -> AsyncIterator[tuple[DirectorySource, ObjectStore]]:
    """A source at work, and what it has said."""
    store = ObjectStore("n1", asyncio.Event())
    source = DirectorySource(directory, store.apply, recursive=recursive, keep_until_good=keep_until_good)
    task = asyncio.create_task(source.run())
    try:
        yield source, store
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


def ports(store: ObjectStore) -> dict[str, object]:
    """The policies by name, each as the one port that it opens; None for one that opens nothing."""
    return {key: port_of(item) for key, item in store.state().policies.items()}


def port_of(item: NetworkPolicy) -> object:
    [rule] = item.ingress or ()
    return rule.ports[0].port if rule.ports else None


async def test_files_that_come_change_and_go_are_followed(tmp_path: Path) -> None:

    write(tmp_path, "world.yaml", WORLD)
    write(tmp_path, "web.yaml", policy("web", "web", 80))
    async with following(tmp_path) as (_, store):
        await eventually(lambda: not store.waiting_for)
        assert ports(store) == {"shop/web": 80}
        write(tmp_path, "db.yaml", policy("db", "db", 5432))
        await eventually(lambda: ports(store) == {"shop/web": 80, "shop/db": 5432})
        write(tmp_path, "web.yaml", policy("web", "web", 443))
        await eventually(lambda: ports(store) == {"shop/web": 443, "shop/db": 5432})
        (tmp_path / "web.yaml").unlink()
        await eventually(lambda: ports(store) == {"shop/db": 5432})
        assert len(store.state().pods) == 2


async def test_a_policy_for_another_engine_breaks_no_file(tmp_path: Path) -> None:

    calico = "apiVersion: projectcalico.org/v3\nkind: NetworkPolicy\nmetadata: {name: web, namespace: shop}\n"
    write(tmp_path, "world.yaml", WORLD)
    write(tmp_path, "web.yaml", f"{calico}---\n{policy('web', 'web', 80)}")
    async with following(tmp_path) as (source, store):
        await eventually(lambda: not store.waiting_for)
        assert ports(store) == {"shop/web": 80}
        await eventually(lambda: source.conditions() == ())


async def test_a_broken_file_counts_as_it_was_when_it_was_good(tmp_path: Path) -> None:

    write(tmp_path, "web.yaml", policy("web", "web", 80))
    async with following(tmp_path) as (source, store):
        await eventually(lambda: ports(store) == {"shop/web": 80})
        for text in ("{{ nothing", policy("web", "web", 80).replace("80", "80000"), "{{ again"):
            write(tmp_path, "web.yaml", text)
            write(tmp_path, "sign.yaml", policy("sign", "db", len(text)))
            await eventually(lambda text=text: ports(store).get("shop/sign") == len(text))  # type: ignore[misc]
            assert ports(store).get("shop/web") == 80
            assert list(source.broken) == [str(tmp_path / "web.yaml")]
        write(tmp_path, "web.yaml", policy("web", "web", 443))
        await eventually(lambda: ports(store).get("shop/web") == 443)
        assert source.broken == {}


async def test_the_condition_names_the_first_mistake_its_policy_and_how_many_more_there_are(
    tmp_path: Path,
) -> None:
    good = policy("web", "web", 80)
    wrong = good.replace("80", "80000").replace("podSelector", "podselector")
    write(tmp_path, "web.yaml", good)
    write(tmp_path, "new.yaml", policy("new", "db", 99999))
    async with following(tmp_path) as (source, store):
        await eventually(lambda: len(ports(store)) == 2)
        write(tmp_path, "web.yaml", wrong)
        await eventually(lambda: len(source.broken) == 2)
        new, web = source.conditions()
        said = f"{tmp_path / 'new.yaml'} is not in force as it stands: line 4, column "
        assert new.text.startswith(said)
        assert ": NetworkPolicy shop/new: spec.ingress[0].ports[0].port: " in new.text
        assert new.text.endswith("; what is not understood in it is closed")
        assert 'NetworkPolicy shop/web: spec.podselector: unknown field; did you mean "podS' in web.text
        assert web.text.endswith(" (and 1 more mistake); it counts as it was when it was last good")


async def test_of_an_object_in_two_files_the_first_counts(tmp_path: Path) -> None:
    """In the order of their paths, whichever was written last; when the first goes, the other counts."""
    async with following(tmp_path) as (_, store):

        async def counting(number: int) -> object:
            """The port of `web`, once all that was written before is known."""
            write(tmp_path, "sign.yaml", policy("sign", "db", number))
            await eventually(lambda: ports(store).get("shop/sign") == number)
            return ports(store)["shop/web"]

        write(tmp_path, "b.yaml", policy("web", "web", 80))
        assert await counting(1) == 80
        write(tmp_path, "a.yaml", policy("web", "web", 443))
        assert await counting(2) == 443
        write(tmp_path, "b.yaml", policy("web", "web", 8080))
        assert await counting(3) == 443
        (tmp_path / "a.yaml").unlink()
        assert await counting(4) == 8080


async def test_a_file_that_was_never_good_counts_as_far_as_it_is_understood(tmp_path: Path) -> None:
    """The port is none, so the policy isolates and opens nothing (decisions 8)."""

    write(tmp_path, "web.yaml", policy("web", "web", 80).replace("80", "80000"))
    async with following(tmp_path) as (_, store):
        await eventually(lambda: ports(store) == {"shop/web": None})


async def test_with_a_ruleset_in_force_nothing_is_said_before_every_file_is_good(tmp_path: Path) -> None:

    write(tmp_path, "web.yaml", "{{ nothing")
    write(tmp_path, "db.yaml", policy("db", "db", 5432))
    async with following(tmp_path, keep_until_good=True) as (source, store):
        await eventually(lambda: source.broken)
        [told] = source.conditions()
        assert told.text.endswith("; the ruleset from before stays in force until it is repaired")
        write(tmp_path, "db.yaml", "{{ nothing")
        await eventually(lambda: len(source.broken) == 2)
        assert (ports(store), set(store.waiting_for)) == ({}, set(KINDS.names))
        write(tmp_path, "db.yaml", policy("db", "db", 5433))
        write(tmp_path, "web.yaml", policy("web", "web", 80))
        await eventually(lambda: ports(store) == {"shop/web": 80, "shop/db": 5433})


async def test_a_directory_that_was_never_read_does_not_say_that_there_is_nothing(tmp_path: Path) -> None:
    """Else every pod would be open: nothing is enforced before everything has been read (NP-048)."""
    directory = tmp_path / "later"
    async with following(directory) as (source, store):
        await eventually(lambda: [c for c in source.conditions() if c.name == "file-broken"])
        assert store.waiting_for
        directory.mkdir()
        write(directory, "world.yaml", f"{WORLD}---\n{policy('web', 'web', 80)}")
        await eventually(lambda: not store.waiting_for)
        assert ports(store) == {"shop/web": 80}
        await eventually(lambda: source.conditions() == ())


async def test_a_folder_that_cannot_be_read_is_not_one_without_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As without a file left to read it with: what it said counts."""
    folder = tmp_path / "team"
    folder.mkdir()
    write(tmp_path, "world.yaml", WORLD)
    write(folder, "web.yaml", policy("web", "web", 80))
    scandir = os.scandir

    def fail(path: str) -> Iterator[os.DirEntry[str]]:
        if Path(path) == folder:
            raise OSError(errno.EMFILE, "Too many open files")
        return scandir(path)

    async with following(tmp_path, recursive=True) as (source, store):
        await eventually(lambda: ports(store) == {"shop/web": 80})
        monkeypatch.setattr(os, "scandir", fail)
        write(tmp_path, "db.yaml", policy("db", "db", 5432))
        said = {"shop/web": 80}
        await eventually(lambda: ports(store) != said or "cannot be read" in str(source.conditions()))
        assert ports(store) == {"shop/web": 80}
        monkeypatch.undo()
        await eventually(lambda: ports(store) == {"shop/web": 80, "shop/db": 5432})
