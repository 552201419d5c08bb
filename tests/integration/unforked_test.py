"""Memory that fork does not hand on is in the dump all the same.

usage: unforked_test.py HOLDFAST TARGET
"""
import sys
import tempfile

from harness import Failure, Holdfast, expect, run_target


def main(command, target):
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as folder:
        holdfast = Holdfast(command, folder)
        path = holdfast.folder / "a.hfd"
        done = run_target([*holdfast.run_command(), target, path])
        lines = dict(line.split() for line in done.stdout.splitlines())
        expect("holdfast_dump()", lines.pop("result"), "0")
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
            print(f"ok   {name}: {rows}")


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except Failure as failure:
        sys.exit(f"FAIL {failure}")
