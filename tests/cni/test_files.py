"""policyd-cni on a node, beside whoever else writes there: installed, put back, and gone again."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from policyd.agent.plugin_keeper import PluginKeeper, keeper_of
from policyd.cni.conflist import PLUGIN
from policyd.cni.files import Found, Place, Way, install, program, remove
from policyd.config import load_settings
from policyd.lab.namespace import Namespace
from tests.agent.agents import run
from tests.cni.lists import CALICO, ENTRY, FLANNEL
from tests.support.waiting import eventually


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path / "net.d", tmp_path / "bin")
    made.configurations.mkdir()
    (made.configurations / "10-flannel.conflist").write_text(FLANNEL)
    return made


def chain(place: Place, name: str = "10-flannel.conflist") -> list[str]:
    return [plugin["type"] for plugin in json.loads((place.configurations / name).read_text())["plugins"]]


def test_it_is_installed_once_and_removed_without_a_trace(place: Place) -> None:
    path = place.configurations / "10-flannel.conflist"
    path.chmod(0o640)
    assert install(place, ENTRY, "conflist").trouble == ""
    assert chain(place) == ["flannel", "portmap", PLUGIN]
    assert (place.programs / PLUGIN).read_bytes() == program()
    assert stat.S_IMODE((place.programs / PLUGIN).stat().st_mode) == 0o755
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    marks = {each: each.stat().st_ino for each in (path, place.programs / PLUGIN)}
    assert install(place, ENTRY, "conflist") == Found()
    assert {each: each.stat().st_ino for each in marks} == marks  # not even written again
    assert set(remove(place)) == set(marks)
    assert path.read_text() == FLANNEL
    assert [each.name for each in place.configurations.iterdir()] == [path.name]
    assert list(place.programs.iterdir()) == []
    assert remove(place) == ()


def test_the_network_that_the_runtime_uses_is_the_first(place: Place) -> None:
    """Another may come, with an earlier name; when it is removed, it is so everywhere."""
    install(place, ENTRY, "conflist")
    (place.configurations / "05-calico.conflist").write_text(CALICO)
    install(place, ENTRY, "conflist")
    assert chain(place, "05-calico.conflist")[-1] == PLUGIN
    remove(place)
    assert (place.configurations / "05-calico.conflist").read_text() == CALICO
    assert (place.configurations / "10-flannel.conflist").read_text() == FLANNEL


def test_a_drop_in_leaves_the_list_alone(place: Place) -> None:
    assert install(place, ENTRY, "drop-in").trouble == ""
    drop_in = place.configurations / "cbr0" / "99-policyd-cni.conf"
    assert json.loads(drop_in.read_text()) == ENTRY
    assert (place.configurations / "10-flannel.conflist").read_text() == FLANNEL
    assert install(place, ENTRY, "drop-in") == Found()
    remove(place)
    assert [each.name for each in place.configurations.iterdir()] == ["10-flannel.conflist"]


def test_it_is_never_in_a_chain_twice(place: Place) -> None:
    drop_in = place.configurations / "cbr0" / "99-policyd-cni.conf"
    install(place, ENTRY, "conflist")
    install(place, ENTRY, "drop-in")
    assert (chain(place), drop_in.exists()) == (["flannel", "portmap"], True)
    install(place, ENTRY, "conflist")
    assert (chain(place), drop_in.exists()) == (["flannel", "portmap", PLUGIN], False)


def test_a_copy_comes_first_and_follows_its_list(place: Place) -> None:
    """The list itself stays as its installer wrote it, whatever that does at each start."""
    path, copy = place.configurations / "10-flannel.conflist", place.configurations / "00-policyd.conflist"
    install(place, ENTRY, "conflist")
    assert install(place, ENTRY, "copy").trouble == ""
    assert path.read_text() == FLANNEL
    assert chain(place, copy.name) == ["flannel", "portmap", PLUGIN]
    assert install(place, ENTRY, "copy") == Found()
    path.write_text(CALICO)
    assert install(place, ENTRY, "copy").wrote == (copy,)
    assert chain(place, copy.name) == ["calico", "portmap", PLUGIN]
    assert set(remove(place)) == {copy, place.programs / PLUGIN}
    assert path.read_text() == CALICO


@pytest.mark.parametrize("way", ["conflist", "drop-in"])
def test_no_copy_stays_before_the_list(place: Place, way: Way) -> None:
    """It would go on as it is, whatever becomes of the list."""
    install(place, ENTRY, "copy")
    install(place, ENTRY, way)
    assert not (place.configurations / "00-policyd.conflist").exists()
    assert install(place, ENTRY, way) == Found()


@pytest.mark.parametrize(
    ("files", "sentence"),
    [
        ({}, "no network"),
        ({"05-bridge.conf": '{"name": "x", "type": "bridge"}'}, "is no list"),
        ({"05-x.conflist": "{"}, "is no JSON"),
        ({"05-x.conflist": "\udcff"}, "no UTF-8"),
        ({"05-x.conflist": CALICO.replace("0.3.1", "0.2.0")}, "knows no chains"),
        ({"05-x.conflist": '{"loadOnlyInlinedPlugins": true, ' + CALICO[1:]}, "loadOnlyInlinedPlugins"),
        ({"05-x.conflist": CALICO.replace("k8s-pod-network", "../x")}, "no name that libcni takes"),
    ],
)  # fmt: skip
def test_what_cannot_be_chained_is_left_alone_and_reported(
    place: Place, files: dict[str, str], sentence: str
) -> None:
    if not files:
        (place.configurations / "10-flannel.conflist").unlink()
    for name, text in files.items():
        (place.configurations / name).write_text(text, errors="surrogateescape")
    assert sentence in install(place, ENTRY, "drop-in").trouble
    for name, text in files.items():
        assert (place.configurations / name).read_text(errors="surrogateescape") == text


def test_the_program_stays_while_a_chain_names_it(place: Place) -> None:
    """A chain whose program is missing starts no pod at all."""
    install(place, ENTRY, "conflist")
    path = place.configurations / "10-flannel.conflist"
    path.write_text(path.read_text().replace('"0.3.1"', '"0.2.0"'))
    with pytest.raises(OSError, match="by hand"):
        remove(place)
    assert (place.programs / PLUGIN).exists()


def test_nothing_half_written_is_ever_read(place: Place) -> None:
    """A runtime that reads all the time finds one of the two lists, whole."""
    path = place.configurations / "10-flannel.conflist"
    seen = set()
    for _ in range(200):
        install(place, ENTRY, "conflist")
        seen.add(tuple(chain(place)))
        path.write_text(FLANNEL)
        assert [each.name for each in place.configurations.glob("*.conflist")] == [path.name]
    assert seen == {("flannel", "portmap", PLUGIN)}


def test_what_somebody_else_writes_meanwhile_is_not_undone(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, theirs = place.configurations / "10-flannel.conflist", FLANNEL.replace("cbr0", "cbr1")
    replace = os.fsync

    def write(opened: int) -> None:  # between our reading and our writing
        replace(opened)
        path.write_text(theirs)

    install(place, ENTRY, "drop-in")  # so that nothing but the list is written
    monkeypatch.setattr(os, "fsync", write)
    with pytest.raises(OSError, match="somebody else"):
        install(place, ENTRY, "conflist")
    assert path.read_text() == theirs
    assert sorted(each.name for each in place.configurations.iterdir()) == ["10-flannel.conflist", "cbr0"]


@contextmanager
def kept(keeper: PluginKeeper) -> Iterator[None]:
    task = asyncio.create_task(keeper.run())
    try:
        yield
    finally:
        task.cancel()


async def test_it_is_put_back_when_the_configuration_is_rewritten(place: Place) -> None:
    """As Flannel's and Calico's installers do at each start, Cilium's, and an administrator."""
    keeper = PluginKeeper(place, ENTRY, "conflist")
    path = place.configurations / "10-flannel.conflist"
    with kept(keeper):
        await eventually(lambda: chain(place)[-1] == PLUGIN)
        await eventually(lambda: keeper.conditions() == ())
        path.write_text(FLANNEL)  # in place
        await eventually(lambda: chain(place)[-1] == PLUGIN)
        draft = place.configurations / "tmp"
        draft.write_text(FLANNEL.replace("cbr0", "cbr1"))
        draft.rename(path)  # as a whole
        await eventually(lambda: chain(place)[-1] == PLUGIN and "cbr1" in path.read_text())
        path.rename(place.configurations / "10-flannel.conflist.cilium_bak")  # cni.exclusive
        (place.configurations / "05-cilium.conflist").write_text(CALICO)
        await eventually(lambda: chain(place, "05-cilium.conflist")[-1] == PLUGIN)


