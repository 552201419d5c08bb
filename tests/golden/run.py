#!/usr/bin/env python3
"""Golden tests of the reports: run.py HOLDFAST SCHEMA_DIR [--rewrite].

Every command of CASES runs on a database drawn by fixture.py; what it prints is compared with
expected/NAME.txt, and with --json with expected/NAME.json. No line may be wider than 80 columns,
and the figures of the table must be those of the JSON. --rewrite writes the expected files anew:
look at the difference before committing it.
"""
import json
import os
import pathlib
import pty
import re
import shlex
import select
import sqlite3
import struct
import subprocess
import sys
import tempfile

import fcntl
import termios

HERE = pathlib.Path(__file__).resolve().parent
holdfast, schema = sys.argv[1:3]
rewrite = "--rewrite" in sys.argv
failures = 0

# name: (exit code, arguments); the words {a}, {b} ... are addresses, see addresses().
CASES = {
    "report": (0, "report sessions.hfdb"),
    "report_partial": (4, "report partial.hfdb"),
    "report_spoilt": (0, "report spoilt.hfdb"),
    "report_indexed": (0, "report indexed.hfdb"),
    "who_indexed": (0, "who indexed.hfdb {buckets}"),
    "who_spoilt": (0, "who spoilt.hfdb {buckets}"),
    "report_empty": (0, "report empty.hfdb"),
    "who_payload": (0, "who sessions.hfdb {payload}"),
    "who_interior": (0, "who sessions.hfdb {interior} --all"),
    "who_list_tail": (0, "who sessions.hfdb {tail} --all=3"),
    "who_leaked": (0, "who sessions.hfdb {leaked}"),
    "who_gap": (3, "who sessions.hfdb {gap}"),
    "who_module": (3, "who sessions.hfdb 0x7ffff7d90123"),
    "who_variable": (0, "who sessions.hfdb 0x555555760150"),
    "refs_variable": (0, "refs sessions.hfdb 0x555555760100"),
    "tree_variable": (0, "tree sessions.hfdb 0x7ffff7d8a6e0"),
    "who_stack_word": (0, "who sessions.hfdb 0x7fffffffe028"),
    "who_stack": (3, "who sessions.hfdb 0x7ffff6e00000"),
    "who_mapping": (3, "who sessions.hfdb 0x7ffff8000010"),
    "who_unmapped": (3, "who sessions.hfdb 4096"),
    "who_null": (3, "who sessions.hfdb 0x0"),
    "who_set": (0, "who sessions.hfdb --sql 'SELECT id FROM object WHERE size = 1000'"),
    "who_set_list": (0, "who sessions.hfdb --sql 'SELECT id FROM object WHERE size = 200'"),
    "who_set_all_but_one": (0, "who sessions.hfdb --sql 'SELECT id FROM object WHERE size IN (40, 4096)' -n 1"),
    "who_set_nested": (0, "who sessions.hfdb --sql 'SELECT id FROM object' -n 5"),
    "top": (0, "top sessions.hfdb -n 6"),
    "top_held": (0, "top sessions.hfdb --sort held -n 3"),
    "top_size": (0, "top sessions.hfdb --sort size -n 3"),
    "top_root": (0, "top sessions.hfdb --by root"),
    "top_root_retained": (0, "top sessions.hfdb --by root --sort retained -n 2"),
    "top_arena": (0, "top sessions.hfdb --by arena"),
    "top_type": (0, "top sessions.hfdb --by type"),
    "top_site": (0, "top sessions.hfdb --by site"),
    "tree": (0, "tree sessions.hfdb"),
    "tree_shaped": (0, "tree shaped.hfdb --min 1.5"),
    "report_threaded": (0, "report threaded.hfdb"),
    "who_threaded": (0, "who threaded.hfdb 0x555555770010"),
    "site_top_alike": (0, "top alike.hfdb --by site"),
    "leaks_partial": (4, "leaks partial.hfdb"),
    "report_hollow": (4, "report hollow.hfdb"),
    "tree_hollow": (4, "tree hollow.hfdb"),
    "top_root_hollow": (4, "top hollow.hfdb --by root"),
    "report_rootless": (4, "report rootless.hfdb"),
    "tree_rootless": (4, "tree rootless.hfdb"),
    "report_shaped": (0, "report shaped.hfdb"),
    "tree_addr": (0, "tree sessions.hfdb {table}"),
    "tree_dominators": (0, "tree sessions.hfdb --dominators"),
    "refs": (0, "refs sessions.hfdb {table} --limit 5"),
    "refs_in": (0, "refs sessions.hfdb {tail} --in"),
    "refs_out": (0, "refs sessions.hfdb {buckets} --out --limit 3"),
    "leaks": (0, "leaks sessions.hfdb"),
    "leaks_short": (0, "leaks sessions.hfdb -n 2"),
    "leaks_over": (6, "leaks sessions.hfdb --fail-over 2K"),
    "leaks_under": (0, "leaks sessions.hfdb --fail-over 4K"),
    "leaks_empty": (0, "leaks empty.hfdb"),
    "diff": (0, "diff sessions.hfdb grown.hfdb"),
    "diff_shrunk": (0, "diff grown.hfdb sessions.hfdb -n 1"),
    "diff_same_object": (0, "diff sessions.hfdb sessions.hfdb --by object"),
    "diff_shrunk_object": (0, "diff grown.hfdb sessions.hfdb --by object"),
    "diff_shrunk_type": (0, "diff typed_grown.hfdb typed.hfdb --by type -n 2"),
    "diff_object": (0, "diff sessions.hfdb grown.hfdb --by object"),
    "diff_series": (0, "diff sessions.hfdb grown.hfdb more.hfdb -n 1"),
    "diff_over": (6, "diff sessions.hfdb grown.hfdb --fail-over 1K"),
    "diff_partial": (4, "diff partial.hfdb sessions.hfdb"),
    "diff_type": (0, "diff sessions.hfdb grown.hfdb --by type"),
    "diff_short": (0, "diff sessions.hfdb grown.hfdb -n 1"),
    "diff_usable": (0, "diff usable.hfdb sessions.hfdb"),
    "diff_usable_grown": (0, "diff usable.hfdb grown.hfdb"),
    "diff_usable_type": (0, "diff usable.hfdb typed.hfdb --by type"),
    "diff_programs": (0, "diff sessions.hfdb other.hfdb"),
    "diff_one": (0, "diff empty.hfdb one.hfdb"),
    "leaks_one": (0, "leaks one.hfdb"),
    "report_one": (0, "report one.hfdb"),
    "typed_diff": (0, "diff typed.hfdb typed_grown.hfdb"),
    "typed_diff_root": (0, "diff typed.hfdb typed_grown.hfdb --by root"),
    "typed_tree": (0, "tree typed.hfdb"),
    "typed_tree_dominators": (0, "tree typed.hfdb --dominators"),
    "typed_who_set": (0, "who typed.hfdb --type session"),
    "typed_who_set_inside": (0, "who typed.hfdb --type item"),
    "typed_who_set_none": (3, "who typed.hfdb --type ite"),
    "info": (0, "info sessions.hfdb"),
    "info_partial": (4, "info partial.hfdb"),
    "verify": (0, "verify sessions.hfdb"),
    "site_report": (0, "report sited.hfdb"),
    "site_who": (0, "who sited.hfdb {payload}"),
    "site_top": (0, "top sited.hfdb --by site"),
    "site_top_count": (0, "top sited.hfdb --by site --sort count -n 2"),
    "site_top_function": (0, "top sited.hfdb --by function"),
    "site_top_module": (0, "top sited.hfdb --by module"),
    "site_leaks": (0, "leaks sited.hfdb"),
    "site_leaks_older": (0, "leaks sited.hfdb --older 50m"),
    "site_leaks_none_older": (0, "leaks sited.hfdb --older 9d"),
    "site_verify": (0, "verify sited.hfdb"),
    "sampled_report": (0, "report sampled.hfdb"),
    "sampled_who": (0, "who sampled.hfdb {payload}"),
    "sampled_top": (0, "top sampled.hfdb --by site"),
    "sampled_top_function": (0, "top sampled.hfdb --by function"),
    "sampled_top_module": (0, "top sampled.hfdb --by module"),
    "sampled_leaks": (0, "leaks sampled.hfdb"),
    "sampled_leaks_older": (6, "leaks sampled.hfdb --older 1h --fail-over 10"),
    "sampled_leaks_no_verdict": (4, "leaks sampled.hfdb --older 1h --fail-over 1K"),
    "sampled_leaks_under": (0, "leaks sampled.hfdb --older 1h --fail-over 3K"),
    "sampled_who_site": (0, "who sampled.hfdb --site session_open"),
    "sampled_who_site_rough": (0, "who sampled.hfdb --site 7"),
    "sampled_who_site_none": (3, "who sampled.hfdb --site load_avatar"),
    "orphan_report": (0, "report orphan.hfdb"),
    "orphan_leaks": (0, "leaks orphan.hfdb"),
    "orphan_top": (0, "top orphan.hfdb --by site"),
    "orphan_who_site": (3, "who orphan.hfdb --site load_avatar"),
    "orphan_who_site_number": (0, "who orphan.hfdb --site 3"),
    "leaks_no_ages": (3, "leaks sessions.hfdb --older 10m"),
}
SQL = "SELECT id, size, label, held_size * 1.0 / 3 AS third FROM object ORDER BY size DESC, id LIMIT 3"


