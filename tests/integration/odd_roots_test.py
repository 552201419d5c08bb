"""Unusual roots, and memory that is dead and must not count as one.

usage: odd_roots_test.py HOLDFAST TARGET
"""
import subprocess
import sys
import tempfile

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


def main(command, target):
    with tempfile.TemporaryDirectory() as folder:
        holdfast = Holdfast(command, folder)
        done = subprocess.run([*holdfast.run_command(), target], capture_output=True, text=True, timeout=120)
        if done.returncode or done.stderr:
            raise Failure(f"exit status {done.returncode}: {done.stderr}")
        db = holdfast.load(holdfast.wait_for_dump())
        lines = done.stdout.splitlines()
        label = lines.pop(0).split()
        problems = list(filter(None, (check(db, line) for line in lines)))
        found = db.execute("SELECT label FROM object WHERE addr = ?", (int(label[1], 16),)).fetchone()
        if found != ("my label",):
            problems.append(f"label: {found}")
        if len(lines) < 10:
            problems.append(f"only {len(lines)} lines from the target")
        print(f"{len(lines)} places, {len(problems)} problems", *problems, sep="\n")
        return 1 if problems else 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except Failure as failure:
        sys.exit(str(failure))
