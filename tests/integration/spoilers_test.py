"""Where two indexes lead to the same objects, report says what keeps one from retaining them: words of the other, summed up.

spoilers_test.py HOLDFAST TWO_INDEXES_TARGET
"""
import os
import re
import subprocess
import sys
import tempfile

from harness import Failure, Holdfast, expect

# One of a hundred reaches next to nothing, and parts below 1 % are not looked at. In the large tables, 48 entries are looked at for
# all, of which seven in ten are to be found: five standard errors are 0.47.
NEAR = {100: 0.05, 5000: 0.47, 60000: 0.47}


def load(holdfast, target, n):
    dump = holdfast.folder / f"two{n}.hfd"
    with subprocess.Popen([target, str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        holdfast("dump", str(process.pid), "-o", dump)
        process.stdin.close()
    return dump


def check(holdfast, target, n):
    """The table holds most entries; every seven of ten are in the lists, too."""
    dump = load(holdfast, target, n)
    db = holdfast.load(dump)
    table, words, size = db.execute("""
        WITH t AS (SELECT src_id AS id FROM edge GROUP BY src_id ORDER BY count(*) DESC LIMIT 1)
        SELECT t.id, count(DISTINCT o.id), sum(o.held_size) FROM t JOIN object o ON o.holder_id = t.id
        JOIN edge e ON e.dst_id = o.id AND e.src_id <> t.id GROUP BY 1""").fetchone()
    (address,) = db.execute("SELECT addr FROM object WHERE id = ?", (table,)).fetchone()
    answer = holdfast.json("who", dump, hex(address))
    found = [s for s in answer["also_holds_by_source"] if s["kind"] == "objects"]
    expect(f"what spoils a table of {n}", [s["from"] for s in found], ["objects that g_lists holds, struct node.entry"])
    if abs(found[0]["words"] - words) > max(1, words * NEAR[n]) or abs(found[0]["bytes"] - size) > size * NEAR[n]:
        raise Failure(f"{found}; in truth {words} words that reach {size} bytes")
    if n > 100:
        return  # the lists are no suspect: next to nothing is nearer to them
    line = re.search(r"^\d\. g_lists\b.*?reach in, too\n +([^\n]*)", holdfast("report", dump), re.M | re.S)
    expect(f"what spoils the lists of {n}", bool(line and "words of objects that g_table holds" in line[1]), True)


def main(command, target):
    os.environ["COLUMNS"] = "300"
    with tempfile.TemporaryDirectory() as folder:
        holdfast = Holdfast(command, folder)
        for n in (100, 5000, 60000):
            check(holdfast, target, n)


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except Failure as failure:
        sys.exit(str(failure))