def check(name, ok, detail=""):
    global failures
    if not ok:
        failures += 1
        print(f"FAILED: {name}\n{detail}")


def addresses(path):
    db = sqlite3.connect(path)
    one = lambda sql: db.execute(sql).fetchone()[0]
    payload = one("SELECT addr FROM object WHERE size = 1000 ORDER BY id LIMIT 1 OFFSET 3")
    last = db.execute("SELECT addr, usable FROM object ORDER BY id DESC LIMIT 1 OFFSET 1").fetchone()
    return {name: hex(value) for name, value in dict(
        payload=payload, interior=payload + 504, gap=last[0] + last[1] + 64,
        tail=one("SELECT o.addr FROM root r JOIN object o ON o.id = r.object_id WHERE r.kind = 'register'"),
        leaked=one("SELECT o.addr FROM object o WHERE NOT reachable AND holder_id IS NOT NULL LIMIT 1"),
        table=one("SELECT addr FROM object WHERE id = 1"),
        buckets=one("SELECT addr FROM object WHERE id = 2")).items()}


def run(folder, args, **env):
    return subprocess.run([holdfast, *args], capture_output=True, cwd=folder, stdin=subprocess.DEVNULL, check=False,
                          env={**os.environ, "LC_ALL": "C.UTF-8", "COLUMNS": "80", **env})


