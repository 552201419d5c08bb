"""Dumps from outside under all circumstances: what must agree, what must be refused, and what must
be left behind (nothing).

usage: outside_test.py HOLDFAST SCENARIO TARGET [LIBRARY]
"""
import ctypes
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import time

from outside_kit import (LIBC, Skip, Target, as_nobody, check_manifest, expect, gcore, heap_of, need_root, open_to_all,
                         run, run_refused)


def roots_of(db):
    """Roots in memory that stands still while one dump after the other is made."""
    return set(db.execute("SELECT r.kind, r.name, r.addr, o.addr, r.offset FROM root r JOIN object o ON o.id = r.object_id "
                          "WHERE r.kind IN ('global', 'static', 'tls', 'registered') AND r.name NOT LIKE 'libholdfast%'"))


def agree(holdfast, folder, target, library):
    """In process, by pid and by core: the same heap."""
    cpp = os.path.basename(target) == "cpp_target"
    options, n_threads = ((), 1) if cpp else (("--objects", "1e5", "--threads", "8"), 8)
    env = {**os.environ, "LD_PRELOAD": library, "HOLDFAST": f"out={folder}/inside.hfd"}
    heaps, roots = {}, {}
    with Target(target, folder, *options, env=env) as t:
        os.kill(t.pid, signal.SIGUSR2)
        inside = holdfast.wait_for_dump("inside.hfd")
        t.check_whole(n_threads)
        by_pid, by_core = holdfast.folder / "pid.hfd", holdfast.folder / "core.hfd"
        holdfast("dump", t.pid, "-o", by_pid)
        t.check_whole(n_threads)
        core = gcore(folder, t.pid)
        holdfast("dump", "--core", core, "-o", by_core)
        for dump in (inside, by_pid, by_core):
            # After a first dump the library's own memory must not hold anything.
            db = check_manifest(holdfast, dump, t.manifest_path, n_threads)
            heaps[dump.name] = heap_of(db)
            roots[dump.name] = roots_of(db)
            partial = db.execute("SELECT count(*) FROM finding WHERE severity = 'partial'").fetchone()[0]
            expect(not partial, f"{dump.name} is partial")
            own = db.execute("SELECT count(*) FROM root r JOIN mapping m ON r.addr >= m.start AND "
                             "r.addr < m.start + m.size WHERE m.kind = 'own' AND r.kind != 'register'").fetchone()[0]
            expect(own == 0, f"{dump.name}: {own} roots in the dumper's own memory")
        t.finish()
    objects, edges = heaps.pop("inside.hfd")
    for name, (other_objects, other_edges) in heaps.items():
        expect(objects == other_objects, f"{name}: objects differ: {set(objects.items()) ^ set(other_objects.items())}")
        # What libc and threads that run on write into their own objects is theirs.
        expect(len(edges ^ other_edges) < 64, f"{name}: {len(edges ^ other_edges)} edges differ")
    # (libc's own words, its threads' lists, may change from one to the next.)
    for name, other in roots.items():
        differ = {r for r in roots["inside.hfd"] ^ other if not re.match(r"lib|ld|control block", r[1] or "")}
        expect(len(roots["inside.hfd"]) > 2 and not differ, f"{name}: roots differ: {sorted(differ)}")
    print(f"{len(objects)} objects, {len(edges)} edges, {len(roots['inside.hfd'])} roots: the same three times")


def build(holdfast, folder, target):
    """Another build of the target: static, without PIE, stripped."""
    with Target(target, folder, "--objects", "1e4", "--threads", "4") as t:
        by_pid, by_core = holdfast.folder / "pid.hfd", holdfast.folder / "core.hfd"
        holdfast("dump", t.pid, "-o", by_pid)
        t.check_whole(4)
        holdfast("dump", "--core", gcore(folder, t.pid), "-o", by_core)
        for dump in (by_pid, by_core):
            check_manifest(holdfast, dump, t.manifest_path, 4, with_names=not target.endswith("stripped"))
        t.finish()


