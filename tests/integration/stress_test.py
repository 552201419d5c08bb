"""Dumped every 100 ms while they work, programs behave as if nobody looked: the same output and exit
status, no lost connection, no leaked process, descriptor or mapping.

usage: stress_test.py HOLDFAST SCENARIO SIZE [argument...]
       SCENARIO: redis, nginx, sqlite, busy (SIZE PROGRAM PLUGIN)
"""
import shutil
import signal
import sys
import tempfile

import stress
from harness import Failure, Holdfast

SKIPPED = 77
NEEDS = {"redis": ["redis-server", "redis-benchmark"], "nginx": ["nginx", "wrk"], "sqlite": ["sqlite3"], "busy": []}


def runs(holdfast, scenario, size, *more):
    """The program without dumps, with dumps by signal, and from outside."""
    for how in ("none", "signal", "pid"):
        if scenario == "busy":
            yield how, stress.busy(holdfast, how, *more, size)
        else:
            yield how, getattr(stress, scenario)(holdfast, how, size)


def main(holdfast_path, scenario, size, *more):
    missing = [program for program in NEEDS[scenario] if not shutil.which(program)]
    if missing:
        print(f"SKIPPED: {', '.join(missing)} not here (scripts/deps.sh installs it)")
        return SKIPPED
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as folder:
        holdfast = Holdfast(holdfast_path, folder)
        plain = None
        for how, run in runs(holdfast, scenario, int(size), *more):
            plain = plain or run
            print(f"{scenario} {how}: {run.rate / plain.rate:.2f} of the throughput, {run.dumps} dumps")
            if run.outcome != plain.outcome:
                raise Failure(f"{scenario}, dumps {how}: {run.outcome}, not {plain.outcome}")
        stress.wait_for_no_others(folder)
    return 0


if __name__ == "__main__":
    signal.alarm(1200)
    try:
        sys.exit(main(*sys.argv[1:]))
    except Failure as failure:
        print(f"FAIL {failure}")
        sys.exit(1)