def compare(path, text, name):
    if rewrite:
        path.write_text(text, encoding="utf-8")
    elif not path.exists():
        check(name, False, f"{path} is not there; --rewrite makes it")
    else:
        want = path.read_text(encoding="utf-8")
        if want != text:
            import difflib
            check(name, False, "".join(difflib.unified_diff(
                want.splitlines(True), text.splitlines(True), "expected", "printed")))


def human_size(n):
    units, v, u = ["B", "KiB", "MiB", "GiB"], float(n), 0
    while v >= (1023.95 if u else 1024):
        v, u = v / 1024, u + 1
    return f"{v:.1f} {units[u]}" if u else f"{n} B"


def same_figures(name, text, value):
    """Every size of a JSON table that people are shown is in the table."""
    shown = {"report": ["suspects"], "top": ["rows"], "tree": ["rows"], "refs": ["referrers", "references"]}
    if name.startswith("sampled"):
        return  # people see estimates
    for key in shown.get(value["report"], []):
        for row in value.get(key, []):
            for column in ("held_size", "size"):
                if key != "suspects" and row.get(column) is not None:
                    check(f"{name}: {key}.{column}", human_size(row[column]) in text, str(row))


def golden(folder):
    words = addresses(folder / "sessions.hfdb")
    for name, (code, line) in CASES.items():
        args = shlex.split(line.format(**words))
        got = run(folder, args)
        text = got.stdout.decode()
        check(f"{name}: exit code {got.returncode}, not {code}", got.returncode == code, got.stderr.decode())
        wide = [l for l in text.splitlines() if len(l) > 80 and "holdfast " not in l]
        check(f"{name}: wider than 80 columns", not wide, "\n".join(wide))
        check(f"{name}: one is not many", not re.search(r"(?<![\d,.])1 (?:more )?(?:objects|paths)", text), text)
        check(f"{name}: blanks at the end of a line", not re.search(r" $", text, re.M), text)
        compare(HERE / "expected" / f"{name}.txt", text, name)
        if code == 6:
            check(f"{name}: says why", re.fullmatch(rb"holdfast: .* more than the .* of --fail-over\n", got.stderr),
                  got.stderr.decode())
        got = run(folder, args + ["--json"])
        check(f"{name} --json: exit code {got.returncode}", got.returncode == code, got.stderr.decode())
        try:
            value = json.loads(got.stdout)
        except ValueError as error:
            check(f"{name} --json: no JSON", False, f"{error}\n{got.stdout.decode()}")
            continue
        check(f"{name} --json: says what it is", value.get("report") == args[0] and "warnings" in value)
        compare(HERE / "expected" / f"{name}.json", got.stdout.decode(), name + " --json")
        same_figures(name, text, value)
        if value.get("kinds"):  # all that is leaked, sampled or not
            sums = [sum(row[column] for row in value["kinds"]) for column in ("size", "held_size", "count")]
            check(f"{name}: kinds of leaks", sums == [value["leak_size"], value["leak_size"], value["leak_count"]], sums)
        if value.get("new_held_by") and not value["paths_left"] and not value["usable_sizes"]:
            for column in ("size", "held_size"):  # what was there before is no part of it
                check(f"{name}: {column} of the new objects", sum(row[column] for row in value["new_held_by"]) ==
                      value["new_bytes"], str(value["new_held_by"]))


