"""The references of a thousand Python containers, as Holdfast and as the interpreter itself tell them.

usage: python_test.py HOLDFAST PYTHON3

For every container of python_target.py, what its words point to (from its id on, and in the tables
that it owns) is exactly: the referents that gc.get_referents names, as far as they are malloc'ed
objects, and those tables. `holdfast refs --out` is asked for a sample and must agree with the
database.
"""
import bisect
import json
import os
import pathlib
import subprocess
import sys
import tempfile

from harness import Failure, Holdfast

N_ASKED = 40


class Heap:
    def __init__(self, db):
        self.rows = db.execute("SELECT addr, usable, id FROM object ORDER BY addr").fetchall()
        self.addr_of = {row[2]: row[0] for row in self.rows}
        self.db = db

    def find(self, addr):
        """(address, id) of the object that contains addr, or None."""
        i = bisect.bisect_right(self.rows, addr, key=lambda row: row[0]) - 1
        if i < 0 or addr >= self.rows[i][0] + self.rows[i][1]:
            return None
        return self.rows[i][0], self.rows[i][2]

    def targets(self, addr, end):
        """Where the words from addr to end, all in one object, point to."""
        start, obj = self.find(addr) or (None, None)
        if obj is None:
            raise Failure(f"{addr:#x} is in no object")
        return {self.addr_of[dst] + offset for dst, offset in self.db.execute(
            "SELECT dst_id, dst_offset FROM edge WHERE src_id = ? AND src_offset >= ? AND src_offset < ?",
            (obj, addr - start, end - start))}


def check(heap, row):
    tables = {table["addr"] for table in row["tables"] if heap.find(table["addr"])}
    expected = {r for r in row["referents"] if heap.find(r)} | tables
    found = heap.targets(row["id"], row["id"] + row["size"])
    # The values of an instance hang from a word before its id.
    if row["kind"] == "Instance":
        found |= {t for t in heap.targets(row["id"] - 32, row["id"] - 16) if t in tables}
    for table in row["tables"]:
        if table["addr"] in tables:
            found |= heap.targets(table["addr"] + table["skip"], table["addr"] + table["end"])
    if found != expected:
        return [f"{row['kind']} {row['id']:#x}: missing {[hex(a) for a in expected - found]}, "
                f"too much {[hex(a) for a in found - expected]}"]
    return []


def check_refs(holdfast, database, heap, row):
    """`refs --out` of an address inside the container gives what the database has."""
    told = holdfast.json("refs", database, hex(row["id"]), "--out", "--limit", 1000000)
    start, obj = heap.find(row["id"])
    expected = {heap.addr_of[dst] for dst, in heap.db.execute("SELECT dst_id FROM edge WHERE src_id = ?", (obj,))}
    found = {int(ref["addr"], 16) for ref in told["references"]}
    return [] if found == expected else [f"refs --out {row['id']:#x}: {len(found)} objects, not {len(expected)}"]


def main(holdfast_path, python):
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as folder:
        holdfast = Holdfast(holdfast_path, folder)
        report = os.path.join(folder, "report.json")
        target = pathlib.Path(__file__).with_name("python_target.py")
        subprocess.run([*holdfast.run_command(), python, target, report], check=True, timeout=120,
                       env={**os.environ, "PYTHONMALLOC": "malloc", "PYTHONHASHSEED": "1"})
        dump = holdfast.wait_for_dump()
        db = holdfast.load(dump)
        heap = Heap(db)
        rows = json.loads(pathlib.Path(report).read_text())
        problems = [p for row in rows for p in check(heap, row)]
        database = dump.with_suffix(".hfdb")
        problems += [p for row in rows[::len(rows) // N_ASKED] for p in check_refs(holdfast, database, heap, row)]
        in_heap = sum(bool(heap.find(r)) for row in rows for r in row["referents"])
        print(*problems[:20], sep="\n")
        print(f"{len(rows)} containers, {in_heap} references to {len(heap.rows)} heap objects: {len(problems)} problems")
        return 1 if problems or not in_heap else 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except Failure as failure:
        print(f"FAIL {failure}")
        sys.exit(1)
