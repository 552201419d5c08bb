"""Dumps of core files: of crashes, without their files, cut, compressed.

usage: outside_core_test.py HOLDFAST SCENARIO TARGET
"""
import os
import pathlib
import resource
import shutil
import struct
import subprocess
import time

from outside_kit import Skip, Target, check_manifest, expect, gcore, heap_of, load_partial, run, run_refused

PT_LOAD, PT_NOTE, NT_FILE, PF_W = 1, 4, 0x46494c45, 2
PHDR = "<IIQQQQQQ"


class Core:
    """The tables of a core file, to change them in place."""

    def __init__(self, path):
        self.path = path
        with open(path, "rb") as f:
            head = f.read(64)
            self.phoff, = struct.unpack_from("<Q", head, 32)
            n, = struct.unpack_from("<H", head, 56)
            f.seek(self.phoff)
            self.phdrs = [list(struct.unpack(PHDR, f.read(56))) for _ in range(n)]
            self.notes = next(p for p in self.phdrs if p[0] == PT_NOTE)
            f.seek(self.notes[2])
            self.files = list(self.read_files(f.read(self.notes[5])))

    @staticmethod
    def read_files(notes):
        at = 0
        while at + 12 <= len(notes):
            name_size, size, kind = struct.unpack_from("<III", notes, at)
            at += 12 + (name_size + 3 & ~3)
            if kind == NT_FILE:
                n, page = struct.unpack_from("<QQ", notes, at)
                names = notes[at + 16 + 24 * n:at + size].split(b"\0")
                for i in range(n):
                    start, end, offset = struct.unpack_from("<QQQ", notes, at + 16 + 24 * i)
                    yield start, end, offset * page, names[i].decode()
            at += size + 3 & ~3

    def leave_out(self, which):
        """As if the kernel had not dumped the segments that which(flags, path, offset) names."""
        n = 0
        with open(self.path, "r+b") as f:
            for i, p in enumerate(self.phdrs):
                path, offset = next(((name, offset) for start, _, offset, name in self.files if start == p[3]), (None, 0))
                if p[0] == PT_LOAD and path and which(p[1], path, offset):
                    p[5] = 0
                    f.seek(self.phoff + 56 * i)
                    f.write(struct.pack(PHDR, *p))
                    n += 1
        expect(n, "no segment was left out: the test is wrong")


def facts_of(db):
    return dict(db.execute("SELECT key, value FROM meta"))


def findings(db, text, severity=None):
    return db.execute("SELECT count(*) FROM finding WHERE text LIKE ? AND severity = coalesce(?, severity)",
                      (f"%{text}%", severity)).fetchone()[0]


def check_crash(holdfast, core, line, signal_name, fault_addr):
    out = holdfast.folder / f"{signal_name}.{time.monotonic_ns()}.hfd"
    holdfast("dump", "--core", core, "-o", out)
    db = holdfast.load(out)
    facts = facts_of(db)
    obj, tid = (int(word, 0) for word in line.split())
    expect(facts.get("signal") == signal_name, f"signal is {facts.get('signal')}, not {signal_name}")
    expect(facts.get("crashed_tid") == tid, f"crashed_tid is {facts.get('crashed_tid')}, not {tid}")
    expect(fault_addr is None or fault_addr(facts.get("fault_addr")), f"fault_addr is {facts.get('fault_addr')}")
    crashed = db.execute("SELECT tid FROM thread WHERE crashed").fetchall()
    expect(crashed == [(tid,)], f"threads that crashed: {crashed}")
    # Only the crashed thread holds it.
    roots = {t for t, in db.execute("SELECT t.tid FROM root r JOIN object o ON o.id = r.object_id JOIN thread t ON "
                                    "t.id = r.thread_id WHERE o.addr = ?", (obj,))}
    expect(roots == {tid}, f"the object of thread {tid} is held by threads {roots}")
    # A core has names of the process alone: no thread is given one that it did not have.
    named = db.execute("SELECT tid, name FROM thread WHERE name != '' AND tid != ?", (facts["pid"],)).fetchall()
    expect(not named, f"names from nowhere: {named}")
    text = holdfast("report", out)
    expect(f"ended by       {signal_name}" in text and f"thread {tid}" in text, f"the report does not say so:\n{text}")
    expect(signal_name in holdfast("info", out), "info does not say so")
    # What was resident is not in a core.
    expect("RESIDENT" not in text and "resident_size" not in facts and "MAPPED" in text, f"resident?\n{text}")
    expect(holdfast.json("report", out)["resident_size"] is None, "resident_size of a core")
    expect(db.execute("SELECT count(rss) FROM mapping").fetchone()[0] == 0, "mappings have resident bytes")