def sql(folder):
    for form in ("", "--json", "--csv"):
        got = run(folder, ["sql", "sessions.hfdb", SQL] + ([form] if form else []))
        check(f"sql {form}", got.returncode == 0, got.stderr.decode())
        compare(HERE / "expected" / f"sql{form.replace('--', '.') or '.txt'}", got.stdout.decode(), f"sql {form}")
    piped = subprocess.run([holdfast, "sql", "sessions.hfdb"], input=b"SELECT 1 AS one;\nSELECT 2 AS two",
                           capture_output=True, cwd=folder, check=False)
    check("sql from a pipe", piped.stdout.split() == [b"one", b"1", b"two", b"2"], piped.stdout)
    before = (folder / "sessions.hfdb").read_bytes()
    for write in ("DELETE FROM object", "CREATE TABLE x (y)", "PRAGMA user_version = 9"):
        got = run(folder, ["sql", "sessions.hfdb", write])
        check(f"sql {write}", got.returncode != 0 and got.stderr.count(b"\n") == 1, got.stderr)
    check("sql: the file is as it was", (folder / "sessions.hfdb").read_bytes() == before)
    endless = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT count(*) FROM n"
    got = run(folder, ["sql", "sessions.hfdb", endless, "--time-limit", "0.2"])
    check("sql --time-limit", got.returncode == 1 and b"time limit" in got.stderr, got.stderr)


def diff_with_itself(folder):
    """Nothing is new, whatever names its sites and types share."""
    for path in sorted(folder.glob("*.hfdb")):
        twins = folder / "twins.hfdb"
        twins.write_bytes(path.read_bytes())
        with sqlite3.connect(twins) as db:
            db.execute("UPDATE site SET function = 'f', file = 'f.c', line = 1")
        db.close()
        value = json.loads(run(folder, ["diff", "twins.hfdb", "twins.hfdb", "--json"]).stdout)
        check(f"diff of {path.name} with itself", value["new_objects"] == value["gone_objects"] == 0, str(value))
        twins.unlink()


