"""Mistakes of the watcher: what is overlooked, and what is forgotten too early."""

from __future__ import annotations

from tests.faults.fault import Fault

ABSENCE = "policyd/watcher/absence.py"
REFLECTOR = "policyd/watcher/reflector.py"

ABSENT = "tests/watcher/test_absence.py"

WATCHER = (
    Fault(
        "a deletion that is watched is overlooked",
        "NP-115",
        REFLECTOR,
        "                events = self._drop(self._store, decoded)\n",
        "                events = []\n",
        "tests/watcher/test_contents.py::test_a_line_may_come_byte_by_byte",
    ),
    Fault(
        "what a new list lacks stays",
        "NP-117",
        "policyd/watcher/store.py",
        "        return [*gone, *new]\n",
        "        return [*new]\n",
        "tests/watcher/test_parts.py::test_taking_over_a_list_says_what_differs_and_no_more",
    ),
    Fault(
        "an expired version is asked for for ever",
        "NP-117",
        REFLECTOR,
        'if error.reason == "expired" or self._stuck > 1:',
        "if self._stuck > 1:",
        "tests/watcher/test_watches.py::"
        "test_an_expired_version_means_a_new_list_and_the_old_store_serves_on[status]",
    ),
    Fault(
        "no list is planned when a connection breaks",
        "NP-117",
        REFLECTOR,
        "            self._note_break(error)\n",
        "",
        "tests/watcher/test_watches.py::"
        "test_a_restored_etcd_that_has_passed_our_version_is_noticed_by_a_planned_list[broken]",
    ),
    Fault(
        "the objects of a kind that seems absent are forgotten at once",
        "CNP-049",
        ABSENCE,
        "if not (empty or self.certain or now - self._since >= CONFIRM):",
        "if self._since > now:",
        f"{ABSENT}::test_its_objects_are_forgotten_when_its_absence_is_confirmed_and_not_before[emulator]",
    ),
    Fault(
        "discovery that fails in between confirms an absence",
        "CNP-049",
        ABSENCE,
        "        except WatchError as error:\n            self._since = None\n",
        "        except WatchError as error:\n",
        f"{ABSENT}::test_a_doubt_begins_the_confirmation_again[doubt2]",
    ),
    Fault(
        "a kind counts as absent that is served in another version",
        "CNP-049",
        "policyd/watcher/discovery.py",
        "            return version\n    return None",
        "            return None\n    return None",
        f"{ABSENT}::test_what_is_served_only_in_another_version_is_neither_empty_nor_waited_for[emulator]",
    ),
    Fault(
        "a kind that is absent keeps all others waiting",
        "CNP-049",
        REFLECTOR,
        "        if self._record.lack():\n",
        "        if self._record.lack() and events:\n",
        f"{ABSENT}::test_nothing_is_waited_for_that_a_cluster_need_not_have",
    ),
)
