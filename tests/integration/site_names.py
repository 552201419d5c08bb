"""Every object's site has the right function and line, in the database and in the reports.

site_names.py HOLDFAST SITE_TARGET SOURCE          site_target's manifest, object by object
site_names.py HOLDFAST CPP_TARGET SOURCE cpp       the same of C++ containers, by the text of the line
"""
import collections
import fnmatch
import json
import pathlib
import shutil
import subprocess
import sys
import tempfile

from harness import Failure, Holdfast

WRAPPERS = ["*_malloc", "*_calloc", "*_realloc"]  # of docs/sites.md, those that site_target has


def expect(what, condition, detail=""):
    if not condition:
        raise Failure(f"{what}: {detail}")


def stacks(db):
    """Frames of each site, innermost first: (function, file, line)."""
    found = collections.defaultdict(list)
    for site, function, file, line in db.execute(
            "SELECT site_id, function, file, line FROM site_frame ORDER BY site_id, depth"):
        found[site].append((function, file, line))
    return found


def has_run(names, expected):
    """Are the expected functions there, one after the other?"""
    return any(names[i:i + len(expected)] == expected for i in range(len(names) - len(expected) + 1))


def check_targets(holdfast, target, source):
    lines = pathlib.Path(source).read_text(encoding="utf-8").splitlines()
    manifest = holdfast.folder / "manifest"
    subprocess.run([*holdfast.run_command("--exact", "--on-exit"), target, manifest, "4", "exit"], check=True)
    dump = holdfast.wait_for_dump()
    db = holdfast.load(dump)
    frames = stacks(db)
    sites = {row[0]: row[1:] for row in db.execute("SELECT id, function, file, line, depth FROM site")}
    objects = {row[0]: row[1:] for row in db.execute("SELECT addr, size, site_id, age, alloc_tid FROM object")}
    bad = n = 0
    for entry in manifest.read_text().splitlines():
        addr, size, tid, *expected = entry.split()
        n += 1
        size_is, site, age, tid_is = objects.get(int(addr, 16), (None, None, None, None))
        names = [function for function, _, _ in frames[site]]
        good = size_is == int(size) and tid_is == int(tid) and age is not None and has_run(names, expected)
        # The innermost function outside allocators, and the line that calls on towards malloc.
        naming = next((i for i, f in enumerate(expected) if not any(fnmatch.fnmatch(f, w) for w in WRAPPERS)), None)
        function, file, line, depth = sites.get(site, (None, None, None, None))
        called = expected[naming - 1] if naming else "posix_memalign" if expected[0] == "leaf_aligned" else "new"
        good = good and function == expected[naming] and pathlib.Path(file).stem == pathlib.Path(source).stem
        good = good and called in lines[line - 1] and frames[site][depth] == (function, file, line)
        if not good:
            bad += 1
            if bad < 5:
                print(f"{entry}: {size_is} {tid_is} {age} {sites.get(site)} {names}")
    print(f"{n} objects, {bad} wrong, {len(sites)} sites")
    expect("objects with another site than expected", not bad and n > 4000, bad)
    first = holdfast.json("top", dump, "--by", "function", "-n", 1)["rows"][0]
    expect("largest function", first["name"].startswith(("leaf", "chain")), first)
    check_profiles(holdfast, dump, target)


