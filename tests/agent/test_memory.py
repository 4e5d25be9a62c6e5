"""How much memory is left, by the files in which the kernel says so."""

from __future__ import annotations

from pathlib import Path

import pytest

from policyd.agent.memory import address_space, resident, room

GIBIBYTE = 1 << 30
V2 = "sys/fs/cgroup"
V1 = "sys/fs/cgroup/memory"


def made(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    ("files", "left"),
    [
        ({}, None),
        ({"proc/meminfo": "MemTotal: 9 kB\nMemAvailable: 2097152 kB\n"}, 2 * GIBIBYTE),
        (  # of two groups the tighter one counts, and files can be dropped
            {
                "proc/self/cgroup": "0::/kube/pod\n",
                f"{V2}/kube/memory.max": f"{4 * GIBIBYTE}\n",
                f"{V2}/kube/memory.current": f"{GIBIBYTE}\n",
                f"{V2}/kube/pod/memory.max": f"{GIBIBYTE}\n",
                f"{V2}/kube/pod/memory.current": f"{GIBIBYTE}\n",
                f"{V2}/kube/pod/memory.stat": "anon 5\nactive_file 100\ninactive_file 23\n",
            },
            123,
        ),
        (  # a container sees its own group at the top, whatever its path on the host is
            {
                "proc/self/cgroup": "0::/kube/pod/container\n",
                f"{V2}/memory.max": "1000\n",
                f"{V2}/memory.current": "400\n",
            },
            600,
        ),
        ({"proc/self/cgroup": "0::/\n", f"{V2}/memory.max": "max\n", f"{V2}/memory.current": "400\n"}, None),
        (
            {
                "proc/self/cgroup": "4:memory:/pod\n2:cpu,cpuacct:/pod\n",
                f"{V1}/pod/memory.limit_in_bytes": "1000\n",
                f"{V1}/pod/memory.usage_in_bytes": "400\n",
                f"{V1}/pod/memory.stat": "total_active_file 50\n",
            },
            650,
        ),
        (  # over its limit there is no less than nothing
            {"proc/self/cgroup": "0::/\n", f"{V2}/memory.max": "10\n", f"{V2}/memory.current": "400\n"},
            0,
        ),
    ],
)
def test_the_tightest_limit_counts(files: dict[str, str], left: int | None, tmp_path: Path) -> None:
    assert room(made(tmp_path, files)) == left


def test_this_process_holds_some_memory_and_more_addresses() -> None:
    assert 0 < resident() < address_space()
