"""Dumps of processes in odd states and with odd memory.

usage: outside_odd_test.py HOLDFAST STATE TARGET
"""
import contextlib
import ctypes
import os
import pathlib
import re
import signal
import sqlite3
import subprocess
import time

from outside_kit import LIBC, NOBODY, Skip, Target, as_nobody, expect, gcore, need_root, open_to_all, run

N_OBJECTS = 50
TIMEOUT_S = 60
MNT_DETACH = 2


class Odd(Target):
    """odd_process in one of its states."""

    def __init__(self, program, folder, state, *options, **more):
        self.held, self.state = [], state
        self.process = subprocess.Popen([program, state, *options], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        stderr=subprocess.PIPE, text=True, cwd=folder, **more)
        self.pid = self.process.pid
        for line in self.process.stdout:
            words = line.split()
            if words[0] == "skip":
                raise Skip(line)
            if words[0] == "ready":
                break
            self.held.append((int(words[1], 16), int(words[2], 16)))
        else:
            raise Skip(f"the target did not get ready: {self.process.stderr.read()}")
        time.sleep(0.1)

    def __exit__(self, *exception):
        super().__exit__()
        self.process.stderr.close()


def dump(tool, t, out, statuses=(0,), **more):
    """One dump by the tool; its exit status and what it said."""
    try:
        words = [tool] if isinstance(tool, str) else tool
        done = subprocess.run([*words, str(t.pid), "-o", out], capture_output=True, text=True, timeout=TIMEOUT_S, **more)
    except subprocess.TimeoutExpired:
        expect(False, f"{t.state}: no end after {TIMEOUT_S} s")
    expect(done.returncode in statuses, f"{t.state}: exit status {done.returncode}: {done.stdout}{done.stderr}")
    expect(os.path.exists(out) == (done.returncode in (0, 4)), f"{t.state}: file and status do not agree")
    expect(len(done.stderr.splitlines()) == (done.returncode != 0), f"{t.state}: not one line: {done.stderr}")
    return done.returncode, done.stdout + done.stderr


def check(holdfast, t, out, status=0):
    """The list and what the odd memory holds are in the dump."""
    database = pathlib.Path(out).with_suffix(".hfdb")
    holdfast("verify", out, status=status)
    holdfast("load", out, "-o", database, status=status)
    db = sqlite3.connect(f"file:{database}?mode=ro", uri=True)
    held = db.execute("SELECT held_count FROM variable WHERE name = 'g_list'").fetchone()
    expect(held == (N_OBJECTS,), f"{t.state}: g_list holds {held}, not {N_OBJECTS} objects")
    for obj, slot in t.held:
        row = db.execute("SELECT o.reachable FROM root r JOIN object o ON o.id = r.object_id "
                         "WHERE r.addr = ? AND o.addr = ?", (slot, obj)).fetchone()
        expect(row == (1,), f"{t.state}: the word at {slot:#x} does not hold {obj:#x}")
    return db


def in_place(db):
    return db.execute("SELECT value FROM meta WHERE key = 'snapshot'").fetchone()[0] == "in-place"


def reasons(db):
    return " | ".join(text for text, in db.execute("SELECT text FROM finding WHERE severity != 'info'"))


def tool_of(holdfast):
    return str(pathlib.Path(holdfast.command).with_name("holdfast-dump"))


def ordinary(state, rounds=1, n_threads=None):
    """The dump is whole, and so is the target."""
    def scenario(holdfast, folder, target):
        with Odd(target, folder, state) as t:
            for i in range(rounds):
                out = f"{folder}/{i}.hfd"
                started = time.monotonic()
                dump(tool_of(holdfast), t, out)
                took = time.monotonic() - started
                if n_threads:
                    t.check_whole(n_threads)
                db = check(holdfast, t, out)
            print(f"{state}: {took:.2f} s, {'in place' if in_place(db) else 'snapshot'}; {reasons(db)}")
            t.finish()
    return scenario


def storm(holdfast, folder, target):
    """Threads and children come and go all the time: a dump, or nothing, and the target lives on."""
    for state in ("forks", "storm"):
        with Odd(target, folder, state) as t:
            for i in range(20):
                status, _ = dump(tool_of(holdfast), t, f"{folder}/{state}.{i}.hfd", (0, 4))
                expect(status == 0, f"{state}: partial")
            check(holdfast, t, f"{folder}/{state}.19.hfd")
            t.finish()


def execs(holdfast, folder, target):
    """A process that starts another program in the middle of it."""
    seen = {}
    with Odd(target, folder, "exec") as t:
        for i in range(60):
            status, text = dump(tool_of(holdfast), t, f"{folder}/{i}.hfd", (0, 1, 3, 4))
            text = re.sub(r"\d+", "N", text.splitlines()[-1]) if status else "whole"
            seen[status, text] = seen.get((status, text), 0) + 1
            expect(t.process.poll() is None, f"the target ended with {t.process.returncode}")
            expect(not t.tracers(), "still traced")
        for (status, text), n in seen.items():
            print(f"{n:3} × exit {status}: {text}")
        expect(any(status == 0 for status, _ in seen), "not one dump")
        time.sleep(0.3)
        expect(not t.children(), f"children are left: {t.children()}")
        t.finish()


