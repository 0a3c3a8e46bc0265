import os
import subprocess
import sys

WORK = """
import os, sys, threading
import torch
from mergegraph.kernels.threads import single_threaded

def work():
    if sys.argv[1] == "alone":
        single_threaded()
    x = torch.ones(1 << 22)
    for _ in range(3):
        torch.add(x, x, out=x)

before = len(os.listdir("/proc/self/task"))
seen = []
def watched():
    work()
    seen.append(len(os.listdir("/proc/self/task")))
threads = [threading.Thread(target=watched) for _ in range(2)]
for thread in threads:
    thread.start()
    thread.join()
print(max(seen) - before)
"""


def _more_threads(how):
    environment = {**os.environ, "OMP_NUM_THREADS": "4", "MKL_NUM_THREADS": "4"}
    done = subprocess.run(
        [sys.executable, "-c", WORK, how], env=environment, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


def test_workers_compute_in_their_own_thread():
    assert _more_threads("alone") == 1


def test_workers_would_else_start_threads():
    assert _more_threads("as torch likes") > 1
