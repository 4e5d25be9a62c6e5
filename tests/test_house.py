"""The project's rules that a machine can hold: imports, sizes, empty packages, nothing of one machine."""

import ast
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.sources import ROOT, python_files, relative, tracked_text

SOURCES = ("policyd", "compiler", "tests", "bench")
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50

# Import name -> distribution, where the two differ. pydantic pins its core to one version.
DISTRIBUTIONS = {
    "yaml": "pyyaml",
    "kubernetes_asyncio": "kubernetes-asyncio",
    "prometheus_client": "prometheus-client",
    "pydantic_core": "pydantic",
}

# Where packages come from is each site's own configuration: what builds policyd names no address at all.
BUILD_FILES = re.compile(
    r"(?:pyproject\.toml|requirements.*|Makefile|scripts/.*|\.ci/.*|(?:.*/)?Dockerfile.*)"
)
# Absolute paths that exist on one machine: checkouts, homes, scratch directories of a build.
MACHINE_PATH = re.compile(r"(?<![\w.$}/-])/(?:work\b|home/\w|Users/\w|root/[\w.])")


def run_offline(*arguments: str, code: str | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code] if code is not None else [sys.executable, "-m", "policyd"]
    path = os.pathsep.join((str(ROOT), str(ROOT / "compiler")))
    return subprocess.run(
        [*command, *arguments],
        check=False,
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
    )


def test_import_contracts_hold() -> None:
    code = "import sys; from importlinter.cli import lint_imports; sys.exit(lint_imports(no_cache=True))"
    result = run_offline(code=code)
    assert result.returncode == 0, result.stdout + result.stderr


def test_files_are_short() -> None:
    lengths = {relative(path): len(path.read_text().splitlines()) for path in python_files(*SOURCES)}
    assert {name: length for name, length in lengths.items() if length > MAX_FILE_LINES} == {}


def test_functions_are_short() -> None:
    long = {
        f"{relative(path)}:{node.name}": length
        for path in python_files(*SOURCES)
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION_LINES
    }
    assert long == {}


def test_packages_are_empty() -> None:
    """An import of one module runs its package first, and the contracts do not see that."""
    full = [
        relative(path)
        for path in python_files("policyd", "compiler", "tests")
        if path.name == "__init__.py" and path.parent != ROOT / "tests" / "oracle"
        if not all(is_docstring(node) for node in ast.parse(path.read_text()).body)
    ]
    assert full == []


def is_docstring(node: ast.stmt) -> bool:
    return isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)


def test_what_tests_share_is_in_no_test_module() -> None:
    """Else a test that is deleted or renamed takes others with it."""
    found = [
        f"{relative(path)} imports {node.module}"
        for path in python_files("tests")
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, ast.ImportFrom) and (node.module or "").rpartition(".")[2].startswith("test_")
    ]
    assert found == []


def test_product_modules_say_what_they_are() -> None:
    silent = [
        relative(path)
        for path in python_files("policyd", "compiler")
        if path.name not in ("__init__.py", "__main__.py")
        if ast.get_docstring(ast.parse(path.read_text())) is None
    ]
    assert silent == []


def test_every_import_of_the_product_is_declared() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    lines = [*project["dependencies"], *project["optional-dependencies"]["agent"]]
    declared = {re.split(r"[^\w-]", line)[0].lower() for line in lines}
    # The binding comes from the distribution (see pyproject.toml), and only the worker process imports it.
    known = set(sys.stdlib_module_names) | {"policyd", "policyd_compiler", "nftables"}
    undeclared = {
        f"{relative(path)} imports {name}"
        for path in python_files("policyd", "compiler")
        for name in imported_names(path) - known
        if DISTRIBUTIONS.get(name, name) not in declared
    }
    assert undeclared == set()


def imported_names(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names.update(alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module is not None and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


def test_nothing_names_one_machine() -> None:
    found = [
        f"{relative(path)}:{number}: {line.strip()[:80]}"
        for path, text in tracked_text()
        if path != Path(__file__)
        for number, line in enumerate(text.splitlines(), start=1)
        if MACHINE_PATH.search(line)
    ]
    assert found == []


def test_the_build_names_no_address() -> None:
    found = [
        f"{relative(path)}:{number}: {line.strip()[:80]}"
        for path, text in tracked_text()
        if BUILD_FILES.fullmatch(relative(path))
        for number, line in enumerate(text.splitlines(), start=1)
        if "://" in line
    ]
    assert found == []


def test_every_locked_package_has_a_hash() -> None:
    lock = (ROOT / "requirements.lock").read_text().replace("\\\n", " ")
    lines = [line for line in lock.splitlines() if line and not line.startswith("#")]
    assert [line for line in lines if "==" not in line or "--hash=sha256:" not in line] == []


def test_the_lock_holds_every_declared_dependency() -> None:
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    project = settings["project"]
    extra = project["optional-dependencies"]["agent"]
    lines = [*project["dependencies"], *extra, *settings["dependency-groups"]["dev"]]
    declared = {re.split(r"[^\w-]", line)[0].lower() for line in lines}
    locked = set(re.findall(r"^([\w.-]+)==", (ROOT / "requirements.lock").read_text(), re.MULTILINE))
    assert declared - locked == set()


@pytest.mark.parametrize("module", ["kubernetes_asyncio", "nftables", "watchfiles", "aiohttp"])
def test_offline_compile_does_without(module: str, tmp_path: Path) -> None:
    """The offline commands start fast, and run where neither a cluster nor libnftables is."""
    if not (ROOT / "policyd" / "cli" / "compile.py").exists():
        return
    manifest = tmp_path / "policy.yaml"
    manifest.write_text(
        "apiVersion: networking.k8s.io/v1\nkind: NetworkPolicy\nmetadata: {name: deny, namespace: shop}\n"
        "spec: {podSelector: {}, policyTypes: [Ingress]}\n"
    )
    # A module that is None in sys.modules cannot be imported: the command fails if it tries.
    code = (
        "import runpy, sys; sys.modules[sys.argv.pop(1)] = None; "
        "runpy.run_module('policyd', run_name='__main__', alter_sys=True)"
    )
    result = run_offline(module, "compile", "-f", str(manifest), "--node", "n1", "--allow-empty", code=code)
    assert (result.returncode, result.stdout != "") == (0, True), result.stderr