def strict(holdfast, folder, target):
    """Seccomp's strict mode kills for any call: filters are suspended, or the process is read in place."""
    need_root()
    tool = open_to_all(folder, holdfast)
    with Odd(target, folder, "strict") as t:
        dump(tool, t, f"{folder}/root.hfd")
        t.check_whole(1)
        print(f"as root: {'in place' if in_place(check(holdfast, t, f'{folder}/root.hfd')) else 'snapshot'}")
        t.finish()
    program = open_program(folder, target)
    with Odd(program, folder, "strict", preexec_fn=as_nobody) as t:
        _, text = dump(tool, t, f"{folder}/nobody.hfd", preexec_fn=as_nobody)
        expect("read in place (a seccomp filter" in text, f"not said: {text}")
        t.check_whole(1)
        expect(in_place(check(holdfast, t, f"{folder}/nobody.hfd")), "the dump does not say so")
        t.finish()


def undumpable(holdfast, folder, target):
    """A process that does not want to be looked at: its own user may not, root may."""
    need_root()
    tool, program = open_to_all(folder, holdfast), open_program(folder, target)
    with Odd(program, folder, "undumpable", preexec_fn=as_nobody) as t:
        _, text = dump(tool, t, f"{folder}/nobody.hfd", (5,), preexec_fn=as_nobody)
        expect(f"process {t.pid} is not dumpable" in text, f"not said: {text}")
        dump(tool, t, f"{folder}/root.hfd")
        check(holdfast, t, f"{folder}/root.hfd")
        t.check_whole(1)
        t.finish()


def no_new_privs(holdfast, folder, target):
    """A process that can gain no privilege, and whoever dumps it neither: a snapshot all the same, by root and by its
    own user."""
    need_root()
    tool, program = open_to_all(folder, holdfast), open_program(folder, target)
    with Odd(program, folder, "no_new_privs", preexec_fn=as_nobody) as t:
        for name, more in (("root", {}), ("nobody", {"preexec_fn": as_nobody})):
            dump(["setpriv", "--no-new-privs", tool], t, f"{folder}/{name}.hfd", **more)
            expect(not in_place(check(holdfast, t, f"{folder}/{name}.hfd")), "no snapshot was made")
            t.check_whole(1)
        t.finish()


def open_program(folder, target):
    """A copy of a program where user nobody may run it."""
    copy = os.path.join(folder, "program")
    pathlib.Path(copy).write_bytes(pathlib.Path(target).read_bytes())
    os.chmod(copy, 0o755)
    return copy


def vfork(holdfast, folder, target):
    """A parent that is suspended by vfork() cannot be stopped: read in place, and the dump says so."""
    with Odd(target, folder, "vfork") as t:
        child = next(iter(t.children()))
        status, text = dump(tool_of(holdfast), t, f"{folder}/x.hfd", (0, 4))
        expect("read in place" in text and "vfork" in text, f"not said: {text}")
        db = check(holdfast, t, f"{folder}/x.hfd", status)
        expect(in_place(db), "the dump does not say so")
        print(f"exit {status}: {reasons(db)}")
        expect(not t.tracers(), "still traced")
        state = pathlib.Path(f"/proc/{child}/stat").read_text(encoding="ascii").rsplit(")", 1)[1].split()[0]
        expect(state == "S", f"the child is in state {state}")
        os.kill(child, signal.SIGKILL)
        t.process.wait(timeout=10)
        expect(t.process.returncode == 0, f"the target ended with {t.process.returncode}")


def vfork_thread(holdfast, folder, target):
    """One thread of several is suspended: the others are stopped, and the dump is partial."""
    with Odd(target, folder, "vfork_thread") as t:
        child = next(iter(t.children()))
        dump(tool_of(holdfast), t, f"{folder}/x.hfd", (4,))
        db = check(holdfast, t, f"{folder}/x.hfd", 4)
        expect("did not stop in time" in reasons(db), reasons(db))
        time.sleep(0.2)
        expect(not t.tracers(), "still traced")
        os.kill(child, signal.SIGKILL)
        t.check_whole(1)
        t.finish()


def pids(holdfast, folder, target):
    """A cgroup that allows no further process."""
    need_root()
    for base in ("/sys/fs/cgroup/pids", "/sys/fs/cgroup"):
        group = pathlib.Path(base, f"holdfast-test-{os.getpid()}")
        with contextlib.suppress(OSError):
            group.mkdir()
            if (group / "pids.max").exists():
                break
            group.rmdir()
    else:
        raise Skip("no cgroup with a pids controller can be made here")
    try:
        with Odd(target, folder, "plain", preexec_fn=lambda: (group / "cgroup.procs").write_text(str(os.getpid()))) as t:
            (group / "pids.max").write_text("1")
            _, text = dump(tool_of(holdfast), t, f"{folder}/x.hfd")
            expect("read in place (no snapshot could be forked" in text, f"not said: {text}")
            t.check_whole(1)
            expect(in_place(check(holdfast, t, f"{folder}/x.hfd")), "the dump does not say so")
            t.finish()
    finally:
        group.rmdir()


