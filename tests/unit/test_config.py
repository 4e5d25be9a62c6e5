"""A settings file that cannot be read, or says what cannot be, is told in a line; nothing else happens."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import pytest

from policyd.config import Settings, load_settings
from policyd.errors import BadFlags, BadInput
from policyd_compiler.options import Options

#: Six lines that mean a million words; with a few more they would mean more than memory holds.
BOMB = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 6)
)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("not YAML", "a: ["),
        ("not text", b"\xff"),
        ("no mapping", "7"),
        ("a long number", "node: " + "9" * 5000),
        ("a date that is none", "node: 2026-99-99"),
        ("no integer", "node: !!int x"),
        ("an empty integer", 'node: !!int ""'),
        ("no truth", "node: !!bool x"),
        ("no time", "node: !!timestamp x"),
        ("deep", "node: " + "[" * 5000),
        ("a list as a key", "? [a]\n: b"),
        ("no end", "verify_interval: .inf"),
        ("no address", "listen: nonsense"),
        ("no port", "listen: '127.0.0.1:'"),
        ("no such port", "listen: 127.0.0.1:65536"),
        ("no number", "stall_seconds: .nan"),
        ("a bomb", BOMB + "node: *a5\n"),
        ("a word of nft's", "table: flush"),
        ("no table", "table: 'a b'"),
        ("all interfaces", "pod_interfaces: ['*']"),
        ("no interface", 'pod_interfaces: [cni0, "a\\"b; } }"]'),
        ("too long an interface", "pod_interfaces: averyveryverylonginterfacename"),
    ],
)
def test_what_is_wrong_is_reported_in_a_line(tmp_path: Path, name: str, text: str | bytes) -> None:
    path = tmp_path / "settings.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(BadInput) as caught:
        load_settings({}, {}, path)
    for diagnostic in caught.value.diagnostics:
        said = str(diagnostic)
        assert said.startswith(f"{path}: error: ") or "there is no setting" in said
        assert len(said) < 1000


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("table", "flush", "--table: error: table: must not be a word of nft's own, not 'flush'"),
        ("pod_interfaces", "cni0,a b", "--pod-interfaces: error: pod_interfaces: 'a b' is not an interface"),
    ],
)
def test_what_is_wrong_with_flags_alone_is_a_wrong_command_line(
    name: str, value: str, sentence: str, tmp_path: Path
) -> None:
    with pytest.raises(BadFlags) as caught:
        load_settings({name: value}, {})
    assert caught.value.exit_code == 2
    assert str(caught.value).startswith(sentence)
    path = tmp_path / "settings.yaml"
    path.write_text("deny: rejct")
    with pytest.raises(BadInput) as mixed:
        load_settings({name: value}, {}, path)
    assert mixed.value.exit_code == 3


def test_the_environment_is_read_as_the_file_is() -> None:
    with pytest.raises(BadInput) as caught:
        load_settings({}, {"POLICYD_TABLE": "set"})
    assert caught.value.exit_code == 3
    assert str(caught.value).startswith("POLICYD_TABLE: error: table: must not be a word of nft's own")


def test_a_variable_that_is_no_setting_is_a_warning() -> None:
    """A misspelt one leaves its default in force, which may leave unknown pods open."""
    [warning] = load_settings({}, {"POLICYD_POD_INTERFACE": "cni0", "POLICYD_DENY": "reject"}).warnings
    assert warning.severity == "warning"
    assert warning.text == (
        "'POLICYD_POD_INTERFACE' is no setting and means nothing; did you mean POLICYD_POD_INTERFACES?"
    )


@pytest.mark.parametrize(
    "name",
    [
        *("POLICYD_DEBUG", "POLICYD_CONFIG", "POLICYD_SERVICE_HOST", "POLICYD_SERVICE_PORT"),
        *("POLICYD_METRICS_SERVICE_PORT_HTTP", "POLICYD_PORT", "POLICYD_PORT_9471_TCP"),
        *("POLICYD_PORT_9471_TCP_ADDR", "POLICYD_METRICS_PORT_9471_TCP_PROTO", "HOME"),
    ],
)
def test_what_kubernetes_and_others_put_into_the_environment_is_passed_over(name: str) -> None:
    assert load_settings({}, {name: ""}).warnings == ()


def test_the_options_of_the_compiler_are_settings_with_the_same_defaults() -> None:
    assert load_settings({}, {}).settings.options() == Options()
    for option in fields(Options):
        assert Settings.model_fields[option.name].description == option.metadata["help"]
