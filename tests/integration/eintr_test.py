"""Dump after dump of a program that handles no signal and makes children: none of its system calls may
tell it, and its threads are there with their registers. Where a handler of ours runs in the threads, calls with a relative
time limit are allowed to.

usage: eintr_test.py HOLDFAST TARGET pid|signal|everybody|parked [SECONDS]
"""
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

from harness import Failure, Holdfast, expect

N_SLEEPERS, FORKERS, MALLOCERS = 9, 3, 1
N_THREADS = 1 + N_SLEEPERS + FORKERS + MALLOCERS + 1


def dump_by_pid(holdfast, process, _):
    path = holdfast.folder / "pid.hfd"
    holdfast("dump", process.pid, "-o", path)
    return path


def await_sleep(process, n_takers):
    """Until every thread that SIGUSR2 may go to is asleep and lets it in. One that is still on its way back from its
    handler, or from the stop, takes a signal that has just woken another: the kernel tells that one EINTR."""
    asleep, until = set(), time.monotonic() + 20
    while len(asleep) < n_takers:
        for task in pathlib.Path(f"/proc/{process.pid}/task").iterdir():
            status = (task / "status").read_text(encoding="ascii")
            blocked = int(re.search(r"^SigBlk:\s*(\w+)", status, re.M)[1], 16) >> (signal.SIGUSR2 - 1) & 1
            if not blocked and re.search(r"^State:\s*S", status, re.M):
                asleep.add(task.name)
        if time.monotonic() > until:
            raise Failure(f"only {len(asleep)} of {n_takers} threads go to sleep")
        time.sleep(0.001)


def dump_by_signal(holdfast, process, how):
    await_sleep(process, N_SLEEPERS + 1 if how == "everybody" else 1)
    before = set(holdfast.folder.glob("*.hfd"))
    os.kill(process.pid, signal.SIGUSR2)
    until = time.monotonic() + 20
    while time.monotonic() < until:
        if new := set(holdfast.folder.glob("*.hfd")) - before:
            return new.pop()
        time.sleep(0.001)
    raise Failure("a signal made no dump")


def main(holdfast_path, target, how, seconds="8"):
    if how == "parked" and os.geteuid():
        print("SKIPPED: only root can become another user")
        return 77
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as folder:
        holdfast = Holdfast(holdfast_path, folder)
        os.chmod(folder, 0o777)
        more = {"everybody": ["everybody"], "parked": ["nobody"]}.get(how, [])
        prefix = [] if how == "pid" else holdfast.run_command("--max-dumps", "1000000", "--no-sites")
        with open(os.path.join(folder, "said"), "w+", encoding="utf-8") as said, \
                subprocess.Popen([*prefix, target, str(FORKERS), str(MALLOCERS), *more], stdin=subprocess.PIPE,
                                 stdout=subprocess.PIPE, stderr=said, text=True) as process:
            if not process.stdout.readline().startswith("ready"):
                raise Failure("the target does not start")
            take = dump_by_pid if how == "pid" else dump_by_signal
            n, until = 0, time.monotonic() + float(seconds)
            while time.monotonic() < until:
                dump = take(holdfast, process, how)
                if n == 0:
                    check_threads(holdfast, dump, how)
                dump.unlink()
                n += 1
            process.stdin.close()
            line, status = process.stdout.read().strip(), process.wait(timeout=60)
            if how in ("everybody", "parked"):  # a handler ran; the time of these is relative
                told = [word.rsplit(" ", 1)[0] for word in line.split(", ")[1:]]
                status = int(not set(told) <= {"epoll_wait 1 ms", "sigtimedwait", "recv", "poll", "nanosleep"})
            said.seek(0)
            others = [text for text in said if not text.startswith("holdfast: signal USR2: heap dump in ")
                      and "this signal makes none" not in text]
        print(f"{n} dumps, {line}")
        expect("exit status", status, 0)
        expect("what it said besides", others, [])
    return 0


def check_threads(holdfast, dump, how):
    info = holdfast.json("info", dump)
    expect("partial", info["partial"], False)
    expect("stopped by a signal", any("stopped by a signal" in f["text"] for f in info["findings"]), how == "parked")
    db = holdfast.load(dump)
    expect("threads, with registers", db.execute("SELECT count(*), sum(registers) FROM thread").fetchone(),
           (N_THREADS, N_THREADS))
    pathlib.Path(dump).with_suffix(".hfdb").unlink()


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except Failure as failure:
        sys.exit(f"FAIL {failure}")