class Fuse:
    """A file system of one ELF file, whose server answers until it is told not to."""

    def __init__(self, folder, content):
        self.dir = os.path.join(folder, "fuse")
        os.mkdir(self.dir)
        try:
            self.fd = os.open("/dev/fuse", os.O_RDWR)
        except OSError as problem:
            raise Skip(f"no /dev/fuse here: {problem}") from problem
        options = f"fd={self.fd},rootmode=40000,user_id=0,group_id=0".encode()
        if LIBC.mount(b"hf", self.dir.encode(), b"fuse.hf", ctypes.c_ulong(0), options):
            raise Skip(f"cannot mount a FUSE file system: {os.strerror(ctypes.get_errno())}")
        self.content = content

    def serve(self):
        """Answer requests until there was none for a second."""
        import select
        import struct
        attr = struct.pack("<QQQQQQIIIIIIIIII", 2, len(self.content), 1, 0, 0, 0, 0, 0, 0, 0o100755, 1, 0, 0, 0, 4096, 0)
        root = struct.pack("<QQQQQQIIIIIIIIII", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o040755, 2, 0, 0, 0, 4096, 0)
        while select.select([self.fd], [], [], 1)[0]:
            request = os.read(self.fd, 1 << 17)
            _, op, unique, node = struct.unpack_from("<IIQQ", request)
            body, error = b"", 0
            if op == 26:  # INIT
                body = struct.pack("<IIIIHHIIHHI28x", 7, 31, 65536, 0, 12, 12, 65536, 1, 32, 0, 0)
            elif op == 1:  # LOOKUP
                body = struct.pack("<QQQQII", 2, 0, 3600, 3600, 0, 0) + attr
            elif op == 3:  # GETATTR
                body = struct.pack("<QII", 3600, 0, 0) + (root if node == 1 else attr)
            elif op in (14, 27):  # OPEN, OPENDIR
                body = struct.pack("<QII", 1, 0, 0)
            elif op == 15:  # READ
                _, offset, size = struct.unpack_from("<QQI", request, 40)
                body = self.content[offset:offset + size]
            elif op in (2, 42):  # FORGET: no answer
                continue
            elif op not in (18, 25, 29):  # RELEASE, FLUSH
                error = -38
            with contextlib.suppress(OSError):
                os.write(self.fd, struct.pack("<IiQ", 16 + len(body), error, unique) + body)

    def abort(self):
        """Whoever waits hears of it."""
        if self.fd >= 0:
            os.close(self.fd)
        self.fd = -1


def hanging(holdfast, folder, target):
    """Files on a file system that has stopped to answer."""
    need_root()
    import threading
    fuse = Fuse(folder, pathlib.Path("/bin/true").read_bytes())
    server = threading.Thread(target=fuse.serve)
    server.start()
    try:
        with Odd(target, folder, "hanging", f"{fuse.dir}/library.so") as t:
            server.join()  # nobody answers from here on
            dump(tool_of(holdfast), t, f"{folder}/x.hfd")
            t.check_whole(1)
            print(reasons(check(holdfast, t, f"{folder}/x.hfd")))
            fuse.abort()  # even its end waits for the server: closing a file does
            t.finish()
    finally:
        server.join()
        fuse.abort()
        rc = LIBC.umount2(fuse.dir.encode(), MNT_DETACH)
        expect(rc == 0, f"cannot unmount {fuse.dir}: {os.strerror(ctypes.get_errno())}")


def guards(holdfast, folder, target):
    """Live, they are no matter. In a core the protected pages are missing: what is around them is there."""
    ordinary("guards")(holdfast, folder, target)
    with Odd(target, folder, "guards") as t:
        out, tool = f"{folder}/core.hfd", tool_of(holdfast)
        done = subprocess.run([tool, "--core", gcore(folder, t.pid), "-o", out], capture_output=True, text=True,
                              timeout=TIMEOUT_S)
        expect(done.returncode in (0, 4), f"core: exit status {done.returncode}: {done.stderr}")
        check(holdfast, t, out, status=done.returncode)
        t.finish()


if __name__ == "__main__":
    scenarios = {"strict": strict, "undumpable": undumpable, "no_new_privs": no_new_privs, "vfork": vfork, "vfork_thread": vfork_thread, "pids": pids, "storm": storm,
                 "execs": execs, "hanging": hanging, "guards": guards,
                 "vsyscall": ordinary("vsyscall", 20)}
    for name in ("no_vdso", "names", "many", "reserve", "huge", "shrink", "resizing", "device", "uffd", "uffd_fork",
                 "headless", "uring", "own_stack"):
        scenarios[name] = ordinary(name)
    run(scenarios, __doc__)