async def test_it_waits_for_a_network_and_says_so(tmp_path: Path) -> None:
    place = Place(tmp_path / "net.d", tmp_path / "bin")
    place.configurations.mkdir()
    keeper = PluginKeeper(place, ENTRY, "conflist")
    with kept(keeper):
        await eventually(lambda: keeper.conditions() and "no network" in keeper.conditions()[0].text)
        assert [condition.name for condition in keeper.conditions()] == ["plugin-missing"]
        assert not keeper.conditions()[0].degraded
        (place.configurations / "10-flannel.conflist").write_text(FLANNEL)
        await eventually(lambda: not keeper.conditions())
        assert chain(place)[-1] == PLUGIN


async def test_a_directory_that_is_not_there_is_a_condition(tmp_path: Path) -> None:
    keeper = PluginKeeper(Place(tmp_path / "x", tmp_path / "bin"), ENTRY, "conflist")
    with kept(keeper):
        await eventually(lambda: "cannot be watched" in keeper.conditions()[0].text)


def test_the_settings_become_its_configuration(tmp_path: Path) -> None:
    assert keeper_of(load_settings({}, {}).settings) is None
    flags = {"cni_plugin": "conflist", "cni_conf_dir": str(tmp_path), "cni_wait": 7, "run_dir": "/run/p"}
    keeper = keeper_of(load_settings({**flags, "cni_unanswered": "pass"}, {}).settings)
    assert keeper is not None
    assert keeper.entry == {"type": PLUGIN, "runDir": "/run/p", "waitSeconds": 7, "unanswered": "pass"}


@pytest.mark.kernel
def test_cleanup_removes_it(place: Place) -> None:
    install(place, ENTRY, "conflist")
    flags = ("--cni-conf-dir", str(place.configurations), "--cni-bin-dir", str(place.programs))
    namespace = Namespace("node")
    try:
        done = run(namespace, "cleanup", "--table", "other", *flags)
        assert (done.returncode, done.stderr.count("removed")) == (0, 2), done.stderr
        assert (place.configurations / "10-flannel.conflist").read_text() == FLANNEL
        assert not (place.programs / PLUGIN).exists()
        shutil.rmtree(place.configurations)
        assert run(namespace, "cleanup", "--table", "other", *flags).returncode == 0
    finally:
        namespace.close()
