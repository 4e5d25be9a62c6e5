"""policyd on the session's cluster, as users install it; figures at the end, the agents' logs on failure."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.conformance import DEFINITION, HOUSE, define_policies
from tests.cluster.policyd.image import image_archive
from tests.cluster.policyd.installation import AUTO, Installation
from tests.cluster.policyd.pods import Pods
from tests.cluster.policyd.removal import remove

FIGURES = "figures"


@pytest.fixture(scope="package")
def installation(cluster: Cluster) -> Iterator[Installation]:
    """Give a cluster whose nodes have the image; whether policyd is installed is the test's own business.

    Tests of the bed, which know of no policy engine, get the cluster without policyd afterwards.
    """
    found = Installation(cluster, image_archive())
    yield found
    remove(found)


@pytest.fixture
def policyd(installation: Installation) -> Installation:
    """Give policyd installed by install.yaml, whatever was there before, and rolled out."""
    installation.install()
    return installation


@pytest.fixture
def automatic(installation: Installation) -> Iterator[Installation]:
    """Give policyd installed by install-auto.yaml, and rolled out; removed as its page says."""
    remove(installation)
    installation.install(AUTO)
    yield installation
    installation.uninstall(AUTO)


@pytest.fixture(scope="module")
def tiers(installation: Installation) -> Iterator[Cluster]:
    """Give a cluster that had ClusterNetworkPolicy, and none of that kind, before policyd came."""
    cluster = installation.cluster
    remove(installation)
    define_policies(cluster, "experimental")
    installation.install()
    yield cluster
    cluster.delete("namespaces", f"--selector={HOUSE}", seconds=180)
    cluster.delete("crd", DEFINITION)


@pytest.fixture
def pods(cluster: Cluster) -> Iterator[Pods]:
    """Give namespaces and pods to make, gone after the test."""
    with Pods(cluster) as found:
        yield found


@pytest.fixture
def tell(record_property: Callable[[str, object], None]) -> Callable[[str], None]:
    """Give what takes figures to be printed when all tests have ended."""
    return lambda text: record_property(FIGURES, text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Print the figures."""
    reports = [report for reports in terminalreporter.stats.values() for report in reports]
    for report in reports:
        if getattr(report, "when", "") == "call":
            for name, text in report.user_properties:
                if name == FIGURES:
                    terminalreporter.write_line(f"\n{text}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add what the agents say to a failure."""
    report = yield
    installation = getattr(item, "funcargs", {}).get("installation")
    if report.when == "call" and report.failed and isinstance(installation, Installation):
        report.sections.append(("the agents", installation.report()))
    return report