KINDS = {"segv": ("SIGSEGV", lambda a: a == "0x1234"), "abort": ("SIGABRT", None), "stack": ("SIGSEGV", bool),
         "gone": ("SIGBUS", lambda a: a and a.endswith("010"))}


def crash(holdfast, folder, target):
    """Cores of the kernel: who crashed, of what."""
    pattern = pathlib.Path("/proc/sys/kernel/core_pattern").read_text(encoding="ascii").strip()
    if pattern.startswith(("|", "/")):
        raise Skip(f"core_pattern is {pattern}: cores do not come into the folder of the test")
    for kind, (signal_name, fault_addr) in KINDS.items():
        place = os.path.join(folder, kind)
        os.mkdir(place)
        done = subprocess.run([target, kind], cwd=place, capture_output=True, text=True, preexec_fn=lambda: (
            resource.setrlimit(resource.RLIMIT_CORE, (resource.RLIM_INFINITY,) * 2)))
        cores = [n for n in os.listdir(place) if n.startswith("core")]
        if not cores:
            raise Skip(f"the kernel wrote no core (core_pattern {pattern})")
        check_crash(holdfast, os.path.join(place, cores[0]), done.stdout, signal_name, fault_addr)


def gdb_crash(holdfast, folder, target):
    """The same by gdb's generate-core-file."""
    if not shutil.which("gdb"):
        raise Skip("no gdb here (apt-get install gdb)")
    for kind, (signal_name, fault_addr) in KINDS.items():
        core = os.path.join(folder, f"core.{kind}")
        done = subprocess.run(["gdb", "-nx", "-batch", "-ex", "set confirm off", "-ex", "set debuginfod enabled off",
                               "-ex", "run", "-ex", f"generate-core-file {core}", "--args", target, kind],
                              capture_output=True, text=True, stdin=subprocess.DEVNULL)
        line = next((x for x in done.stdout.splitlines() if x.startswith("0x") and len(x.split()) == 2), None)
        expect(line and os.path.exists(core), f"gdb made no core: {done.stdout}{done.stderr}")
        check_crash(holdfast, core, line, signal_name, fault_addr)


def taken(folder, target, *options):
    """A copy of the program in a folder of its own, a core of it and its manifest."""
    place = os.path.join(folder, "program")
    os.makedirs(place, exist_ok=True)
    program = shutil.copy(target, place)
    with Target(program, folder, *options) as t:
        core = gcore(folder, t.pid)
        t.finish()
    return program, core, t.manifest_path


def files(holdfast, folder, target):
    """Cores without the pages of files: these come from the files, wherever they are now."""
    program, core, manifest = taken(folder, target, "--objects", "1e4", "--threads", "2")
    n = 0

    def dump(*options, status=0, names=True, said=None):
        nonlocal n
        n += 1
        print(f"-- {n}: {options}")
        out = holdfast.folder / f"{n}.hfd"
        text = holdfast("dump", "--core", core, *options, "-o", out, status=status)
        if status == 3:
            expect(not out.exists(), "a dump in spite of it")
            return None
        expect(text.startswith(str(out)), f"prints {text}")
        db = check_manifest(holdfast, out, manifest, 2, with_names=names)
        expect(not said or findings(db, said), f"no finding says «{said}»")
        return db

    dump()
    # As the container has them.
    sysroot = os.path.join(folder, "sysroot")
    os.makedirs(sysroot + os.path.dirname(program))
    os.rename(program, sysroot + program)
    dump(names=False, said="not here")
    dump("--sysroot", sysroot)
    dump("--exe", sysroot + program)
    dump("--sysroot", os.path.join(folder, "none"), status=3)
    # Another program is there by now: it is not taken, the right one below the folder is.
    shutil.copy("/bin/true", program)
    dump(names=False, said="another file")
    dump("--sysroot", sysroot)
    # A link in the container must not lead out of it: this one leads to the right file, but outside.
    outside = shutil.copy(sysroot + program, os.path.join(folder, "elsewhere"))
    os.unlink(sysroot + program)
    os.symlink(outside, sysroot + program)
    dump("--sysroot", sysroot, names=False, said="another file")
    os.unlink(sysroot + program)
    shutil.copy(outside, sysroot + program)
    # Not even the first pages of files, which have the build ids: taken as they are, and said so.
    os.unlink(program)
    Core(core).leave_out(lambda flags, path, offset: path.startswith("/") and not offset and not flags & PF_W)
    dump("--sysroot", sysroot, said="nothing in the core tells")
    dump("--exe", sysroot + program, said="nothing in the core tells")
    dump(names=False, said="not here")
    past = time.time() - 3600
    os.utime(core, (past, past))
    os.utime(sysroot + program)
    db = dump("--sysroot", sysroot)
    expect(findings(db, "changed since the core was written", "warning"), "a newer file is not mentioned")


