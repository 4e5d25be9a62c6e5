"""What readers were given before, a second of damage for each, and the search finds what it is for."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from random import Random

import pytest

from tests.fuzz import job
from tests.fuzz.campaign import ROOT, Plan, run_jobs
from tests.fuzz.job import Report, fuzz, noted
from tests.fuzz.mutations import (
    BYTES,
    JSON,
    JSON_LINES,
    MAX_BYTES,
    WORDS,
    YAML,
    Mutation,
    change_json,
    change_json_lines,
    mutate,
)
from tests.fuzz.target import CORPUS, Reader, Target
from tests.fuzz.targets import TARGETS

#: What the first good input of each target comes to: the search begins where the readers are at work.
TAKEN = {
    "manifest-yaml": "1 objects",
    "manifest-json": "1 objects",
    "manifest-text": "1 objects",
    "lint": "complete NP001",
    "lint-settings": "Settings(select=('NP1', 'NP204')",
    "settings": "drop",
    "cni": "2 addresses",
    "cni-request": "the API server has not reported this pod",
    "cni-list": "3 plugins",
    "kubelet": "is, 1 events",
    "listing-bridge": "as wanted",
    "attachments": "1 pods, ",
    "watch": "5 objects, WatchStatus(kind='Node', synced=True",
    "discovery": "served as example.policyd.test/v1",
    "state": "a ruleset",
    "listing": "as wanted",
    "script": "done",
    "ruleset": "0 differences",
    "errors": "nft refused line 2",
    "netlink": "((1, Drop()), (2, Goto",
}


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    """Readers log what they dislike; nobody reads it here."""
    logging.disable()
    yield
    logging.disable(logging.NOTSET)


@pytest.mark.parametrize("name", TARGETS)
def test_good_inputs_are_taken(name: str, tmp_path: Path) -> None:
    target = TARGETS[name](tmp_path)
    assert target.read(target.good[0]).startswith(TAKEN[name])


@pytest.mark.parametrize("name", TARGETS)
def test_what_was_found_once_is_read(name: str, tmp_path: Path) -> None:
    target = TARGETS[name](tmp_path)
    for text in target.corpus().values():
        target.read(text)


def test_the_corpus_is_small_and_all_of_it_is_replayed() -> None:
    files = list(CORPUS.glob("*/*"))
    assert {path.parent.name for path in files} <= set(TARGETS)
    assert sum(path.stat().st_size for path in files) < 1 << 20


@pytest.mark.parametrize("name", TARGETS)
def test_a_second_of_damage_is_read(name: str, tmp_path: Path) -> None:
    report = fuzz(TARGETS[name](tmp_path), seed=1, inputs=100_000, seconds=1.0, directory=tmp_path)
    assert report.inputs > 0
    assert report.crashes == {}


def planted(read: Reader, good: bytes = b"a good input: 1, 2, 3\n" * 20) -> Target:
    return Target("planted", read, (good,), BYTES)


def test_what_raises_is_found_once_and_shortened(tmp_path: Path) -> None:
    def read(text: bytes) -> str:
        assert b"\t" not in text
        return "fine"

    report = fuzz(planted(read), seed=1, inputs=2000, seconds=30.0, directory=tmp_path)
    [(name, raised)] = report.crashes.items()
    assert (tmp_path / name).read_bytes() == b"\t"
    assert "AssertionError" in raised


def test_what_takes_long_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "LONGEST_SECONDS", 0.1)

    def read(text: bytes) -> str:
        while len(text) < 200:
            pass
        return "fine"

    report = fuzz(planted(read), seed=1, inputs=100, seconds=2.0, directory=tmp_path)
    [(name, raised)] = report.crashes.items()
    assert len((tmp_path / name).read_bytes()) < 200
    assert "no answer within 0.1 s" in raised


def run_job(planted_read: str, directory: Path) -> subprocess.CompletedProcess[str]:
    """A job in its process, for a target that reads so."""
    code = (
        "import sys, time; from tests.fuzz import job; from tests.fuzz.test_fuzz import planted\n"
        f"job.TARGETS['planted'] = lambda _: planted(lambda text: {planted_read})\n"
        "job.PATIENCE = 0.5\njob.main()"
    )
    environment = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'compiler'}"}
    command = [sys.executable, "-c", code, "planted", "1", "50", "60", str(directory)]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_who_waits_is_killed_and_his_input_is_known(tmp_path: Path) -> None:
    done = run_job("time.sleep(600) if b'good' not in text else 'fine'", tmp_path)
    assert done.returncode == -signal.SIGALRM
    text = noted(tmp_path / job.NOTE)
    assert text
    assert b"good" not in text


def test_who_asks_for_much_memory_raises(tmp_path: Path) -> None:
    done = run_job("str(len(bytes(3 << 30)))", tmp_path)
    [raised] = json.loads(done.stdout)["crashes"].values()
    assert "MemoryError" in raised


def test_new_ways_are_followed(tmp_path: Path) -> None:
    """A reader that says how far it came is led on, step by step."""
    word = b"\0\t{"

    def read(text: bytes) -> str:
        far = next((n for n in range(len(word), -1, -1) if text.startswith(word[:n])), 0)
        assert far < len(word)
        return "abc"[far]

    assert fuzz(planted(read, b"a"), seed=1, inputs=100_000, seconds=60.0, directory=tmp_path).crashes


@pytest.mark.parametrize("mutations", [BYTES, WORDS, JSON, JSON_LINES, YAML])
def test_damage_is_bounded_and_the_same_for_the_same_chance(mutations: tuple[Mutation, ...]) -> None:
    pool = [b"", b"a: [1, 2]\n", b'{"a": {"b": [1, null]}}\n{}', b"\xff" * MAX_BYTES]
    for text in pool:
        first, second = (
            [mutate(random, text, pool, mutations) for _ in range(100)] for random in (Random(1), Random(1))
        )
        assert first == second
        assert max(map(len, first)) <= MAX_BYTES
        assert len(set(first)) > 10


async def collect(plans: list[Plan], corpus: Path) -> list[Report]:
    return [report async for report in run_jobs(plans, 2, 30.0, corpus, keep_new=1)]


@pytest.mark.parametrize("mutation", [change_json, change_json_lines])
def test_what_is_buried_too_deep_to_be_printed_is_damaged_otherwise(mutation: Mutation) -> None:
    deep = b"[" * 900 + b"]" * 900
    for seed in range(200):
        assert isinstance(mutation(Random(seed), deep, [deep]), bytes)


def test_a_campaign_brings_home_what_its_jobs_find(tmp_path: Path) -> None:
    """A job that dies is a crash, too; `no-target` is one that cannot even begin."""
    plans = [Plan("errors", 1, 300), Plan("no-target", 1, 1)]
    good, dead = sorted(asyncio.run(collect(plans, tmp_path)), key=lambda report: report.target)
    assert (good.inputs, good.crashes) == (300, {})
    assert [path.name for path in (tmp_path / "errors").iterdir()] == good.new[:1]
    [(name, text)] = dead.crashes.items()
    assert "KeyError: 'no-target'" in text
    assert (tmp_path / "no-target" / name).exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_leaves_nothing_behind(tmp_path: Path, number: signal.Signals) -> None:
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    command = [
        sys.executable,
        "-m",
        "tests.fuzz",
        "cni",
        "--corpus",
        str(tmp_path / "corpus"),
        "--processes=1",
    ]
    environment = {**os.environ, "TMPDIR": str(scratch), "PYTHONPATH": f"{ROOT}:{ROOT / 'compiler'}"}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 60
            while not list(scratch.glob(f"*/*/{job.NOTE}")):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.02)
            process.send_signal(number)
            assert process.wait(30) == 130
        finally:
            process.kill()
    assert list(scratch.iterdir()) == []
