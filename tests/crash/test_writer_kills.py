"""Kill the process that writes, again and again, until a run gets through."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path

from small_output import tree, write_output

CHILD = """
import sys, time
sys.path.insert(0, sys.argv[1])
from small_output import write_output
from mergegraph.write import ledger
ledger.SYNC_BYTES = 300
print("begun", flush=True)
write_output(sys.argv[2], after_each=lambda: time.sleep(float(sys.argv[3])), resume=True)
"""


def child(target, seconds_a_tensor):
    here = str(Path(__file__).parent)
    process = subprocess.Popen(
        [sys.executable, "-c", CHILD, here, str(target), str(seconds_a_tensor)], stdout=subprocess.PIPE
    )
    assert process.stdout.readline() == b"begun\n"
    return process


def test_a_killed_run_is_continued_until_it_is_complete(tmp_path):
    write_output(tmp_path / "reference")
    wait, killed = random.Random(5), 0
    for _ in range(6):
        with child(tmp_path / "out", 0.1) as process:
            time.sleep(wait.uniform(0, 0.3))
            process.kill()
        killed += process.returncode == -signal.SIGKILL
        if (tmp_path / "out").exists():
            break
    if not (tmp_path / "out").exists():
        write_output(tmp_path / "out", resume=True)
    assert killed > 0
    assert tree(tmp_path / "out") == tree(tmp_path / "reference")
    assert sorted(path.name for path in tmp_path.iterdir() if "lock" not in path.name) == ["out", "reference"]


def test_the_lock_of_a_killed_run_holds_nobody_up(tmp_path):
    with child(tmp_path / "out", 60) as process:
        while not list(tmp_path.glob("out.partial-*/model")):
            time.sleep(0.002)
        process.kill()
    assert (tmp_path / "out.partial.lock").exists()
    write_output(tmp_path / "out", resume=True)
    assert [path.name for path in tmp_path.iterdir()] == ["out"]
