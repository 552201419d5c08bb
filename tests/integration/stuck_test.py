"""Dumps that something is in the way of: locks, a seccomp filter, time.

usage: stuck_test.py HOLDFAST TARGET SCENARIO
"""
import ctypes
import errno
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from harness import Failure, Holdfast, expect

N_NODES = 20000
ANSWER_TIMEOUT_S = 60


class Target:
    """A running target; says what it answers."""

    def __init__(self, holdfast, *args, options=()):
        self.process = subprocess.Popen([*holdfast.run_command(*options), *args], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        expect("the target says", self.process.stdout.readline(), "ready\n")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.process.kill()
        self.process.communicate()

    def dump(self, path):
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def end(self):
        """Its exit status and standard error."""
        self.process.stdin.write("end\n")
        self.process.stdin.flush()
        try:
            _, err = self.process.communicate(timeout=ANSWER_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            raise Failure("the target does not end") from None
        return self.process.returncode, err


def nodes(holdfast, dump):
    return holdfast.load(dump).execute("SELECT held_count FROM variable WHERE name = 'g_list'").fetchone()[0]


def locks(holdfast, target):
    """Whoever holds a lock stands still while the dump is made."""
    with Target(holdfast, target, "locks", options=["--on-exit"]) as t:
        for i in range(3):
            path = holdfast.folder / f"api.{i}.hfd"
            expect("holdfast_dump()", t.dump(path) in (0, -errno.ENODATA), True)
            expect("nodes", nodes(holdfast, path), N_NODES)
        os.kill(t.process.pid, signal.SIGUSR2)
        dump = holdfast.wait_for_dump("stuck_target.*.hfd")
        threads = holdfast.load(dump).execute("SELECT count(*), sum(registers) FROM thread").fetchone()
        expect("threads, with registers", threads, (6, 6))
        expect("nodes", nodes(holdfast, dump), N_NODES)
        status, said = t.end()
        second = holdfast.wait_for_dump("stuck_target.*.hfd", n=2)
        expect("end", (status, said), (0, f"holdfast: signal USR2: heap dump in {dump}\nholdfast: exit: heap dump in {second}\n"))


def seccomp(holdfast, target):
    """By a filter, or of a process that changed its user: where nobody may trace, threads are stopped by a signal, and
    the dump says so."""
    kinds = {"filter-kill": "seccomp filter", "filter-refuse": "seccomp filter", "user": "not dumpable"}
    holdfast.folder.chmod(0o777)
    for kind, word in kinds.items():
        if kind == "user" and os.geteuid() != 0:
            print("SKIPPED: user: only root can become another user")
            continue
        with Target(holdfast, target, kind) as t:
            path = holdfast.folder / f"{kind}.hfd"
            expect(f"{kind}: holdfast_dump()", t.dump(path), 0)
            said = [f["text"] for f in holdfast.json("info", path)["findings"]]
            if not any("1 threads were stopped by a signal" in text and word in text for text in said):
                raise Failure(f"no word about the threads, or the wrong one, in {said}")
            ended = [text for text in said if "process ended" in text]
            expect(f"{kind}: said to have ended", ended, [])
            if kind == "user":
                expect("user: file pages", len([text for text in said if "could not be counted" in text]), 1)
            check_whole(holdfast, path)
            expect(f"{kind}: once more", t.dump(holdfast.folder / f"{kind}.again.hfd"), 0)
            expect(f"{kind}: end", t.end(), (0, ""))


def check_whole(holdfast, path, n_threads=2):
    db = holdfast.load(path)
    expect("nodes", db.execute("SELECT held_count FROM variable WHERE name = 'g_list'").fetchone()[0], N_NODES)
    expect("threads, with registers", db.execute("SELECT count(*), sum(registers) FROM thread").fetchone(),
           (n_threads, n_threads))


def traced(holdfast, target):
    """A debugger is there already: who is traced and runs is stopped by a signal, who stands still in the debugger
    cannot be and is named."""
    if not shutil.which("strace"):
        print("SKIPPED: strace is not here")
        return 77
    with Target(holdfast, target, "thread") as t:
        strace = subprocess.Popen(["strace", "-f", "-q", "-o", "/dev/null", "-p", str(t.process.pid)],
                                  stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for_tracer(t.process.pid)
            for i in range(5):  # strace takes its time on a busy machine
                path = holdfast.folder / f"strace.{i}.hfd"
                if (rc := t.dump(path)) != -errno.ENODATA:
                    break
            expect("under strace: holdfast_dump()", rc, 0)
            check_whole(holdfast, path)
            expect("it says why", any("another process traces it" in f["text"] for f in holdfast.json("info", path)["findings"]),
                   True)
        finally:
            strace.terminate()
            strace.wait()
        helper = next(int(tid) for tid in os.listdir(f"/proc/{t.process.pid}/task") if int(tid) != t.process.pid)
        libc = ctypes.CDLL(None, use_errno=True)
        for request in (0x4206, 0x4207):  # PTRACE_SEIZE, PTRACE_INTERRUPT
            expect("ptrace", libc.ptrace(request, helper, None, None), 0)
        os.waitpid(helper, 0x40000000)  # __WALL
        path = holdfast.folder / "debugger.hfd"
        expect("in a debugger: holdfast_dump()", t.dump(path), -errno.ENODATA)
        info = subprocess.run([holdfast.command, "info", path], capture_output=True, text=True).stdout
        expect("it is named", f"1 threads ({helper}) could not be stopped" in " ".join(info.split()), True)
        libc.ptrace(17, helper, None, None)  # PTRACE_DETACH
        expect("end", t.end(), (0, ""))
    return 0


def wait_for_tracer(pid):
    until = time.monotonic() + ANSWER_TIMEOUT_S
    while any("TracerPid:\t0\n" in pathlib.Path(f"/proc/{pid}/task/{tid}/status").read_text()
              for tid in os.listdir(f"/proc/{pid}/task")):
        if time.monotonic() > until:
            raise Failure("strace does not attach")
        time.sleep(0.01)


def unparked(holdfast, target):
    """Nobody is stopped where that would kill, nor can be who blocks every signal behind libc's back. The dump is made
    without, and says so; nobody is killed for it."""
    for kind, word in {"no-return": "seccomp filter", "deaf": "seccomp filter"}.items():
        with Target(holdfast, target, kind) as t:
            path = holdfast.folder / f"{kind}.hfd"
            expect(f"{kind}: holdfast_dump()", t.dump(path), -errno.ENODATA)
            info = subprocess.run([holdfast.command, "info", path], capture_output=True, text=True).stdout
            if "1 threads (" not in info or "could not be stopped" not in info or word not in info:
                raise Failure(f"no word about the threads, or the wrong one, in {info}")
            subprocess.run([holdfast.command, "load", path, "-o", holdfast.folder / "x.hfdb"], capture_output=True)
            rows = subprocess.run([holdfast.command, "sql", holdfast.folder / "x.hfdb", "--csv",
                                   "SELECT held_count FROM variable WHERE name = 'g_list'"],
                                  capture_output=True, text=True).stdout
            expect(f"{kind}: nodes", rows.split()[-1:], [str(N_NODES)])
            (holdfast.folder / "x.hfdb").unlink()
            expect(f"{kind}: end", t.end(), (0, ""))


def processes(holdfast, target):
    """Where no process can be made, the thread that asks writes the dump itself."""
    if os.geteuid() != 0:
        print("SKIPPED: only root can become a user without processes")
        return
    holdfast.folder.chmod(0o777)
    with Target(holdfast, target, "processes") as t:
        path = holdfast.folder / "processes.hfd"
        expect("holdfast_dump()", t.dump(path), 0)
        info = holdfast.json("info", path)
        expect("snapshot", info["process"]["snapshot"], "in-place")
        for words in ("no process could be made for the dump", "1 threads were stopped by a signal"):
            expect(words, any(words in f["text"] for f in info["findings"]), True)
        check_whole(holdfast, path)
        expect("nodes", nodes(holdfast, path), N_NODES)
        expect("once more", t.dump(holdfast.folder / "again.hfd"), 0)
        expect("end", t.end(), (0, ""))


def snapshot_of(target):
    """The process that makes the dump: its name is ours, its program the target's."""
    until = time.monotonic() + ANSWER_TIMEOUT_S
    while time.monotonic() < until:
        for entry in os.listdir("/proc"):
            if not entry.isdigit():
                continue
            try:
                if pathlib.Path(f"/proc/{entry}/comm").read_text() == "holdfast-dump\n" and \
                        os.readlink(f"/proc/{entry}/exe") == os.path.realpath(target):
                    return int(entry)
            except OSError:
                continue
    raise Failure("there is no process that makes a dump")


def is_running(pid):
    try:
        return pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in "ZX"
    except OSError:
        return False


def limit(holdfast, target):
    """A dump that comes to nothing: the program goes on, nothing stays."""
    with Target(holdfast, target, "plain", "3000000", options=["--timeout", "1", "--on-exit"]) as t:
        os.kill(t.process.pid, signal.SIGUSR2)
        snapshot = snapshot_of(target)
        os.kill(snapshot, signal.SIGSTOP)
        time.sleep(1.5)
        os.kill(snapshot, signal.SIGCONT)
        while is_running(snapshot):
            time.sleep(0.01)
        expect("what stays", list(holdfast.folder.iterdir()), [])
        # One that is never heard of again: whoever waits for it goes on.
        t.process.stdin.write("end\n")
        t.process.stdin.flush()
        snapshot = snapshot_of(target)
        os.kill(snapshot, signal.SIGSTOP)
        try:
            status = t.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            status = "waits still"
        finally:
            os.kill(snapshot, signal.SIGKILL)
        expect("end", status, 0)
        err = t.process.stderr.read()
        expect("said", err, "holdfast: no dump was written: it took longer than 1 s (--timeout, timeout=)\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as test_folder:
        try:
            sys.exit(globals()[sys.argv[3]](Holdfast(sys.argv[1], test_folder), sys.argv[2]))
        except Failure as failure:
            sys.exit(f"FAIL {failure}")
