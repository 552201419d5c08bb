"""What the tests of dumps from outside share: a running target and what must be left of it, the
comparison with its manifest, other users."""
import contextlib
import ctypes
import os
import pathlib
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time

import compare
from harness import Failure, Holdfast, await_reading
from manifest import Manifest

SKIPPED = 77
NOBODY = 65534
LIBC = ctypes.CDLL(None, use_errno=True)


class Skip(Exception):
    """Cannot be tested here; the message says why."""


def expect(condition, message):
    if not condition:
        raise Failure(message)


class Target:
    """A running target, and what is known of its state."""

    def __init__(self, program, folder, *options, preexec=None, env=None, name="manifest", stderr=None):
        self.manifest_path = os.path.join(folder, name)
        if preexec:  # another user may run it here: the build may be in somebody's home
            copy = os.path.join(folder, os.path.basename(program))
            program = copy if os.path.exists(copy) else shutil.copy(program, copy)
        self.start([program, "--manifest", self.manifest_path, "--mode", "wait", *options], preexec_fn=preexec,
                   env=env, cwd=folder, stderr=stderr)

    def start(self, command, **more):
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, **more)
        self.pid = self.process.pid
        expect(re.fullmatch(r"ready \d+\n", self.process.stdout.readline()), "the target did not get ready")
        self.await_reading()

    def await_reading(self):
        await_reading(self.pid)

    def proc(self, name):
        return pathlib.Path(f"/proc/{self.pid}/{name}").read_text(encoding="ascii", errors="replace")

    def states(self):
        """State letter of each thread."""
        states = {}
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with contextlib.suppress(OSError):
                states[int(task)] = self.proc(f"task/{task}/stat").rsplit(")", 1)[1].split()[0]
        return states

    def children(self):
        children = set()
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with contextlib.suppress(OSError):  # the thread that reaps, in a process 1, has just ended
                children.update(int(c) for c in self.proc(f"task/{task}/children").split())
        return children

    def tracers(self):
        """Of each of its threads that is traced."""
        tracers = {}
        for task in os.listdir(f"/proc/{self.pid}/task"):
            with contextlib.suppress(OSError):
                tracers[int(task)] = int(re.search(r"^TracerPid:\s*(\d+)", self.proc(f"task/{task}/status"), re.M)[1])
        return {task: tracer for task, tracer in tracers.items() if tracer}

    def problems(self, n_threads, stopped=False):
        """What an earlier dump has left behind."""
        states = self.states()
        if len(states) != n_threads:
            yield f"{len(states)} threads, not {n_threads}"
        bad = {t: s for t, s in states.items() if s in ("t", "Z", "X") or (s == "T") != stopped}
        if bad:
            yield f"threads in state {bad}"
        if tracers := self.tracers():
            yield f"still traced (thread: tracer) {tracers}"
        if self.children():
            yield f"children {self.children()}"

    def check_whole(self, n_threads, wait_s=10.0, **more):
        """Nothing is left behind, at the latest after wait_s."""
        until = time.monotonic() + wait_s
        while problems := list(self.problems(n_threads, **more)):
            expect(time.monotonic() < until, f"after the dump: {problems}")
            time.sleep(0.005)

    def finish(self):
        """Its own checks, at its end."""
        self.process.stdin.close()
        status = self.process.wait(timeout=60)
        expect(status == 0, f"the target's exit status is {status}")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()


def check_manifest(holdfast, dump, manifest_path, n_threads, with_names=True):
    db = holdfast.load(dump)
    c = compare.Comparison(Manifest(manifest_path), db)
    c.check(f"{len(c.manifest.objects)} objects and their sizes", c.objects())
    c.check("nothing but them and libc's own", c.extra_objects(8 + 3 * n_threads))
    c.check(f"{len(c.manifest.edges)} edges, and no others from these objects", c.edges())
    c.check(f"{len(c.manifest.leaked)} leaked objects, and no others", c.leaks())
    c.check(f"{len(c.manifest.labels)} labels", c.labels())
    if with_names:
        c.check(f"{len(c.manifest.roots)} roots and their names", c.roots())
    expect(c.n_problems == 0, "the dump does not agree with the manifest")
    return db


def load_partial(holdfast, dump):
    database = pathlib.Path(dump).with_suffix(".hfdb")
    holdfast("load", dump, "-o", database, status=4)
    return sqlite3.connect(f"file:{database}?mode=ro", uri=True)


def gcore(folder, pid):
    if not shutil.which("gcore"):
        raise Skip("no gcore here (apt-get install gdb)")
    subprocess.run(["gcore", "-o", os.path.join(folder, "core"), str(pid)], check=True, capture_output=True,
                   stdin=subprocess.DEVNULL)
    return os.path.join(folder, f"core.{pid}")


def heap_of(db):
    objects = dict(db.execute("SELECT addr, usable FROM object"))
    edges = set(db.execute("SELECT s.addr, src_offset, d.addr, dst_offset FROM edge "
                           "JOIN object s ON s.id = src_id JOIN object d ON d.id = dst_id"))
    return objects, edges


def as_nobody():
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def need_root():
    if os.geteuid():
        raise Skip("needs root, to be two users")


def open_to_all(folder, holdfast):
    """A copy of the tool where user nobody may run it."""
    os.chmod(folder, 0o777)
    copy = os.path.join(folder, "holdfast-dump")
    shutil.copy(pathlib.Path(holdfast.command).with_name("holdfast-dump"), copy)
    return copy


def run_refused(command, reason, status=5, **more):
    done = subprocess.run(command, capture_output=True, text=True, **more)
    expect(done.returncode == status, f"{command}: exit status {done.returncode}, not {status}: {done.stderr}")
    expect(re.search(reason, done.stderr), f"{command}: «{done.stderr}» does not say «{reason}»")
    expect(done.stdout == "", f"{command}: prints «{done.stdout}»")


def run(scenarios, usage):
    """main() of a test: usage: TEST.py HOLDFAST SCENARIO [argument...]."""
    signal.alarm(900)
    if len(sys.argv) < 3 or sys.argv[2] not in scenarios:
        sys.exit(usage)
    try:
        with tempfile.TemporaryDirectory(prefix="holdfast-test-") as folder:
            scenarios[sys.argv[2]](Holdfast(sys.argv[1], folder), folder, *sys.argv[3:])
    except Skip as skip:
        print(f"SKIPPED: {skip}")
        sys.exit(SKIPPED)
    except Failure as failure:
        print(f"FAIL {failure}")
        sys.exit(1)
