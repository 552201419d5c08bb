#!/usr/bin/env python3
"""Runs every example query of docs/schema.md over a made-up heap, and the database through tools of others.

    examples.py HOLDFAST GEN_DUMP SCHEMA_MD [EXTENSION]

The queries run in holdfast's own shell; those about allocation sites over the database
that the tests of the reports draw; those that need no function of ours also in Python's sqlite3 module; all of them
in the plain sqlite3 shell with the extension loaded, if its path is given.
"""
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile

FUNCTIONS = re.compile(r"\b(who|path|referrers|dominated|held|also_holds|retained_set|ptr|object_at)\(")


def run(*command, **kwargs):
    result = subprocess.run(command, capture_output=True, text=True, **kwargs)
    if result.returncode:
        sys.exit(f"{command}: exit {result.returncode}\n{result.stderr}")
    return result.stdout


def examples(path):
    with open(path, encoding="utf-8") as f:
        queries = re.findall(r"```sql\n(.*?)```", f.read(), re.S)
    if len(queries) < 20:
        sys.exit(f"{path}: {len(queries)} examples, at least 20 are promised")
    return [q.strip().rstrip(";") for q in queries]


def check_documented(path, db):
    """Every column of every table and view stands in the document."""
    with open(path, encoding="utf-8") as f:
        text = f.read()
    names = [r[0] for r in db.execute("SELECT name FROM sqlite_schema WHERE type IN ('table', 'view')")]
    for name in names:
        if name.startswith("stat_"):
            continue
        if f"`{name}`" not in text:
            sys.exit(f"{path}: {name} is missing")
        if db.execute("SELECT type FROM sqlite_schema WHERE name = ?", (name,)).fetchone()[0] == "view":
            continue
        for column in db.execute(f"PRAGMA table_xinfo({name})"):
            if f"`{column[1]}`" not in text:
                sys.exit(f"{path}: column {name}.{column[1]} is missing")


def load_extension(db, path):
    """Not every Python is built with it."""
    if not hasattr(db, "enable_load_extension"):
        return False
    db.enable_load_extension(True)
    db.load_extension(path.removesuffix(".so"))
    db.enable_load_extension(False)
    return True


def check_updates(source, directory):
    """Others may read and change the file like any database."""
    path = os.path.join(directory, "changed.hfdb")
    shutil.copy(source, path)
    db = sqlite3.connect(path)
    n = db.execute("SELECT count(*) FROM object").fetchone()[0]
    with db:
        db.execute("UPDATE object SET label = 'number ' || id, type_id = 1 WHERE id % 3 = 0")
        db.execute("DELETE FROM edge WHERE src_id % 5 = 0")
        db.execute("INSERT INTO edge (src_id, src_offset, dst_id) VALUES (5, 0, 1)")
        db.execute("UPDATE object SET depth = iif(depth IS NULL, 1, NULL) WHERE id % 7 = 0")
    assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    assert db.execute("SELECT count(*) FROM object WHERE label = 'number ' || id").fetchone()[0] == n // 3
    db.execute("VACUUM")
    assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
    db.close()
    assert run("sqlite3", path, "UPDATE meta SET value = 'x' WHERE key = 'pid'; SELECT changes();").strip() == "1"


def main():
    holdfast, gen_dump, document = sys.argv[1:4]
    extension = sys.argv[4] if len(sys.argv) > 4 else None
    with tempfile.TemporaryDirectory() as directory:
        dump, path = os.path.join(directory, "g.hfd"), os.path.join(directory, "g.hfdb")
        run(gen_dump, dump, "20000", "3")
        run(holdfast, "load", dump, "-o", path)
        db = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        assert db.execute("PRAGMA integrity_check").fetchone()[0] == "ok"
        check_documented(document, db)
        sited = os.path.join(directory, "sited.hfdb")
        here = os.path.dirname(os.path.abspath(__file__))
        run(sys.executable, os.path.join(here, "../golden/fixture.py"), os.path.join(here, "../../schema"), sited, "sited")
        plain, plain_db = path, db
        for i, query in enumerate(examples(document), 1):
            # Those about sites are asked of a heap that has some.
            path = sited if re.search(r"\bsite(_|\b)", query) and "leak_summary" not in query else plain
            db = sqlite3.connect(path) if path == sited else plain_db
            # A header and a row at least.
            if len(run(holdfast, "sql", path, query, "--csv").splitlines()) < 2:
                sys.exit(f"example {i} gives nothing: {query}")
            if not FUNCTIONS.search(query):
                assert db.execute(query).fetchall(), query
            if extension:
                shell = run("sqlite3", path, ".load " + extension.removesuffix(".so"), query)
                assert shell.strip(), query
                if load_extension(db, extension):
                    assert db.execute(query).fetchall(), query
        plain_db.close()
        check_updates(plain, directory)


if __name__ == "__main__":
    main()
