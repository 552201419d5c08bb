"""Unusual roots, and memory that is dead and must not count as one.

usage: odd_roots_test.py HOLDFAST TARGET [LIBRARY]
With LIBRARY: dumps from outside, of the process and of its core, with the library preloaded.
"""
import os
import shutil
import subprocess
import sys
import tempfile
import time

from harness import Failure, Holdfast


def roots_of(db, address):
    return db.execute("""SELECT r.kind, coalesce(v.name, r.name) FROM object o JOIN root r ON r.object_id = o.id
                         LEFT JOIN variable v ON v.id = r.variable_id WHERE o.addr = ?""", (address,)).fetchall()


def check(db, line):
    name, address, kind, root = line.split(" ", 3)
    address = int(address, 16)
    row = db.execute("SELECT reachable FROM object WHERE addr = ?", (address,)).fetchone()
    if not row:
        return f"{name}: no object at {address:#x}"
    roots = roots_of(db, address)
    if kind == "leaked":
        return f"{name}: reachable, from {roots}" if row[0] else None
    if not any(k == kind and root in (n or "") for k, n in roots):
        return f"{name}: no {kind} root «{root}», only {roots}"
    return None


def problems_of(db, lines):
    lines = list(lines)
    label = lines.pop(0).split()
    problems = list(filter(None, (check(db, line) for line in lines)))
    found = db.execute("SELECT label FROM object WHERE addr = ?", (int(label[1], 16),)).fetchone()
    if found != ("my label",):
        problems.append(f"label: {found}")
    # such as the thread vectors (dtv) of ended threads, which libc keeps for the next ones
    wanted = {int(line.split()[1], 16) for line in lines if line.split()[2] == "leaked"}
    leaked = db.execute("SELECT addr, size FROM object WHERE NOT reachable").fetchall()
    problems += [f"leaked: {addr:#x}, {size} bytes" for addr, size in leaked if addr not in wanted]
    if len(lines) < 10:
        problems.append(f"only {len(lines)} lines from the target")
    return problems


def from_outside(command, target, library):
    with tempfile.TemporaryDirectory() as folder:
        holdfast = Holdfast(command, folder)
        with subprocess.Popen([target, "wait"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
                              env={**os.environ, "LD_PRELOAD": library}, cwd=folder) as process:
            lines = [line.rstrip("\n") for line in iter(process.stdout.readline, "ready\n")]
            time.sleep(0.1)
            holdfast("dump", process.pid, "-o", holdfast.folder / "pid.hfd")
            if shutil.which("gcore"):
                subprocess.run(["gcore", "-o", f"{folder}/core", str(process.pid)], check=True, capture_output=True,
                               stdin=subprocess.DEVNULL)
                holdfast("dump", "--core", f"{folder}/core.{process.pid}", "-o", holdfast.folder / "core.hfd")
            process.stdin.close()
            if process.wait(timeout=60):
                raise Failure(f"the target's exit status is {process.returncode}")
        problems = []
        for dump in sorted(holdfast.folder.glob("*.hfd")):
            problems += [f"{dump.name}: {p}" for p in problems_of(holdfast.load(dump), lines)]
        print(f"{len(lines)} places, {len(problems)} problems", *problems, sep="\n")
        return 1 if problems else 0


def main(command, target, library=None):
    if library:
        return from_outside(command, target, library)
    with tempfile.TemporaryDirectory() as folder:
        holdfast = Holdfast(command, folder)
        done = subprocess.run([*holdfast.run_command(), target], capture_output=True, text=True, timeout=120)
        if done.returncode or done.stderr:
            raise Failure(f"exit status {done.returncode}: {done.stderr}")
        db = holdfast.load(holdfast.wait_for_dump())
        lines = done.stdout.splitlines()
        problems = problems_of(db, lines)
        print(f"{len(lines)} places, {len(problems)} problems", *problems, sep="\n")
        return 1 if problems else 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except Failure as failure:
        sys.exit(str(failure))
