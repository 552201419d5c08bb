"""Memory that fork does not hand on is in the dump all the same.

usage: unforked_test.py HOLDFAST TARGET
"""
import subprocess
import sys
import tempfile

from harness import Failure, Holdfast, expect, run_target


def from_within(holdfast, target, path):
    done = run_target([*holdfast.run_command(), target, path])
    return dict(line.split() for line in done.stdout.splitlines())


def from_outside(holdfast, target, path):
    with subprocess.Popen([target], text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        lines = dict(process.stdout.readline().split() for _ in range(5))
        holdfast("dump", str(process.pid), "-o", path)
        rest, _ = process.communicate()
        return {**lines, "result": rest.split()[1]}


def main(command, target):
    for way in (from_within, from_outside):
        check(command, target, way)


def check(command, target, way):
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as folder:
        holdfast = Holdfast(command, folder)
        path = holdfast.folder / "a.hfd"
        lines = way(holdfast, target, path)
        expect("result", lines.pop("result"), "0")
        expect("objects", len(lines), 5)
        info = holdfast.json("info", path)
        expect("partial", info["partial"], False)
        if not any("fork does not copy" in finding["text"] for finding in info["findings"]):
            raise Failure(f"no word about it: {info['findings']}")
        db = holdfast.load(path)
        for name, address in lines.items():
            rows = db.execute("SELECT o.reachable, r.kind FROM object o JOIN root r ON r.object_id = o.id WHERE o.addr = ?",
                              (int(address, 16),)).fetchall()
            # roots are in writable memory; of the others, that they do no harm
            if (1, "mapping") not in rows and "readonly" not in name:
                raise Failure(f"{name}: {rows}")
            print(f"ok   {way.__name__} {name}: {rows}")


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except Failure as failure:
        sys.exit(f"FAIL {failure}")
