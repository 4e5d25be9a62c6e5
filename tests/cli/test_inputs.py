"""What `-f` finds, and every file that is none: a sentence, and never a wait or a flood."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from policyd.cli.inputs import STDIN, Text, read_inputs
from policyd.manifests.load import MAX_JSON, MAX_YAML
from tests.cli.calls import Call, finish, start


def read(path: object, *, recursive: bool = False) -> list[str]:
    """The names of what was read, and what was said instead."""
    found = read_inputs(str(path), recursive=recursive)
    return [item.name if isinstance(item, Text) else str(item) for item in found]


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    for name in (
        "b.yaml",
        "a.yml",
        "c.json",
        "notes.txt",
        ".hidden.yaml",
        "a.yaml~",
        "#a.yaml#",
        "a.yaml.swp",
    ):
        (tmp_path / name).write_text(name)
    for folder in ("sub", "sub/deeper", ".git", "odd.yaml"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "d.yaml").write_text(folder)
    return tmp_path


def test_a_file_is_read_whatever_its_name(tree: Path) -> None:
    assert list(read_inputs(str(tree / "notes.txt"), recursive=False)) == [
        Text(str(tree / "notes.txt"), b"notes.txt")
    ]


def test_a_directory_is_read_by_suffix_in_order(tree: Path) -> None:
    """Hidden files and what editors leave behind are not read; neither is a directory, whatever its name."""
    assert read(tree) == [str(tree / name) for name in ("a.yml", "b.yaml", "c.json")]


def test_folders_are_read_when_asked_but_not_hidden_ones(tree: Path) -> None:
    names = ("a.yml", "b.yaml", "c.json", "odd.yaml/d.yaml", "sub/d.yaml", "sub/deeper/d.yaml")
    assert read(tree, recursive=True) == [str(tree / name) for name in names]


def test_a_mounted_config_map_is_read_once(tmp_path: Path) -> None:
    """Kubernetes mounts one as links to links to a hidden directory."""
    hidden = tmp_path / "..2026_01_01"
    hidden.mkdir()
    (hidden / "a.yaml").write_text("a")
    (tmp_path / "..data").symlink_to(hidden.name)
    (tmp_path / "a.yaml").symlink_to("..data/a.yaml")
    assert read(tmp_path, recursive=True) == [str(tmp_path / "a.yaml")]


def test_links_to_directories_are_not_followed_into_a_circle(tree: Path) -> None:
    (tree / "sub" / "up").symlink_to(tree)
    assert len(read(tree, recursive=True)) == 6


def test_a_directory_without_manifests_is_a_mistake(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    text = f"{tmp_path}: error: no file in this directory ends in .yaml, .yml, .json"
    assert read(tmp_path) == [f"{text}; -R looks into its folders, too"]
    assert read(tmp_path, recursive=True) == [text]


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").symlink_to("gone.yaml")
    (tmp_path / "loop.yaml").symlink_to("loop.yaml")
    (tmp_path / "file").write_text("")
    assert read(tmp_path / "b.yaml") == [f"{tmp_path}/b.yaml: error: there is no such file"]
    assert read(tmp_path / "a.yaml") == [
        f"{tmp_path}/a.yaml: error: a symbolic link to gone.yaml, which is not there"
    ]
    assert "symbolic links" in read(tmp_path / "loop.yaml")[0]
    assert "not a directory" in read(tmp_path / "file" / "a.yaml")[0]
    assert read("") == ['"": error: names no file']
    assert len(read(tmp_path)) == 2, "a broken link in a directory is told, too"


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    """To read a FIFO that somebody left in a directory would wait for ever."""
    os.mkfifo(tmp_path / "fifo.yaml")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s.yaml"))
        assert read(tmp_path) == [
            f"{tmp_path}/fifo.yaml: error: a FIFO, not a file",
            f"{tmp_path}/s.yaml: error: something else, not a file",
        ]
    assert read("/dev/zero") == ["/dev/zero: error: a device, not a file"]


def test_a_fifo_that_is_named_is_read(tmp_path: Path) -> None:
    """That is what a shell makes of `-f <(kubectl ...)`."""
    reader, writer = os.pipe()
    with os.fdopen(writer, "wb") as stream:
        stream.write(b"kind: List")
    try:
        [text] = read_inputs(f"/dev/fd/{reader}", recursive=False)
    finally:
        os.close(reader)
    assert text == Text(f"/dev/fd/{reader}", b"kind: List")


def test_a_file_that_cannot_be_read() -> None:
    """Not even by root: there is no memory at the address 0."""
    assert read("/proc/self/mem") == ["/proc/self/mem: error: cannot be read: input/output error"]


@pytest.mark.parametrize(
    ("head", "size", "sentence"),
    [
        ("kind: List\n", MAX_YAML + 1, "too much YAML: give it as JSON (`kubectl get -o json`)"),
        ("kind: List\n", 100 << 20, "too much YAML: give it as JSON (`kubectl get -o json`)"),
        ('\n{"kind":', MAX_JSON + 1, "longer than 512 MiB: split it"),
    ],
)
def test_a_file_that_is_too_long_is_not_read(tmp_path: Path, head: str, size: int, sentence: str) -> None:
    path = tmp_path / "a.yaml"
    path.write_text(head)
    os.truncate(path, size)  # a hole, which takes no room
    [said] = read(path)
    assert said.startswith(f"{path}: error: longer than")
    assert sentence in said


def test_an_input_without_end_is_not_read_to_its_end() -> None:
    with Path("/dev/zero").open("rb") as zeros:
        result = finish(start("compile", "-f", "-", "--node", "n1", stdin=zeros))
    assert result.code == 3
    assert result.err.startswith(f"{STDIN}: error: longer than 32 MiB")


def test_standard_input_has_a_name(call: Call) -> None:
    result = call("compile", "-f", "-", "--node", "n1", stdin="kind: Pod\n")
    assert (result.code, result.out) == (3, "")
    assert "<stdin>:1:1: error: Pod: apiVersion is required" in result.err


def test_standard_input_is_read_once(call: Call) -> None:
    result = call("compile", "-f", "-", "-f", "-")
    assert result.code == 2
    assert "give `-f -` once" in result.err


def test_a_name_is_reported_on_one_line(tmp_path: Path) -> None:
    assert read(tmp_path / "a\nb") == [f"{tmp_path}/a\\nb: error: there is no such file"]