def kill(holdfast, folder, target):
    """100 random moments at which the tool is told to end, or killed."""
    command = str(pathlib.Path(holdfast.command).with_name("holdfast-dump"))
    random.seed(1)
    n_threads, n_killed, n_whole, n_named, left = 8, 0, 0, 0, []
    signals = (signal.SIGKILL, signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    with Target(target, folder, "--objects", "1e5", "--threads", str(n_threads), "--churn-during") as t:
        started = time.monotonic()
        subprocess.run([command, str(t.pid), "-o", f"{folder}/whole.hfd"], check=True, capture_output=True)
        length = time.monotonic() - started
        for i in range(100):
            out, number = f"{folder}/killed.{i}.hfd", signals[i % len(signals)]
            tool = subprocess.Popen([command, str(t.pid), "-o", out], stdout=subprocess.DEVNULL)
            # Most moments in the first part, where the target is stopped.
            time.sleep(random.random() ** 3 * length)
            tool.send_signal(number)
            killed = tool.wait() == -number
            n_killed += killed
            n_whole += not killed
            t.check_whole(n_threads)
            # A signal may come between the file's name and the tool's end.
            if killed and os.path.exists(out):
                holdfast("verify", out)
                n_named += 1
        # Who is killed in the first moments, or with its guard unborn, cannot remove what it has begun.
        left = [n for n in os.listdir(folder) if ".tmp" in n]
        expect(len(left) <= 3, f"temporary files are left: {left}")
        expect(n_named <= 10, f"{n_named} of the killed had named their file")
        expect(n_killed >= 50, f"only {n_killed} of 100 were killed in time")
        subprocess.run([command, str(t.pid), "-o", f"{folder}/after.hfd"], check=True)
        t.check_whole(n_threads)
        t.finish()
    print(f"{n_killed} killed, {n_whole} had ended already; one dump takes {length:.2f} s; left: {left}")


def at_once(holdfast, folder, target, library):
    """Several who dump one process at the same moment, itself among them, all get all of it."""
    command, n_threads, n_rounds, n_tools = str(pathlib.Path(holdfast.command).with_name("holdfast-dump")), 8, 6, 4
    env = {**os.environ, "LD_PRELOAD": library, "HOLDFAST": f"out={folder}/inside.%n.hfd"}
    with Target(target, folder, "--objects", "1e4", "--threads", str(n_threads), "--churn-during", env=env) as t:
        for i in range(n_rounds):
            outs = [f"{folder}/at_once.{i}.{k}.hfd" for k in range(n_tools)]
            tools = [subprocess.Popen([command, str(t.pid), "-o", out], stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
                     for out in outs]
            os.kill(t.pid, signal.SIGUSR2)
            for tool in tools:
                text = tool.communicate()[0].decode()
                expect(tool.returncode == 0, f"round {i}: exit status {tool.returncode}: {text}")
            for out in (*outs, holdfast.wait_for_dump(f"inside.{i + 1}.hfd")):
                found = [f["text"] for f in holdfast.json("info", out)["findings"] if f["severity"] != "info"]
                expect(not found, f"{out}: {found}")
            t.check_whole(n_threads)
        t.finish()
    print(f"{n_rounds} times {n_tools} tools and a signal at once: each dump is whole")


def many(holdfast, folder, target):
    """100 dumps in a row leave nothing in the target."""
    with Target(target, folder, "--objects", "1e4", "--threads", "4") as t:
        def figures():
            vm = re.search(r"^VmSize:\s*(\d+)", t.proc("status"), re.M)[1]
            return len(os.listdir(f"/proc/{t.pid}/fd")), len(os.listdir(f"/proc/{t.pid}/task")), vm
        before = figures()
        for i in range(100):
            holdfast("dump", t.pid, "-o", f"{folder}/{i}.hfd")
            t.check_whole(4, wait_s=0.5)
        expect(figures() == before, f"descriptors, threads, VmSize: {before} before, {figures()} after")
        check_manifest(holdfast, holdfast.folder / "99.hfd", t.manifest_path, 4)
        t.finish()


def refused(holdfast, folder, target):
    """Not permitted: exit 5 and the reason, and no file."""
    need_root()
    command = open_to_all(folder, holdfast)
    with Target(target, folder) as t:
        out = f"{folder}/x.hfd"
        run_refused([command, str(t.pid), "-o", out], r"user 0's, this is user 65534's", preexec_fn=as_nobody)
        # Another tracer.
        seize, detach = 0x4206, 17
        LIBC.ptrace.argtypes = [ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p]
        expect(LIBC.ptrace(seize, t.pid, None, None) == 0, "cannot trace the target")
        run_refused([command, str(t.pid), "-o", out], rf"traced already, by {os.getpid()}")
        os.kill(t.pid, signal.SIGWINCH)  # a tracee is only let go from a stop
        os.waitpid(t.pid, 0x40000000)
        expect(LIBC.ptrace(detach, t.pid, None, None) == 0, "cannot let the target go")
        t.check_whole(1)
        run_refused([command, "999999999", "-o", out], "no process 999999999", status=3)
        run_refused([command, "12x", "-o", out], "not a pid", status=2)
        pathlib.Path(out).write_text("mine")
        run_refused([command, str(t.pid), "-o", out], "exists already", status=1)
        expect(pathlib.Path(out).read_text() == "mine", "a file was replaced")
        os.unlink(out)
        t.finish()
    # The same user may, and root.
    with Target(target, folder, preexec=as_nobody, name="nobody") as t:
        t.check_whole(1)
        done = subprocess.run([command, str(t.pid), "-o", f"{folder}/nobody.hfd"], preexec_fn=as_nobody)
        expect(done.returncode == 0, "nobody cannot dump nobody's process")
        done = subprocess.run([command, str(t.pid), "-o", f"{folder}/root.hfd"])
        expect(done.returncode == 0, "root cannot dump nobody's process")
        check_manifest(holdfast, holdfast.folder / "nobody.hfd", t.manifest_path, 1)
        check_manifest(holdfast, holdfast.folder / "root.hfd", t.manifest_path, 1)
        t.finish()
    left = [n for n in os.listdir(folder) if ".tmp" in n]
    expect(not left, f"temporary files are left: {left}")


def drop_ptrace():
    """Root without CAP_SYS_PTRACE, as in a container."""
    cap_sys_ptrace, pr_capbset_drop = 19, 24
    LIBC.prctl(pr_capbset_drop, cap_sys_ptrace, 0, 0, 0)


def i386_program(path):
    """A 32-bit program that says "ready" and waits for ever: write(1, "ready\n", 6), then pause()."""
    code = bytes.fromhex("b804000000 bb01000000 b97e800408 ba06000000 cd80 b81d000000 cd80 ebf7") + b"ready\n"
    base, size = 0x08048000, 52 + 32 + len(code)
    code = code.replace(bytes.fromhex("b97e800408"), b"\xb9" + (base + size - 6).to_bytes(4, "little"))
    head = (b"\x7fELF\1\1\1" + bytes(9) + struct.pack("<HHIIIIIHHHHHH", 2, 3, 1, base + 84, 52, 0, 0, 52, 32, 1, 0, 0, 0)
            + struct.pack("<IIIIIIII", 1, 0, base, base, size, size, 5, 4096))
    pathlib.Path(path).write_bytes(head + code)
    os.chmod(path, 0o755)


def refused_kinds(holdfast, folder, target):
    """Tracers by name, zombies, threads of the kernel, 32-bit programs, dropped capabilities."""
    need_root()
    command = open_to_all(folder, holdfast)
    out = f"{folder}/x.hfd"
    with Target(target, folder, "--threads", "2") as t:
        thread = next(tid for tid in t.states() if tid != t.pid)
        run_refused([command, str(thread), "-o", out], rf"{thread} is a thread of process {t.pid}: give", status=2)
        # As root, but without the capability; and a process of somebody else.
        with Target(target, folder, preexec=as_nobody, name="nobody") as other:
            run_refused([command, str(other.pid), "-o", out], "this root has no CAP_SYS_PTRACE", preexec_fn=drop_ptrace)
            other.finish()
        # gdb by its name.
        gdb = subprocess.Popen(["gdb", "-nx", "-batch", "-p", str(t.pid), "-ex", "shell sleep 100"],
                               stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               start_new_session=True) if shutil.which("gdb") else None
        if gdb:
            until = time.monotonic() + 30
            while not t.tracers() and time.monotonic() < until:
                time.sleep(0.01)
            run_refused([command, str(t.pid), "-o", out], rf"traced already, by {gdb.pid} \(gdb\); end that first")
            os.killpg(gdb.pid, signal.SIGKILL)
            gdb.wait()
        t.check_whole(2)
        t.finish()
    zombie = os.fork()
    if not zombie:
        os._exit(0)
    os.waitid(os.P_PID, zombie, os.WEXITED | os.WNOWAIT)
    run_refused([command, str(zombie), "-o", out], rf"is a zombie: it has ended, and its parent {os.getpid()} \(", status=3)
    os.waitpid(zombie, 0)
    threads = [p for p in range(2, 100) if os.path.exists(f"/proc/{p}") and not os.path.exists(f"/proc/{p}/exe")
               and "Kthread:\t1" in pathlib.Path(f"/proc/{p}/status").read_text(encoding="ascii")]
    if threads:
        run_refused([command, str(threads[0]), "-o", out], "is a thread of the kernel", status=3)
    program = f"{folder}/i386"
    i386_program(program)
    try:
        with subprocess.Popen([program], stdout=subprocess.PIPE) as process:
            expect(process.stdout.readline() == b"ready\n", "the 32-bit program does not run")
            run_refused([command, str(process.pid), "-o", out], "is a 32-bit program; only 64-bit ones", status=3)
            process.kill()
    except OSError as problem:
        print(f"no 32-bit programs here: {problem}")
    print(f"gdb: {bool(gdb)}, threads of the kernel: {len(threads)}")


class SockFilter(ctypes.Structure):
    _fields_ = [("code", ctypes.c_uint16), ("jt", ctypes.c_uint8), ("jf", ctypes.c_uint8), ("k", ctypes.c_uint32)]


class SockProgram(ctypes.Structure):
    _fields_ = [("len", ctypes.c_uint16), ("filter", ctypes.POINTER(SockFilter))]


def forbid_clone():
    """A seccomp filter that kills the process at clone(2)."""
    as_nobody()
    load, jump_equal, ret, allow, kill_process = 0x20, 0x15, 0x06, 0x7fff0000, 0x80000000
    code = (SockFilter * 4)(SockFilter(load, 0, 0, 0), SockFilter(jump_equal, 0, 1, 56),
                            SockFilter(ret, 0, 0, kill_process), SockFilter(ret, 0, 0, allow))
    program = SockProgram(4, code)
    LIBC.prctl(38, 1, 0, 0, 0)
    if LIBC.prctl(22, 2, ctypes.byref(program), 0, 0):
        os._exit(99)


def one_process():
    as_nobody()
    resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))


