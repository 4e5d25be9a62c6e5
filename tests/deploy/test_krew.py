"""The plugin for krew: an archive that runs by itself, and a manifest that names it."""

from __future__ import annotations

import hashlib
import io
import re
import shutil
import subprocess
import sys
import tarfile
from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from policyd.version import VERSION
from tests.deploy.rendering import ROOT

EXAMPLE = ROOT / "tests" / "fixtures" / "questions"


@pytest.fixture(scope="module")
def krew() -> ModuleType:
    """scripts/krew as a module."""
    loader = SourceFileLoader("krew", str(ROOT / "scripts" / "krew"))
    spec = spec_from_loader("krew", loader)
    assert spec is not None
    module = module_from_spec(spec)
    sys.dont_write_bytecode, before = True, sys.dont_write_bytecode
    try:
        loader.exec_module(module)
    finally:
        sys.dont_write_bytecode = before
    return module


@pytest.fixture
def packages(tmp_path: Path) -> Path:
    """PyYAML as it is installed here, in the place of what would be downloaded."""
    shutil.copytree(Path(yaml.__file__).parent, tmp_path / "packages" / "yaml")
    return tmp_path / "packages"


def test_what_krew_unpacks_runs_by_itself(krew: ModuleType, packages: Path, tmp_path: Path) -> None:
    data = krew.archive(packages)
    assert data == krew.archive(packages)
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        names = set(tar.getnames())
        tar.extractall(tmp_path / "store", filter="data")
    assert {"kubectl-policyd", "LICENSE", "lib/policyd/cni/plugin.sh"} <= names
    link = tmp_path / "kubectl-policyd"
    link.symlink_to(tmp_path / "store" / "kubectl-policyd")
    command = [sys.executable, "-S", "-E", str(link), "why", "-f", "old", "guest/shell", "shop/db:5432"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=EXAMPLE, check=False)
    assert (done.returncode, done.stdout.split()[:1], done.stderr) == (1, ["DENIED"], "")


def test_the_manifest_names_the_archives_by_their_sums(krew: ModuleType) -> None:
    sums = {platform: hashlib.sha256(platform.encode()).hexdigest() for platform in krew.PLATFORMS}
    text = krew.manifest("https://example.org/krew/", sums)
    assert "@" not in text
    found: Any = yaml.safe_load(text)
    assert found["apiVersion"] == "krew.googlecontainertools.github.com/v1alpha2"
    assert (found["kind"], found["metadata"]["name"]) == ("Plugin", "policyd")
    spec = found["spec"]
    assert re.fullmatch(r"v\d+\.\d+\.\d+", spec["version"])
    assert len(spec["shortDescription"]) <= 50
    assert [each["sha256"] for each in spec["platforms"]] == list(sums.values())
    assert [each["selector"]["matchLabels"] for each in spec["platforms"]] == [
        {"os": system, "arch": machine} for system in ("linux", "darwin") for machine in ("amd64", "arm64")
    ]
    for platform, each in zip(krew.PLATFORMS, spec["platforms"], strict=True):
        assert each["uri"] == f"https://example.org/krew/kubectl-policyd-{VERSION}-{platform}.tar.gz"
        assert each["bin"] == "kubectl-policyd"


def test_without_an_address_nothing_is_made(krew: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert (krew.main([]), krew.main(["https://example.org", "plan9-mips"])) == (2, 2)
    assert "usage: scripts/krew URL" in capsys.readouterr().err
