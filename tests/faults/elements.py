"""Faults in what is said to the kernel by hand: elements written and read, and who is taken for ourselves."""

from __future__ import annotations

from tests.faults.fault import Fault

CODEC, READER = "policyd/netlink/element_codec.py", "policyd/netlink/element_reader.py"
TESTS = "tests/netlink/test_elements.py"
WRITTEN = f"{TESTS}::test_what_is_written_is_what_nft_and_the_reader_read"
REFUSED = f"{TESTS}::test_a_refusal_names_its_change_and_nothing_is_written"

ELEMENTS = (
    Fault(
        "elements of two moments are read as of one",
        "DESIGN: drift",
        READER,
        "            if read_generation(self._socket) != before:\n",
        "            if not before:\n",
        f"{TESTS}::test_what_is_read_is_of_one_moment",
    ),
    Fault(
        "a dump that lost elements is read as the whole",
        "DESIGN: drift",
        READER,
        "        return self.count == len(held.elements)\n",
        "        return True\n",
        "tests/netlink/test_dumps.py",
    ),
    Fault(
        "where the kernel counts no elements, one dump of a set that grows is enough",
        "DESIGN: drift",
        READER,
        "            return self.is_sized\n",
        "            return True\n",
        "tests/netlink/test_dumps.py",
    ),
    Fault(
        "an element's values are not padded",
        "DESIGN: elements",
        CODEC,
        'return b"".join(value + bytes(-len(value) % 4) for value in encoded)',
        'return b"".join(encoded)',
        WRITTEN,
    ),
    Fault(
        "a range in a set has its last address outside",
        "NP-076",
        CODEC,
        "(high + 1).to_bytes(size) + end_behind",
        "max(high, low + 1).to_bytes(size) + end_behind",
        WRITTEN,
    ),
    Fault(
        "only the last refusal of a transaction of elements counts",
        "DESIGN: elements",
        "policyd/netlink/elements.py",
        "if (code := error_code(found.payload)) and refusal is None:",
        "if (code := error_code(found.payload)) and number == len(pieces) - 1:",
        f"{REFUSED}[a key with other data]",
    ),
    Fault(
        "elements are written whatever came between",
        "DESIGN: elements",
        "policyd/netlink/elements.py",
        'held = b"" if generation is None else attribute(_GENERATION, generation.to_bytes(4))',
        'held = b"" if generation is not None else attribute(_GENERATION, bytes(4))',
        f"{TESTS}::test_a_transaction_over_somebody_elses_is_refused",
    ),
    Fault(
        "a dump that the kernel broke off is taken for the whole",
        "DESIGN: drift",
        "policyd/netlink/messages.py",
        "            if (code := error_code(found.payload) if found.payload else 0) != 0:\n",
        "            if found.kind == ERROR and (code := error_code(found.payload)) != 0:\n",
        "tests/netlink/test_messages.py::test_a_dump_that_the_kernel_broke_off_is_not_the_whole",
    ),
    Fault(
        "while we write, nobody else's writing is noticed",
        "DESIGN: drift",
        "policyd/applier/monitor.py",
        "            and found.port not in self.trusted\n",
        "            and not self.trusted\n",
        "tests/applier/test_monitor.py::test_what_a_trusted_socket_writes_is_no_suspicion[inet]",
    ),
    Fault(
        "elements that nft does not list are taken to have arrived",
        "DESIGN: elements",
        "policyd/node/element_trial.py",
        "        if await list_table(nft, name) != _table(name, list(expected)):\n",
        "        if await list_table(nft, name) is None:\n",
        "tests/node/test_element_trial.py::test_what_is_lost_is_noticed[set NAME s-ether-nft lists others]",
    ),
    Fault(
        "a trial takes the table of another that is at work for one that was left behind",
        "DESIGN: elements",
        "policyd/node/element_trial.py",
        "        if int(match[2]) not in alive:\n",
        "        if int(match[2]) not in alive or True:\n",
        "tests/node/test_element_trial.py::test_what_a_killed_trial_left_is_removed_by_the_next[NftWorker]",
    ),
    Fault(
        "what a killed trial left stays in the kernel",
        "DESIGN: elements",
        "policyd/node/element_trial.py",
        "    await remove_abandoned_trials(nft)\n",
        "",
        "tests/node/test_element_trial.py::test_what_a_killed_trial_left_is_removed_by_the_next[NftProgram]",
    ),
    Fault(
        "a worker that is killed during the trial counts as a kernel that takes no elements",
        "DESIGN: elements",
        "policyd/node/element_trial.py",
        "    wrong = await retry_idempotent(lambda: _wrong(nft))\n",
        "    wrong = await _wrong(nft)\n",
        "tests/node/test_element_trial.py::test_a_worker_that_is_killed_says_nothing_about_the_kernel",
    ),
)