def in_place(holdfast, folder, target):
    """No snapshot can be had: the stopped target is read, and the dump says so."""
    need_root()
    command = open_to_all(folder, holdfast)

    def snapshot_of(name):
        db = check_manifest(holdfast, holdfast.folder / name, os.path.join(folder, "manifest"), 1)
        how = db.execute("SELECT value FROM meta WHERE key = 'snapshot'").fetchone()[0]
        said = db.execute("SELECT count(*) FROM finding WHERE text LIKE 'read in place%'").fetchone()[0]
        expect((how == "in-place") == bool(said), f"{name}: {how}, but {said} findings about it")
        return how

    with Target(target, folder, preexec=one_process) as t:
        done = subprocess.run([command, str(t.pid), "-o", f"{folder}/limit.hfd"], capture_output=True, text=True)
        expect(done.returncode == 0, f"exit status {done.returncode}: {done.stderr}")
        expect("read in place" in done.stdout, f"not said: {done.stdout}")
        t.check_whole(1, wait_s=0.5)
        expect(snapshot_of("limit.hfd") == "in-place", "a limit of processes did not lead to reading in place")
        t.finish()
    with Target(target, folder, preexec=forbid_clone) as t:
        done = subprocess.run([command, str(t.pid), "-o", f"{folder}/filter.hfd"], preexec_fn=as_nobody)
        expect(done.returncode == 0, f"exit status {done.returncode}")
        t.check_whole(1, wait_s=0.5)
        expect(snapshot_of("filter.hfd") == "in-place", "a filter did not lead to reading in place")
        # Who may suspend filters has a snapshot all the same.
        done = subprocess.run([command, str(t.pid), "-o", f"{folder}/root.hfd"])
        expect(done.returncode == 0, f"exit status {done.returncode}")
        t.check_whole(1, wait_s=0.5)
        print(f"as root, under a filter: {snapshot_of('root.hfd')}")
        t.finish()


