"""Where two indexes lead to the same objects, report says what keeps one from retaining them: words of the other, summed up.

spoilers_test.py HOLDFAST TWO_INDEXES_TARGET
"""
import os
import re
import subprocess
import sys
import tempfile

from harness import Failure, Holdfast, expect

# One of a hundred reaches next to nothing, and parts below 1 % are not looked at. In the large tables, 256 entries are looked at for
# all, of which seven in ten are to be found: five standard errors are 0.21.
NEAR = {100: 0.1, 5000: 0.21, 60000: 0.21}
UNITS = {"B": 1, "KiB": 1 << 10, "MiB": 1 << 20}


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
    text = holdfast("report", dump)
    line = re.search(r"^\d\. g_table\b.*?reach in, too\n +~?([\d.]+) (\w+) by ~?([\d,]+) words of objects that g_lists holds, "
                     r"struct node\.entry$", text, re.M | re.S)
    if not line:
        raise Failure(f"a table of {n} of which {words} words are in lists, too:\n{text}")
    found, found_size = int(line[3].replace(",", "")), float(line[1]) * UNITS[line[2]]
    if abs(found - words) > words * NEAR[n] or abs(found_size - size) > size * NEAR[n]:
        raise Failure(f"{line[0]}; in truth {words} words that reach {size} bytes")
    print(f"ok   a table of {n}: {found} words that reach {found_size:.0f}; in truth {words} that reach {size}")


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