def cut(holdfast, folder, target):
    """Cores that end early: what is there is dumped, nothing is made up, and the dump is partial."""
    _, core, manifest = taken(folder, target, "--objects", "1e4", "--threads", "4")
    whole = holdfast.folder / "whole.hfd"
    holdfast("dump", "--core", core, "-o", whole)
    objects, edges = heap_of(holdfast.load(whole))
    size, notes = os.path.getsize(core), Core(core).notes
    expect(notes[2] > size // 2, "gcore writes notes last: the test is wrong")
    # In the middle of the notes; before them; then in the segments.
    for i, at in enumerate([notes[2] + notes[5] // 2, notes[2], *(size * k // 16 for k in range(15, 0, -1))]):
        os.truncate(core, at)
        out = holdfast.folder / f"cut.{i}.hfd"
        text = holdfast("dump", "--core", core, "-o", out, status=4)
        expect("the core is cut" in text, f"not said: {text}")
        holdfast("verify", out, status=4)
        db = load_partial(holdfast, out)
        expect(findings(db, "the core is cut", "partial") == 1, "no finding")
        if at > notes[2]:
            continue
        expect(findings(db, "no notes of threads", "partial") == 1, "no finding about threads")
        found, found_edges = heap_of(db)
        more = {a: s for a, s in found.items() if objects.get(a) != s}
        # What caches of threads keep is free (64 sizes, 7 of each); without the threads that is not known.
        expect(len(more) < 64 * 7, f"cut at {at} of {size}: {len(more)} objects that were not there: {more}")
        # The libraries, with the allocator's own data, lie above the heaps, which end about the middle.
        there = len(found.keys() & objects.keys())
        expect(there > 0.9 * len(objects) or at <= size * 5 // 8, f"cut at {at} of {size}: only {there} objects")
        expect(at == notes[2] or findings(db, "the C library's data is not there", "partial"), "not said")
        if at == notes[2]:
            expect(found.keys() >= objects.keys(), f"{len(objects.keys() - found.keys())} objects are missing")
            expect(len(edges - found_edges) < 64, f"{len(edges - found_edges)} edges are missing")
            again = holdfast.folder / "named.hfd"
            holdfast("dump", "--core", core, "--exe", target, "-o", again, status=4)
            names = {v for v, in load_partial(holdfast, again).execute("SELECT name FROM variable")}
            expect("g_list" in names, f"no names with --exe: {names}")
        print(f"cut at {at} of {size}: {len(found)} of {len(objects)} objects")
    os.truncate(core, 63)
    holdfast("dump", "--core", core, "-o", holdfast.folder / "none.hfd", status=3)
    expect(manifest, "")


def compressed(holdfast, folder, _):
    """One line that says what to do."""
    command = str(pathlib.Path(holdfast.command).with_name("holdfast-dump"))
    for name, magic, tool in (("core.gz", b"\x1f\x8b", "gunzip"), ("core.zst", b"\x28\xb5\x2f\xfd", "unzstd"),
                              ("core.xz", b"\xfd7zXZ\0", "unxz"), ("core.lz4", b"\x04\x22\x4d\x18", "unlz4")):
        core = pathlib.Path(folder, name)
        core.write_bytes(magic + bytes(4096))
        run_refused([command, "--core", str(core), "-o", f"{folder}/x.hfd"],
                    rf"^holdfast-dump: {core} is compressed: {tool} it first[^\n]*\n$", status=3)


if __name__ == "__main__":
    run({"crash": crash, "gdb_crash": gdb_crash, "files": files, "cut": cut, "compressed": compressed}, __doc__)