def stopped(holdfast, folder, target):
    """A process that is stopped by a signal stays so, and goes on later."""
    with Target(target, folder, "--threads", "4") as t:
        os.kill(t.pid, signal.SIGSTOP)
        t.check_whole(4, stopped=True)
        holdfast("dump", t.pid, "-o", holdfast.folder / "stopped.hfd")
        t.check_whole(4, stopped=True)
        os.kill(t.pid, signal.SIGCONT)
        t.check_whole(4)
        check_manifest(holdfast, holdfast.folder / "stopped.hfd", t.manifest_path, 4)
        t.finish()


def cores(holdfast, folder, target):
    """Cores of another program, or none at all."""
    with Target(target, folder, "--objects", "1e4") as t:
        core = gcore(folder, t.pid)
        t.finish()
    out = holdfast.folder / "x.hfd"

    def dump(path, status, *options):
        text = holdfast("dump", "--core", path, *options, "-o", out, status=status)
        if status in (0, 4):
            holdfast("verify", out, status=status)
            out.unlink()
        expect(not out.exists(), "there is a file, although there is no dump")
        return text

    dump(core, 0)
    copy = os.path.join(folder, "moved")
    shutil.copy(target, copy)
    dump(core, 0, "--exe", copy)
    dump(core, 3, "--exe", "/bin/true")
    dump(core, 3, "--exe", os.path.join(folder, "none"))
    dump("/bin/true", 3)
    dump(os.path.join(folder, "none"), 3)
    garbage = os.path.join(folder, "garbage")
    pathlib.Path(garbage).write_bytes(b"\x1f\x8b" + bytes(1000))
    dump(garbage, 3)


