"""Dumps a target and compares the dump with its manifest.

usage: target_test.py HOLDFAST TARGET HOW [--naive] [--tunable NAME=VALUE] [target option...]

HOW: signal, api (both with the library preloaded), pid (from outside), core (of gcore).
"""
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile

import compare
from harness import Failure, Holdfast, await_reading
from manifest import Manifest

SKIPPED = 77


def dump_preloaded(holdfast, target_command, mode):
    target = subprocess.run([*holdfast.run_command(), *target_command, "--mode", mode], timeout=300,
                            stdout=subprocess.PIPE)
    if target.returncode:
        raise Failure(f"the target's exit status is {target.returncode}")
    return holdfast.wait_for_dump()


def dump_from_outside(holdfast, target_command, take):
    with subprocess.Popen([*target_command, "--mode", "wait"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                          text=True) as target:
        try:
            ready = re.fullmatch(r"ready (\d+)\n", target.stdout.readline())
            if not ready:
                raise Failure("the target did not get ready")
            await_reading(int(ready[1]))
            dump = take(holdfast, int(ready[1]))
        finally:
            target.stdin.close()
    if target.returncode:
        raise Failure(f"the target's exit status is {target.returncode} after the dump")
    return dump


def take_by_pid(holdfast, pid):
    dump = holdfast.folder / "pid.hfd"
    holdfast("dump", pid, "-o", dump)
    return dump


def take_core(holdfast, pid):
    subprocess.run(["gcore", "-o", holdfast.folder / "core", str(pid)], check=True, capture_output=True,
                   stdin=subprocess.DEVNULL)
    dump = holdfast.folder / "core.hfd"
    holdfast("dump", "--core", holdfast.folder / f"core.{pid}", "-o", dump)
    return dump


def check_counters(comparison, manifest, db, n_threads):
    """What the walk found adds up with the allocator's figures, those in the target's hands too."""
    def counters():
        rows = list(db.execute("SELECT name, expected, found, must_match FROM counter"))
        if not any(row[3] for row in rows):
            yield "no counter that must match"
        for name, expected, found, must_match in rows:
            if must_match and expected != found:
                yield f"{name}: the allocator's {expected}, the walk's {found}"

    def mallinfo():
        def total(columns, kinds):
            return db.execute(f"SELECT total({columns}) FROM arena WHERE kind IN ({kinds})").fetchone()[0]
        chunk_header = 8
        heaps = "'main', 'thread'"
        for name, found in (
                ("arena", total("size", heaps)),
                ("hblkhd", total("size", "'mmapped'")),
                ("hblks", total("live_count", "'mmapped'"))):
            if manifest.counters["mallinfo2." + name] != found:
                yield f"{name}: mallinfo2 says {manifest.counters['mallinfo2.' + name]}, the arenas sum to {found}"
        # mallinfo2 counts chunks cached by threads, heads of heaps and fences as in use.
        live = total("live_bytes + live_count * %d" % chunk_header, heaps)
        if live > manifest.counters["mallinfo2.uordblks"]:
            yield f"uordblks: mallinfo2 says {manifest.counters['mallinfo2.uordblks']}, the objects are {live}"

    comparison.check("the allocator's own counters", counters())
    comparison.check("mallinfo2 just before the dump", mallinfo())
    # The target may be gone before its dump is written.
    findings = [f"{severity}: {text}" for severity, text in
                db.execute("SELECT severity, text FROM finding WHERE severity != 'info'")
                if not text.startswith("the process ended before its resident file pages")]
    comparison.check("no findings", findings)


def main(holdfast_path, target, how, *options):
    options = list(options)
    with_naive = "--naive" in options
    if with_naive:
        options.remove("--naive")
    if "--tunable" in options:
        i = options.index("--tunable")
        os.environ["GLIBC_TUNABLES"] = options[i + 1]
        del options[i:i + 2]
    churning = "--churn-during" in options
    n_threads = int(options[options.index("--threads") + 1]) if "--threads" in options else 1
    if how == "core" and not shutil.which("gcore"):
        print("SKIPPED: no gcore here (apt-get install gdb)")
        return SKIPPED
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as folder:
        holdfast = Holdfast(holdfast_path, folder)
        manifest_path = os.path.join(folder, "manifest")
        command = [target, "--manifest", manifest_path, *options]
        if how in ("signal", "api"):
            dump = dump_preloaded(holdfast, command, how)
        else:
            dump = dump_from_outside(holdfast, command, take_by_pid if how == "pid" else take_core)
        manifest = Manifest(manifest_path)
        holdfast("verify", dump)
        db = holdfast.load(dump)
        print(f"dump of {os.path.getsize(dump)} bytes")
        # libc: for a thread its dtv and what stdio and the loader keep; a churning thread: its slots.
        extra = 8 + 3 * n_threads + (1000 * n_threads if churning else 0)
        comparison = compare.Comparison(manifest, db)
        compare.compare(comparison, extra, with_naive, churning)
        if not churning:
            check_counters(comparison, manifest, db, n_threads)
        left = [name for name in os.listdir(folder) if name.endswith(".tmp") or ".tmp." in name]
        comparison.check("no temporary files are left", left)
        return 1 if comparison.n_problems else 0


if __name__ == "__main__":
    signal.alarm(600)
    try:
        sys.exit(main(*sys.argv[1:]))
    except Failure as failure:
        print(f"FAIL {failure}")
        sys.exit(1)
