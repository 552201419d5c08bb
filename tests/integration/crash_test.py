"""Dumps of programs that crash; what they say and how they end is the same as without the library.

usage: crash_test.py HOLDFAST TARGET SCENARIO
"""
import os
import pathlib
import re
import resource
import signal
import subprocess
import sys
import tempfile

from harness import Failure, Holdfast, expect

N_NODES = 20000
SIGNALS = {"null": "SIGSEGV", "wild": "SIGSEGV", "bus": "SIGBUS", "abort": "SIGABRT", "fpe": "SIGFPE", "ill": "SIGILL",
           "raise": "SIGSEGV", "overflow": "SIGSEGV", "thread-null": "SIGSEGV", "thread-overflow": "SIGSEGV",
           "c11-overflow": "SIGSEGV", "late-overflow": "SIGSEGV", "all-threads": "SIGSEGV",
           "race": "SIGSEGV"}
IN_THREAD = {"thread-null", "thread-overflow", "c11-overflow", "late-overflow", "all-threads"}


def run(holdfast, target, *args, status=None, folder=None, limit_core=0):
    """How a run ends without the library and with it: (status as wait() has it, stdout, stderr), dumps."""
    for old in holdfast.folder.iterdir():
        old.unlink()

    def once(prefix):
        def limit():
            resource.setrlimit(resource.RLIMIT_CORE, (limit_core, resource.RLIM_INFINITY))
        with subprocess.Popen([*prefix, target, *args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                              preexec_fn=limit, cwd=folder or holdfast.folder) as process:
            out, err = process.stdout.read(), process.stderr.read()
            _, wait_status = os.waitpid(process.pid, 0)
            process.returncode = 0
        return wait_status, out, err

    plain = once([])
    ours = once(holdfast.run_command("--on-crash"))
    name = " ".join(args)
    expect(f"{name}: status", ours[0], plain[0])
    expect(f"{name}: output", ours[1], plain[1])
    said = [line for line in ours[2].splitlines() if line.startswith("holdfast: ")]
    rest = [line for line in ours[2].splitlines() if not line.startswith("holdfast: ")]
    expect(f"{name}: stderr", rest, plain[2].splitlines())
    dumps = sorted(holdfast.folder.glob("*.hfd"))
    expect(f"{name}: a line for each dump", len(said), len(dumps))
    return plain, dumps


def nodes_of(holdfast, dump):
    db = holdfast.load(dump)
    return db, db.execute("SELECT held_count FROM variable WHERE name = 'g_list'").fetchone()[0]


def signals(holdfast, target):
    for way, name in SIGNALS.items():
        plain, dumps = run(holdfast, target, way)
        expect(f"{way}: ends by", signal.Signals(os.WTERMSIG(plain[0])).name, name)
        expect(f"{way}: dumps", len(dumps), 1)
        info = holdfast.json("info", dumps[0])
        expect(f"{way}: partial", info["partial"], False)
        expect(f"{way}: signal in the dump", info["process"]["signal"], name)
        db, n_nodes = nodes_of(holdfast, dumps[0])
        expect(f"{way}: nodes", n_nodes, N_NODES)
        pid = int(info["process"]["pid"])
        crashed = db.execute("SELECT tid, pc FROM thread WHERE crashed").fetchall()
        expect(f"{way}: crashed threads", len(crashed), 1)
        expect(f"{way}: its number", crashed[0][0], int(info["process"]["crashed_tid"]))
        expect(f"{way}: in another thread than main", crashed[0][0] != pid, way in IN_THREAD)
        address = info["process"].get("fault_addr")
        if way.endswith("null"):
            expect(f"{way}: fault address", address, "0x0")
        elif way.endswith("overflow"):
            # the page below the stack
            start, = db.execute("SELECT stack_start FROM thread WHERE crashed").fetchone()
            expect(f"{way}: fault below the stack", 0 < start - int(address, 16) < 10000, True)
        elif way in ("fpe", "ill"):
            expect(f"{way}: the instruction", int(address, 16), crashed[0][1])
        elif way in ("abort", "raise"):
            expect(f"{way}: sender", info["process"].get("signal_sender"), None)
        report = holdfast("report", dumps[0])
        line = re.search(r"^ended by +(.*)$", report, re.M)
        if not line or not line[1].startswith(name) or f"in thread {crashed[0][0]}" not in line[1]:
            raise Failure(f"{way}: the report says {line and line[0]}")


def handlers(holdfast, target):
    for handler in ("siginfo", "plain", "resethand", "onstack", "longjmp", "sysv", "mask", "again"):
        for way in ("null", "fpe", "raise", "abort", "overflow", "thread-null"):
            if (way, handler) == ("thread-null", "longjmp"):
                continue  # not from one thread into another
            plain, dumps = run(holdfast, target, way, handler)
            expect(f"{way} {handler}: dumps", len(dumps), 1)
            if way == "null":
                expect(f"{way} {handler}: nodes", nodes_of(holdfast, dumps[0])[1], N_NODES)
            if handler == "siginfo" and way != "overflow":
                expect("the handler ran", os.WEXITSTATUS(plain[0]), 42)
    plain, dumps = run(holdfast, target, "protected", "fix")
    expect("repaired and went on", (plain[0], plain[1].splitlines()[-1], len(dumps)), (0, "went on", 1))
    for way in ("raise", "null", "abort"):
        # what the program ignores ends it all the same if it must; there is no dump of it
        plain, dumps = run(holdfast, target, way, "ignore")
        expect(f"{way} ignored: dumps", len(dumps), 0)


def damage(holdfast, target):
    """The sound part of a damaged heap; what is damaged is said with its address."""
    said = {"heap-size": r"damaged chunk header at 0x[0-9a-f]+ \(size field 0x4141414141414141\)",
            "heap-bins": r"free list \d+.* 0x", "heap-tcache": r"thread cache 0x[0-9a-f]+: list \d+ breaks at 0x",
            "heap-top": r"damaged size of the top chunk at 0x", "double-free": None}
    for way, pattern in said.items():
        plain, dumps = run(holdfast, target, way)
        expect(f"{way}: ends by", os.WTERMSIG(plain[0]), signal.SIGABRT)
        expect(f"{way}: dumps", len(dumps), 1)
        partial = way in ("heap-size", "heap-bins")
        info = subprocess.run([holdfast.command, "info", dumps[0], "--json"], capture_output=True, text=True)
        expect(f"{way}: status of info", info.returncode, 4 if partial else 0)
        if pattern and not re.search(pattern, info.stdout):
            raise Failure(f"{way}: no finding {pattern} in {info.stdout}")
        subprocess.run([holdfast.command, "load", dumps[0], "-o", holdfast.folder / "x.hfdb"], capture_output=True)
        rows = subprocess.run([holdfast.command, "sql", holdfast.folder / "x.hfdb", "--csv",
                               "SELECT held_count FROM variable WHERE name = 'g_list'"], capture_output=True, text=True)
        expect(f"{way}: nodes", rows.stdout.split()[-1:], [str(N_NODES)])


def core(holdfast, target):
    """The core file is the one that there would be: its signal, and where it happened."""
    if pathlib.Path("/proc/sys/kernel/core_pattern").read_text().strip() not in ("core", "core.%p"):
        print("SKIPPED: cores do not go to the working directory (core_pattern)")
        return 77
    for way in ("null", "abort", "thread-null", "overflow"):
        with tempfile.TemporaryDirectory(prefix="holdfast-core-") as folder:
            plain, dumps = run(holdfast, target, way, folder=folder, limit_core=resource.RLIM_INFINITY)
            expect(f"{way}: a core", os.WCOREDUMP(plain[0]), True)
            files = sorted(pathlib.Path(folder).glob("core*"), key=lambda f: f.stat().st_mtime)
            holdfast("dump", "--core", files[-1], "-o", holdfast.folder / "core.hfd")
            of_core = holdfast.load(holdfast.folder / "core.hfd")
            of_us = holdfast.load(dumps[0])
            query = "SELECT tid, pc, sp FROM thread WHERE crashed"
            expect(f"{way}: thread, instruction, stack", of_core.execute(query).fetchall(), of_us.execute(query).fetchall())
            query = "SELECT value FROM meta WHERE key = 'signal'"
            expect(f"{way}: signal", of_core.execute(query).fetchall(), of_us.execute(query).fetchall())
    return 0


def broken(holdfast, target):
    """A crash of the dump itself ends the process; no dump, no loop."""
    for way in ("null", "overflow"):
        _, dumps = run(holdfast, target, way, "break")
        expect(f"{way}: dumps", len(dumps), 0)
        expect("other files", list(holdfast.folder.iterdir()), [])


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as test_folder:
        try:
            sys.exit(globals()[sys.argv[3]](Holdfast(sys.argv[1], test_folder), sys.argv[2]))
        except Failure as failure:
            sys.exit(f"FAIL {failure}")
