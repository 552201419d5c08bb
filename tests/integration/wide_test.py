"""Reports on a table of very many sessions: what is told by a sample is near the truth, and the rest is exact.

wide_test.py HOLDFAST WIDE_TARGET
"""
import subprocess
import sys
import tempfile

from harness import Failure, Holdfast

N, SMALL = 100000, 10000
NEAR = 0.1  # of an estimate of what 356 of 100,000 say: sizes vary by half of their mean


def expect(what, condition, detail=""):
    if not condition:
        raise Failure(f"{what}: {detail}")


def value(holdfast, database, sql):
    (row,) = holdfast.json("sql", database, sql)
    return next(iter(row.values()))


def make_database(holdfast, target, n):
    dump, database = holdfast.folder / f"wide{n}.hfd", holdfast.folder / f"wide{n}.hfdb"
    with subprocess.Popen([target, str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        holdfast("dump", str(process.pid), "-o", dump)
        process.stdin.close()
    holdfast("load", dump, "-o", database)
    return database


def avatars(holdfast, database):
    """Bytes and number of what hangs at users' second word, by SQL alone."""
    return holdfast.json("sql", database, """
        SELECT sum(a.size) AS size, count(*) AS n FROM object a JOIN edge e ON e.dst_id = a.id AND e.src_offset = 8
        JOIN edge u ON u.dst_id = e.src_id AND u.src_offset = 8 JOIN edge t ON t.src_id = u.src_id AND t.src_offset = 16
        WHERE a.holder_id = e.src_id AND a.size > 24
        AND t.dst_id = (SELECT dst_id FROM edge GROUP BY dst_id ORDER BY count(*) DESC LIMIT 1)""")[0]


def check_near(what, estimate, truth):
    expect(what, abs(estimate - truth) <= NEAR * truth, f"{estimate}, in truth {truth}")


def check_tree(holdfast, database, truth, *options):
    rows = holdfast.json("tree", database, *options)["rows"]
    (array,) = [r for r in rows if r["kind"] == "root" and r["path"].startswith("g_counters")]
    expect("a variable of very many words", array["count"] >= 0.99 * N, array)
    sets = [r for r in rows if r["kind"] == "set"]
    first = max((r for r in sets if not r["estimated"]), key=lambda r: r["size"])
    figures, above = ("retained", "idom_id") if options else ("held", "holder_id")
    (exact,) = holdfast.json("sql", database, f"""
        SELECT sum({figures}_size) AS size, sum({figures}_count) AS count FROM object o JOIN edge e ON e.dst_id = o.id
        WHERE o.{above} = e.src_id AND e.src_id = (SELECT src_id FROM edge GROUP BY src_id ORDER BY count(*) DESC LIMIT 1)""")
    expect("the set right below the table is exact", (first["size"], first["count"]) == (exact["size"], exact["count"]),
           (first, exact))
    below = [r for r in sets if r["estimated"]]
    check_near("most of it is avatars", min(r["size"] for r in below if r["size"] > truth["size"] * (1 - 2 * NEAR)),
               truth["size"])
    check_near("their number", max(r["count"] for r in below if abs(r["size"] - truth["size"]) <= NEAR * truth["size"]),
               truth["n"])
    text = holdfast("tree", database, *options)
    expect("people see that it is estimated", "~" in text and "is estimated" in text, text)


def check_report(holdfast, database, truth):
    suspect = holdfast.json("report", database)["suspects"][0]
    expect("by a sample", suspect["bulk_estimated"] is True, suspect)
    check_near("bytes of avatars", suspect["bulk_size"], truth["size"])
    check_near("number of avatars", suspect["bulk_count"], truth["n"])


def rows_of(holdfast, table, *args):
    return [(r["object_id"], r["held_size"]) for r in holdfast.json("refs", *args)[table] if r["object_id"]]


def check_refs(holdfast, database):
    """With a few of very many words, the first are those that hold most."""
    (hub,) = holdfast.json("sql", database, "SELECT dst_id, addr FROM edge JOIN object ON id = dst_id GROUP BY dst_id "
                           "ORDER BY count(*) DESC LIMIT 1")
    (table,) = holdfast.json("sql", database, "SELECT src_id, addr FROM edge JOIN object ON id = src_id GROUP BY src_id "
                             "ORDER BY count(*) DESC LIMIT 1")
    for name, addr, column, options in (("referrers", hub["addr"], "src", ()), ("references", table["addr"], "dst", ("--out",))):
        other = "dst" if column == "src" else "src"
        key = hub["dst_id"] if column == "src" else table["src_id"]
        truth = [r["held_size"] for r in holdfast.json(
            "sql", database, f"SELECT held_size FROM edge JOIN object ON id = {column}_id WHERE {other}_id = {key} "
            "ORDER BY held_size DESC LIMIT 9")]
        few = [held for _, held in rows_of(holdfast, name, database, f"0x{addr:x}", "--limit", "10", *options)]
        expect(f"{name}: the holder, then the largest", sorted(few, reverse=True)[:9] == truth, (few, truth))
        all_rows = rows_of(holdfast, name, database, f"0x{addr:x}", "--limit", "1000000", *options)
        expect(f"{name}: all of them are there", len(set(all_rows)) == value(
            holdfast, database, f"SELECT count(DISTINCT {column}_id) FROM edge WHERE {other}_id = {key}"), len(all_rows))


def check_type(holdfast, database):
    """A struct's tag is enough."""
    sets = [holdfast.json("who", database, "--type", name) for name in ("session", "struct session")]
    expect("struct session is found by its tag", sets[0]["count"] == sets[1]["count"] >= 0.9 * N, sets[0]["count"])


def check_small(holdfast, target):
    """Of a small heap everything is looked at."""
    database = make_database(holdfast, target, SMALL)
    truth = avatars(holdfast, database)
    for options in ((), ("--dominators",)):
        rows = holdfast.json("tree", database, *options)["rows"]
        expect("nothing is estimated", not any(r["estimated"] for r in rows), rows)
    suspect = holdfast.json("report", database)["suspects"][0]
    found = suspect["bulk_estimated"], suspect["bulk_size"], suspect["bulk_count"]
    expect("most of it, exactly", found == (False, truth["size"], truth["n"]), (found, truth))


def main(command, target):
    with tempfile.TemporaryDirectory() as folder:
        holdfast = Holdfast(command, folder)
        database = make_database(holdfast, target, N)
        truth = avatars(holdfast, database)
        expect("the target is as it says", abs(truth["n"] - N) < 10, truth)
        check_tree(holdfast, database, truth)
        check_tree(holdfast, database, truth, "--dominators")
        check_report(holdfast, database, truth)
        check_refs(holdfast, database)
        check_type(holdfast, database)
        check_small(holdfast, target)


if __name__ == "__main__":
    try:
        main(*sys.argv[1:])
    except Failure as failure:
        sys.exit(f"FAILED: {failure}")
