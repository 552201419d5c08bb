"""How long a person waits for an answer: each question by a new process on a database that is in the page cache.

usage: bench_questions.py BIN_DIR [OBJECTS=1e7] [EDGES_PER_OBJECT=3] [ADDRESSES=100]
       bench_questions.py BIN_DIR DATABASE [ADDRESSES=100]
       bench_questions.py BIN_DIR wide [SESSIONS=2e6]

`who`, `who --all`, `refs` and `tree` are asked of random objects and of the ones that hold and retain most, `report`,
`leaks` and every `top` five times. Prints one JSON line: milliseconds of wall time, median and worst, and of which
object the worst was. `wide`: the same of a server with one table of very many sessions, four objects each; the
addresses are the table, what all sessions point to, and random objects.
"""
import json
import os
import random
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

LARGEST = 10  # of each kind, besides the random objects
REPEATS = 5
GROUPINGS = ("object", "type", "site", "function", "module", "root", "arena")
SORTS = ("retained", "size", "count")


def ask(holdfast, *args):
    """Milliseconds of one question."""
    start = time.monotonic()
    done = subprocess.run([holdfast, *args], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    taken = (time.monotonic() - start) * 1000
    if done.returncode:
        sys.exit(f"{args}: exit status {done.returncode}: {done.stderr}")
    return taken


def addresses_of(database, n):
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
        last = db.execute("SELECT max(id) FROM object").fetchone()[0]
        ids = {random.randint(1, last) for _ in range(n)}
        for table in ("stat_top_held", "stat_top_retained", "stat_top_size", "stat_leak_head"):
            ids |= {row[0] for row in db.execute(f"SELECT object_id FROM {table} ORDER BY rank LIMIT {LARGEST}")}
        in_degree = db.execute("SELECT dst_id FROM edge WHERE dst_id <= 2000000 GROUP BY dst_id "
                               f"ORDER BY count(*) DESC LIMIT {LARGEST}")
        ids |= {row[0] for row in in_degree}
        return [f"0x{db.execute('SELECT addr FROM object WHERE id = ?', (i,)).fetchone()[0]:x}" for i in sorted(ids)]


def wide_addresses(database):
    """The object with most words, the one that most words point to, and some others."""
    with sqlite3.connect(f"file:{database}?mode=ro", uri=True) as db:
        last = db.execute("SELECT max(id) FROM object").fetchone()[0]
        ids = {random.randint(1, last) for _ in range(20)}
        for column in ("src_id", "dst_id"):
            ids.add(db.execute(f"SELECT {column} FROM edge GROUP BY {column} ORDER BY count(*) DESC LIMIT 1").fetchone()[0])
        return [f"0x{db.execute('SELECT addr FROM object WHERE id = ?', (i,)).fetchone()[0]:x}" for i in sorted(ids)]


def measure(holdfast, database, addresses):
    result = {"bench": "questions", "database_mb": round(os.path.getsize(database) / 1e6, 1), "addresses": len(addresses)}
    for name, options in (("who", []), ("who --all", ["--all"]), ("refs", []), ("tree", []),
                          ("tree --dominators", ["--dominators"])):
        times = [(ask(holdfast, name.split()[0], database, address, *options), address) for address in addresses]
        worst = max(times)
        result[name] = {"median_ms": round(statistics.median(t for t, _ in times), 1), "worst_ms": round(worst[0], 1),
                        "worst_at": worst[1]}
    questions = [("report", ["report"]), ("leaks", ["leaks"]), ("tree of all", ["tree"])]
    for grouping in GROUPINGS:
        for sort in SORTS if grouping != "object" else SORTS[:2]:
            # What a function, a module or an arena retains is not worked out.
            if sort == "retained" and grouping in ("function", "module", "arena"):
                continue
            questions.append((f"top --by {grouping} --sort {sort}", ["top", "--by", grouping, "--sort", sort]))
    for name, args in questions:
        times = [ask(holdfast, args[0], database, *args[1:]) for _ in range(REPEATS)]
        result[name] = {"median_ms": round(statistics.median(times), 1), "worst_ms": round(max(times), 1)}
    print(json.dumps(result))


def measure_wide(bin_dir, holdfast, sessions):
    with tempfile.TemporaryDirectory() as folder:
        dump, database = os.path.join(folder, "bench.hfd"), os.path.join(folder, "bench.hfdb")
        with subprocess.Popen([os.path.join(bin_dir, "wide_target"), str(int(float(sessions)))], stdin=subprocess.PIPE,
                              stdout=subprocess.PIPE) as server:
            server.stdout.readline()
            subprocess.run([holdfast, "dump", str(server.pid), "-o", dump], check=True, stderr=subprocess.DEVNULL)
            server.stdin.close()
        subprocess.run([holdfast, "load", dump, "-o", database], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        measure(holdfast, database, wide_addresses(database))


def main(bin_dir, what="1e7", *rest):
    holdfast = os.path.join(bin_dir, "holdfast")
    random.seed(1)
    if os.path.exists(what):
        measure(holdfast, what, addresses_of(what, int(rest[0]) if rest else 100))
        return
    if what == "wide":
        measure_wide(bin_dir, holdfast, rest[0] if rest else "2e6")
        return
    edges, n_addresses = (list(rest) + ["3", "100"][len(rest):])[:2]
    with tempfile.TemporaryDirectory() as folder:
        dump, database = os.path.join(folder, "bench.hfd"), os.path.join(folder, "bench.hfdb")
        subprocess.run([os.path.join(bin_dir, "gen_dump"), dump, str(int(float(what))), edges, "1"], check=True,
                       stdout=subprocess.DEVNULL)
        subprocess.run([holdfast, "load", dump, "-o", database], check=True, stdout=subprocess.DEVNULL,
                       stderr=subprocess.DEVNULL)
        measure(holdfast, database, addresses_of(database, int(n_addresses)))


if __name__ == "__main__":
    main(*sys.argv[1:])
