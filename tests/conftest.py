"""Hypothesis profiles: `dev` at the desk, `ci` where CI is set; HYPOTHESIS_PROFILE names another."""

import os
import shutil
import signal
import tempfile
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings

# A shell without job control ignores Ctrl-C for what it starts in the background, and all below inherit that.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# What is started by tests buffers its output as it does for users.
os.environ.pop("PYTHONUNBUFFERED", None)

pytest_plugins = ["tests.cluster.plugin", "tests.limits"]

# No deadlines: a slow machine is not a finding. Compilation of a large example is slow by design.
settings.register_profile("dev", max_examples=50, deadline=None)
# Derandomised, so that a red run stays red until somebody fixes it, and a green one means the same tomorrow.
settings.register_profile(
    "ci",
    max_examples=300,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
# To find out only whether a test notices a planted fault, no example has to be the smallest.
settings.register_profile(
    "faults", parent=settings.get_profile("ci"), phases=(Phase.explicit, Phase.generate)
)
settings.register_profile("nightly", max_examples=20_000, deadline=None, print_blob=True)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if os.environ.get("CI") else "dev"))


@pytest.fixture(scope="session", autouse=True)
def run_dir() -> Iterator[None]:
    """Let agents that tests start have their sockets elsewhere than those of this machine, if it has any."""
    made = tempfile.mkdtemp(prefix="policyd-run-")  # not a test's own, whose path is too long for a socket
    os.environ["POLICYD_RUN_DIR"] = made
    yield
    shutil.rmtree(made)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many packets the kernel tests sent; a count of tests does not tell."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    ends = [report for report in reports if getattr(report, "when", "") == "teardown"]
    if sent := sum(n for report in ends for name, n in report.user_properties if name == "packets"):
        terminalreporter.write_line(f"{sent} packets judged by rulesets in the kernel")
