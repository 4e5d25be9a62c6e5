"""A cluster without policyd, whatever an earlier test has left there."""

from __future__ import annotations

from tests.cluster.policyd.installation import DAEMONSET, NAMESPACE, TABLE, Installation


def remove(installation: Installation) -> None:
    """Uninstall policyd if it is installed, and see that its rules are gone from every node."""
    there = ("--namespace", NAMESPACE, "get", DAEMONSET)
    if installation.cluster.kubectl(*there, check=False).returncode == 0:
        installation.uninstall()
    for node in installation.cluster.nodes:
        assert TABLE not in installation.tables(node)