def check_profiles(holdfast, dump, target):
    """Profiles that are not there, of another dump, or of another maker."""
    def messages(*args, status=0):
        done = subprocess.run([holdfast.command, *map(str, args)], capture_output=True, text=True, check=False)
        expect(f"exit status of {args}", done.returncode == status, done)
        return done.stderr
    profile = dump.with_suffix(".hfp.pb.gz")
    alone = holdfast.folder / "alone.hfd"
    shutil.copy(dump, alone)
    text = messages("load", alone)
    expect("no profile is said", text.count("\n") == 1 and "sites are numbers" in text, text)
    expect("loaded anew when the profile comes", not holdfast.json("sql", alone, "SELECT * FROM site"))
    shutil.copy(profile, alone.with_suffix(".hfp.pb.gz"))
    expect("loaded anew when the profile comes", holdfast.json("sql", alone, "SELECT * FROM site LIMIT 1"))

    def make(name, *options):
        path = holdfast.folder / name
        subprocess.run([holdfast.command, "run", "-o", path, "--on-exit", *options, "--", target,
                        holdfast.folder / "manifest2", "1", "exit"], check=True)
        return path
    other = make("other.hfd", "--exact")
    shutil.copy(profile, other.with_suffix(".hfp.pb.gz"))
    text = messages("load", other)
    expect("a profile of another dump", "belongs to another dump" in text and text.count("\n") == 1, text)
    text = messages("load", other, "--profile", profile, status=3)
    expect("a profile of another dump by name", "belongs to another dump" in text, text)
    other.with_suffix(".hfp.pb.gz").write_bytes(profile.read_bytes()[:500])
    text = messages("load", other)
    expect("a damaged profile", "cut off" in text and "not used" in text, text)
    plain = make("plain.hfd", "--no-sites")
    data = pathlib.Path(__file__).resolve().parents[2] / "testdata/profiles"
    expect("a plain dump says nothing", messages("load", plain) == "")
    for name, function in ("go.pb.gz", "main.large"), ("jemalloc-exact.heap", None), ("gperftools-exact.heap", None):
        expect(f"{name} is taken", messages("load", plain, "--profile", data / name) == "")
        meta = {r["key"]: r["value"] for r in holdfast.json("sql", plain, "SELECT * FROM meta")}
        expect("not tied", meta["profile_tied"] == 0 and meta["profile"] == name, meta)
        rows = holdfast.json("sql", plain, "SELECT * FROM site_summary WHERE live_bytes > 8000000")
        expect("its totals", len(rows) == 1 and rows[0]["count"] == 0, rows)
        expect("its name", rows[0]["function"] == function or not function, rows)
    messages("load", dump, "--profile", data / "go.pb.gz", status=3)


def check_cpp(holdfast, target, source):
    text = pathlib.Path(source).read_text(encoding="utf-8").splitlines()
    manifest = holdfast.folder / "manifest"
    subprocess.run([*holdfast.run_command("--exact"), target, "--manifest", manifest], check=True)
    dump = holdfast.wait_for_dump()
    holdfast.wait_for_dump("*.hfp.pb.gz")  # comes after it
    # Its own operator new calls t_new.
    holdfast("load", dump, "--allocator", "t_new*")
    rows = holdfast.json("sql", dump, "SELECT function, file, line, count, leak_count FROM site_summary "
                         "WHERE file LIKE '%cpp_target.cc'")
    found = collections.Counter()
    leaked = 0
    for row in rows:
        found[row["function"], text[row["line"] - 1].strip()] += row["count"]
        leaked += row["leak_count"] if row["function"] == "leak" else 0
    print(json.dumps({f"{f}: {t}": n for (f, t), n in found.items()}, indent=1))

    def count(function, words):
        return sum(n for (f, line), n in found.items() if f == function and words in line)

    expect("birds", count("build", "make_unique<zoo::Bird>") >= 333, found)
    expect("spiders", count("build", "make_unique<zoo::Spider>") >= 167, found)
    expect("the map's nodes", count("build", "(*s_names)[") == 500, found)
    expect("leaked birds and names", leaked == 80, leaked)
    expect("nothing is named by an allocator", not [f for f, _ in found if f.startswith(("std::", "operator"))], found)
    expect("C++ roots", "g_animals" in holdfast("top", dump, "--by", "root"))


def main(holdfast_path, target, source, kind="c"):
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as folder:
        (check_cpp if kind == "cpp" else check_targets)(Holdfast(holdfast_path, folder), target, source)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except Failure as failure:
        print(f"FAIL {failure}")
        sys.exit(1)
