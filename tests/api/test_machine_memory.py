"""What a process may take, by the files of made-up machines."""

import pytest

from mergegraph.machine import available_bytes

MB = 1_000_000


def make_machine(root, cgroup, limits):
    """Write the files of a machine with 8000 kB free, 1000 kB of them its own, in control groups with limits."""
    files = {
        "proc/meminfo": "MemTotal:       16000 kB\nMemAvailable:    7000 kB\n",
        "proc/self/status": "Name:\tpython\nVmRSS:\t    1000 kB\n",
        "proc/self/cgroup": cgroup,
        **limits,
    }
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    return root


@pytest.mark.parametrize(
    ("cgroup", "limits", "expected"),
    [
        ("0::/\n", {}, 8000 * 1024),
        ("0::/\n", {"sys/fs/cgroup/memory.max": "max\n"}, 8000 * 1024),
        ("0::/\n", {"sys/fs/cgroup/memory.max": "3000000\n"}, 3 * MB),
        ("0::/\n", {"sys/fs/cgroup/memory.max": "30000000\n"}, 8000 * 1024),
        ("0::/a/b\n", {"sys/fs/cgroup/a/memory.max": "2000000\n", "sys/fs/cgroup/a/b/memory.max": "max\n"}, 2 * MB),
        ("4:cpu:/x\n5:memory:/x\n", {"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "4000000\n"}, 4 * MB),
        ("5:memory:/x\n", {"sys/fs/cgroup/memory/memory.limit_in_bytes": "5000000\n"}, 5 * MB),
        ("5:memory:/\n", {"sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712\n"}, 8000 * 1024),
        ("5:cpu:/x\n", {"sys/fs/cgroup/memory/x/memory.limit_in_bytes": "4000000\n"}, 8000 * 1024),
    ],
    ids=["none", "no limit", "of the group", "above what is free", "around it", "v1", "v1 mounted", "v1 none", "other"],
)
def test_the_limit_of_the_container_counts(tmp_path, cgroup, limits, expected):
    assert available_bytes(make_machine(tmp_path, cgroup, limits)) == expected


def test_without_control_groups_what_is_free_counts(tmp_path):
    make_machine(tmp_path, "", {})
    (tmp_path / "proc/self/cgroup").unlink()
    assert available_bytes(tmp_path) == 8000 * 1024