def diff_with_a_core(folder):
    """A core does not tell its machine: the same process if its program lies where only it can lie."""
    core, pid = folder / "core.hfdb", folder / "pid.hfdb"
    for said, host, base in (("still there", None, 0x55d0c0de0000), ("not known whether", None, 0x555555554000),
                             ("not known whether", None, 0x400000), ("different processes", "other", 0x55d0c0de0000)):
        for path, name in ((pid, "sessions"), (core, "grown")):
            path.write_bytes((folder / f"{name}.hfdb").read_bytes())
            with sqlite3.connect(path) as db:
                db.execute("UPDATE module SET base = ? WHERE id = 1", (base,))
                if path == core:
                    db.execute("UPDATE meta SET value = ? WHERE key = 'hostname'", (host,)) if host else \
                        db.execute("DELETE FROM meta WHERE key = 'hostname'")
            db.close()
        for args in (["pid.hfdb", "core.hfdb"], ["core.hfdb", "pid.hfdb"]):
            got = run(folder, ["diff", *args])
            check(f"diff with a core: {said}, {args}", got.returncode == 0 and said in got.stdout.decode(), got.stdout.decode())
    core.unlink()
    pid.unlink()


def verdicts_on_samples(folder):
    """Where ages are sampled --fail-over fails for sure, by many samples, or not at all; it passes for sure or not at all."""
    leaky = folder / "leaky.hfdb"
    leaky.write_bytes((folder / "sampled.hfdb").read_bytes())
    with sqlite3.connect(leaky) as db:
        db.execute("UPDATE object SET depth = NULL")
        db.execute("UPDATE meta SET value = (SELECT sum(size) FROM object) WHERE key = 'leak_size'")
        db.execute("UPDATE meta SET value = (SELECT count(*) FROM object) WHERE key = 'leak_count'")
    db.close()
    for limit, code, why in (("1K", 6, "1.8 KiB leaked, more"), ("2K", 6, "by samples"), ("90K", 4, "no verdict"), ("95K", 0, "")):
        got = run(folder, ["leaks", "leaky.hfdb", "--older", "0s", "--fail-over", limit])
        check(f"verdict on samples, {limit}: exit code {got.returncode}, not {code}", got.returncode == code, got.stderr)
        check(f"verdict on samples, {limit}: {why}", why in got.stderr.decode() and bool(why) == bool(got.stderr), got.stderr)
    with sqlite3.connect(leaky) as db:
        db.execute("UPDATE site SET live_bytes = live_bytes / 2")  # the recorder's weights were others
    db.close()
    got = run(folder, ["leaks", "leaky.hfdb", "--older", "0s", "--fail-over", "2K"])
    check("verdict on samples of other weights", got.returncode == 4, got.stderr)
    leaky.unlink()


def lists_of_sampled_heaps(folder):
    """A list is one though it is known of some of its nodes only what was asked for them."""
    path = folder / "some.hfdb"
    path.write_bytes((folder / "sessions.hfdb").read_bytes())
    args = ["--sql", "SELECT id FROM object WHERE usable = 40 AND id > 2", "--json"]
    paths = lambda name: [row["path"] for row in json.loads(run(folder, ["who", name, *args]).stdout)["paths"]]
    with sqlite3.connect(path) as db:
        db.execute("UPDATE object SET size = size + usable_extra, usable_extra = 0 WHERE size = 32 AND id % 3 = 0")
    db.close()
    check("the list of a sampled heap", paths("some.hfdb") == paths("sessions.hfdb"), paths("some.hfdb"))
    path.unlink()