def kernel_core(holdfast, folder, target):
    """A core as the kernel writes it for a crash, whole and cut."""
    pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text(encoding="ascii").strip()
    if pattern.startswith(("|", "/")):
        raise Skip(f"core_pattern is {pattern}: cores do not come into the folder of the test")

    def prepare():
        resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))

    with Target(target, folder, "--objects", "1e5", "--threads", "4", preexec=prepare) as t:
        os.kill(t.pid, signal.SIGSEGV)
        t.process.wait(timeout=60)
        expect(t.process.returncode == -signal.SIGSEGV, "the target did not crash")
        found = [n for n in os.listdir(folder) if n.startswith("core")]
        if not found:
            raise Skip(f"the kernel wrote no core (core_pattern {pattern})")
        core = os.path.join(folder, found[0])
        out = holdfast.folder / "kernel.hfd"
        holdfast("dump", "--core", core, "-o", out)
        db = check_manifest(holdfast, out, t.manifest_path, 4)
    facts = dict(db.execute("SELECT key, value FROM meta"))
    expect(facts.get("signal") == "SIGSEGV", f"signal is {facts.get('signal')}")
    # Cut it in many places: always a partial dump or a plain refusal, never a crash of the tool.
    size, n_partial = os.path.getsize(core), 0
    command = str(pathlib.Path(holdfast.command).with_name("holdfast-dump"))
    for i in range(20, 0, -1):
        os.truncate(core, size * i // 20 - 1)
        cut = f"{folder}/cut.{i}.hfd"
        done = subprocess.run([command, "--core", core, "-o", cut], capture_output=True, text=True)
        expect(done.returncode in (3, 4), f"cut at {i}/20: exit status {done.returncode}: {done.stderr}")
        expect(os.path.exists(cut) == (done.returncode == 4), f"cut at {i}/20: file and status do not agree")
        n_partial += done.returncode == 4
        if done.returncode == 4:
            n_objects = int(re.search(r": (\d+) objects", done.stdout)[1])
            print(f"cut at {i}/20: {n_objects} objects")
            # The libraries, with the allocator's own data, lie above the heaps.
            expect(n_objects > 10000 or i < 10, f"cut at {i}/20: {n_objects} objects")
    expect(n_partial >= 10, f"only {n_partial} of 20 cut cores gave a partial dump")


def damaged(holdfast, folder, target):
    """Cores with changed bytes in their tables and memory: a dump or a refusal, never a crash."""
    with Target(target, folder) as t:
        core = pathlib.Path(gcore(folder, t.pid))
        t.finish()
    command = str(pathlib.Path(holdfast.command).with_name("holdfast-dump"))
    whole = core.read_bytes()
    notes = int.from_bytes(whole[64 + 8:64 + 16], "little")  # p_offset of the first program header
    modules = [m.start() for m in re.finditer(b"\x7fELF", whole)]
    random.seed(2)
    statuses = {}
    for i in range(150):
        data = bytearray(whole)
        # The headers, the notes, the first pages of modules, anywhere; one of three without its notes.
        if i % 3 == 0:
            del data[notes:]
        module = random.choice(modules)
        start, end = random.choice([(0, 4096), (notes, notes + 8192), (module, module + 1024), (0, len(data))])
        start = start if start < len(data) else 0
        for _ in range(random.choice([1, 4, 64])):
            data[random.randrange(start, min(end, len(data)))] = random.choice([0, 1, 0x7f, 0x80, 0xff])
        core.write_bytes(data)
        out = f"{folder}/damaged.hfd"
        done = subprocess.run([command, "--core", core, "-o", out], capture_output=True, text=True, timeout=60)
        expect(done.returncode in (0, 3, 4), f"round {i}: exit status {done.returncode}: {done.stderr}")
        expect(os.path.exists(out) == (done.returncode != 3), f"round {i}: file and status do not agree")
        statuses[done.returncode] = statuses.get(done.returncode, 0) + 1
        if done.returncode != 3:
            os.unlink(out)
    print(f"exit statuses: {statuses}")
    expect(len(statuses) > 1, "no damage was noticed")


if __name__ == "__main__":
    run({"agree": agree, "static": build, "static_pie": build, "nopie": build, "stripped": build, "kill": kill, "many": many, "at_once": at_once,
         "refused": refused, "refused_kinds": refused_kinds, "in_place": in_place, "stopped": stopped, "cores": cores, "kernel_core": kernel_core,
         "damaged": damaged}, __doc__)
