"""The snapshot of a process of real-time priority is none: it would keep others of that priority from the processors.

usage: realtime_test.py HOLDFAST TARGET
"""
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile

from harness import Failure, Holdfast

SKIPPED, TRIES = 77, 20
POLICY = 38  # field 41 of proc_pid_stat(5), counted from the third


def real_time():
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))


def policy_of_dump(path):
    """Of a process that writes this dump, while there is one; None: it is gone already."""
    for proc in pathlib.Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            if (proc / "comm").read_text(encoding="ascii", errors="replace") != "holdfast-dump\n":
                continue
            if str(path).encode() in (proc / "environ").read_bytes():
                return int((proc / "stat").read_text(encoding="ascii").rpartition(")")[2].split()[POLICY])
    return None


def main(command, target):
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as folder:
        holdfast = Holdfast(command, folder)
        env = {**os.environ, "HOLDFAST_TEST": folder}
        words = [*holdfast.run_command("--max-dumps", "1000"), target, "1000000"]
        try:
            process = subprocess.Popen(words, preexec_fn=real_time, env=env, text=True, stdin=subprocess.PIPE,
                                       stdout=subprocess.PIPE)
        except subprocess.SubprocessError:
            print("SKIPPED: real-time priority is not allowed here")
            return SKIPPED
        with process:
            if not re.fullmatch(r"ready \d+\n", process.stdout.readline()):
                raise Failure("the target did not get ready")
            seen = set()
            for i in range(TRIES):
                os.kill(process.pid, signal.SIGUSR2)
                while len(list(holdfast.folder.glob("*.hfd"))) <= i:
                    seen.add(policy_of_dump(folder))
                if os.SCHED_OTHER in seen:
                    break
            process.stdin.close()
        # For a moment, while it is the target's very copy, it has the target's policy.
        if os.SCHED_OTHER not in seen:
            raise Failure(f"policies of the snapshot: {seen}")
        print(f"ok   policy of the snapshot: {seen}")
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except Failure as failure:
        sys.exit(f"FAIL {failure}")