def older_database(folder):
    """One that was made before there were bounds of estimates: they are the profile's."""
    old = folder / "old.hfdb"
    old.write_bytes((folder / "sampled.hfdb").read_bytes())
    with sqlite3.connect(old) as db:
        db.execute("DROP TABLE stat_estimate")
    db.close()
    for by in ("site", "function", "module"):
        got = run(folder, ["top", "old.hfdb", "--by", by, "--json"])
        rows = json.loads(got.stdout)["rows"]
        check(f"top of an older database by {by}", rows and all(r["est_size"] == r["live_bytes"] for r in rows), got.stderr)
    old.unlink()


def csv(folder):
    got = run(folder, ["top", "sessions.hfdb", "--by", "root", "--csv"])
    lines = got.stdout.decode().splitlines()
    check("top --csv", lines[0].startswith("held_size,") and len(lines) == 6, got.stdout)


def figures_when_narrow(folder):
    """What is cut to a narrow terminal has no number or size that the whole text has not."""
    figure = re.compile(r"(?<![\w.,+])~?\d[\d,]*(?:\.\d+)?(?: [KMGT]?i?B\b)?")
    words = addresses(folder / "sessions.hfdb")
    for name in ("tree", "tree_dominators", "typed_tree", "report", "report_spoilt", "refs", "who_interior", "typed_diff"):
        args = shlex.split(CASES[name][1].format(**words))
        whole = set(figure.findall(run(folder, args, COLUMNS="300").stdout.decode()))
        for width in range(40, 80, 5):
            text = run(folder, args, COLUMNS=str(width)).stdout.decode()
            cut = [line for line in text.splitlines() if "…" in line]
            wrong = [(line, f) for line in cut for f in figure.findall(line) if f not in whole]
            check(f"{name}: figures at {width} columns", not wrong, wrong)


def verify_finds(folder):
    """Each change breaks one invariant, and verify names it."""
    for check_name, change in {
            "holder_sum": "UPDATE object SET held_extra = held_extra + 1 WHERE id = 5",
            "dominator_sum": "UPDATE object SET retained_extra = 1 WHERE id = 2",
            "object_order": "UPDATE object SET usable_extra = usable_extra + 64 WHERE id = 9",
            "edge_target": "UPDATE edge SET dst_offset = 100000 WHERE src_id = 1",
            "reachable": "UPDATE object SET depth = NULL WHERE id = 2",
            "variable_held": "UPDATE variable SET held_size = 7 WHERE id = 1",
            "totals": "UPDATE meta SET value = 1 WHERE key = 'live_size'",
            "root_object": "UPDATE root SET object_id = 99999 WHERE id = 1"}.items():
        broken = folder / "broken.hfdb"
        broken.write_bytes((folder / "sessions.hfdb").read_bytes())
        with sqlite3.connect(broken) as db:
            db.execute(change)
        db.close()
        got = run(folder, ["verify", "broken.hfdb", "--json"])
        failed = [c["check"] for c in json.loads(got.stdout)["checks"] if c["violations"]]
        check(f"verify finds {check_name}", got.returncode == 3 and check_name in failed, str(failed))


def verify_finds_stale_indexes(folder):
    """An index that was not there while its table changed, and is there again."""
    for check_name, index, change in (("edge_index", "edge_dst", "DELETE FROM edge WHERE src_id = 1"),
                                      ("edge_index", "edge_dst", "UPDATE edge SET dst_id = dst_id + 1 WHERE src_id = 1"),
                                      ("object_index", "object_leak", "UPDATE object SET depth = NULL WHERE id = 2"),
                                      ("object_index", "object_far_idom", "UPDATE object SET idom_step = NULL WHERE "
                                       "idom_id IS NOT NULL AND idom_id IS NOT parent_id")):
        broken = folder / "broken.hfdb"
        broken.write_bytes((folder / "sessions.hfdb").read_bytes())
        for step in range(3):
            db = sqlite3.connect(broken)
            db.execute("PRAGMA writable_schema = ON")
            with db:
                if step == 0:
                    row = db.execute("SELECT * FROM sqlite_schema WHERE name = ?", (index,)).fetchone()
                    db.execute("DELETE FROM sqlite_schema WHERE name = ?", (index,))
                elif step == 1:
                    changed = db.execute(change).rowcount
                else:
                    db.execute("INSERT INTO sqlite_schema VALUES (?, ?, ?, ?, ?)", row)
            db.close()
        check(f"verify: something to change for {index}", changed > 0)
        got = run(folder, ["verify", "broken.hfdb", "--json"])
        failed = [c["check"] for c in json.loads(got.stdout)["checks"] if c["violations"]]
        check(f"verify finds a stale {index}", got.returncode == 3 and check_name in failed, str(failed))


def on_a_terminal(folder, args, **env):
    """What the command writes to a terminal of 80 columns."""
    pid, fd = pty.fork()
    if pid == 0:
        os.chdir(folder)
        os.environ.pop("COLUMNS", None)
        os.environ.update({"LC_ALL": "C.UTF-8", "TERM": "xterm", **env})
        os.execv(holdfast, [holdfast, *args])
    fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    out = b""
    while select.select([fd], [], [], 20)[0]:
        try:
            data = os.read(fd, 65536)
        except OSError:
            break
        if not data:
            break
        out += data
    os.waitpid(pid, 0)
    return out.decode()


def has_terminals():
    try:
        for fd in pty.openpty():
            os.close(fd)
    except OSError as error:
        print(f"SKIPPED: output on a terminal: {error} (is /dev/pts mounted?)")
        return False
    return True


def terminal(folder):
    words = addresses(folder / "sessions.hfdb")
    for line in ("report sessions.hfdb", "tree sessions.hfdb", "who sessions.hfdb {interior} --all", "info partial.hfdb"):
        text = on_a_terminal(folder, line.format(**words).split())
        check(f"{line}: colour on a terminal", "\033[1m" in text or "tree" in line, text)
        plain = re.sub(r"\033\[[0-9;]*m", "", text).replace("\r", "")
        wide = [l for l in plain.splitlines() if len(l) > 80 and "holdfast " not in l]
        check(f"{line}: wider than the terminal", not wide, "\n".join(wide))
        check(f"{line}: NO_COLOR", "\033" not in on_a_terminal(folder, line.format(**words).split(), NO_COLOR="1"))
    ascii_only = run(folder, "tree sessions.hfdb".split(), LC_ALL="C")
    check("tree in the C locale is ASCII", ascii_only.stdout.isascii() and b"x300" in ascii_only.stdout, ascii_only.stdout)


def pipes(folder):
    closed = subprocess.run(f"'{holdfast}' sql sessions.hfdb 'SELECT a.* FROM edge a, edge b' | head -1", shell=True,
                            capture_output=True, cwd=folder, check=False)
    check("a closed pipe is no message", closed.stderr == b"" and closed.stdout.count(b"\n") == 1, closed.stderr)
    full = subprocess.run(f"'{holdfast}' report sessions.hfdb > /dev/full", shell=True, capture_output=True, cwd=folder,
                          check=False)
    check("a full disk is a failure", full.returncode == 1 and full.stderr.count(b"\n") == 1, full.stderr)


def main():
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        for kind in ("sessions", "grown", "more", "partial", "spoilt", "indexed", "empty", "hollow", "rootless", "threaded", "alike", "shaped", "sited", "sampled", "orphan", "typed", "typed_grown",
                     "usable", "other", "one"):
            subprocess.run([sys.executable, HERE / "fixture.py", schema, folder / f"{kind}.hfdb", kind], check=True)
        (HERE / "expected").mkdir(exist_ok=True)
        golden(folder)
        sql(folder)
        csv(folder)
        lists_of_sampled_heaps(folder)
        diff_with_itself(folder)
        diff_with_a_core(folder)
        verdicts_on_samples(folder)
        older_database(folder)
        figures_when_narrow(folder)
        verify_finds(folder)
        verify_finds_stale_indexes(folder)
        if has_terminals():
            terminal(folder)
        pipes(folder)
    sys.exit(1 if failures else 0)


main()
