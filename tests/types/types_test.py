#!/usr/bin/env python3
"""Every object of a target has the type, and every path the names, that the target says.

    types_test.py HOLDFAST TARGET [--bare | --dwz | --dwp=HOW | --tagged] [--exact]

--bare: of a copy without debug information; then there are symbols and classes only, no error, and one line of advice.
--dwz: of a stripped program, whose debug information lies elsewhere and shares most of its types with another's.
--tagged: loaded with --tagged-pointers; without it less is typed.
--dwp: TARGET is a source; its debug information is split, and in a package. HOW: 4 or 5, the version of DWARF, and t where each
type has a unit of its own.
--exact: every allocation's site is recorded, and must not spoil what else is known. Without it none is: a sample by chance
would make this a test by chance.
"""
import fnmatch
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile

holdfast, target = map(os.path.abspath, sys.argv[1:3])
bare, dwz = "--bare" in sys.argv, "--dwz" in sys.argv
if dwz and not shutil.which("dwz"):
    print("skipped: dwz (package dwz is not installed)")
    sys.exit(0)
dwp = next((option[6:] for option in sys.argv if option.startswith("--dwp=")), None)
# dwp of binutils 2.40 knows DWARF 4 only, and LLVM 14's does not end with DWARF 5 of gcc 12.
packer, compiler = ("llvm-dwp", "clang") if dwp and "5" in dwp else ("dwp", "cc")
if dwp and not (shutil.which(packer) and shutil.which(compiler)):
    print(f"skipped: {packer} or {compiler} (packages llvm, clang, binutils) is not installed")
    sys.exit(0)
failed = 0


def check(what, ok, detail=""):
    global failed
    print("ok  " if ok else "FAIL", what, "" if ok else detail)
    failed += not ok


def run(*command, **kwargs):
    return subprocess.run(command, check=True, text=True, capture_output=True, **kwargs)


def build_package(folder):
    name = os.path.join(folder, "packed")
    flags = ["-O1"] if compiler == "cc" else ["-O0", "-fstandalone-debug"]
    if "t" in dwp:
        flags.append("-fdebug-types-section")
    command = compiler if target.endswith(".c") else {"cc": "c++", "clang": "clang++"}[compiler]
    run(command, "-g", f"-gdwarf-{dwp[0]}", *flags, "-gsplit-dwarf", "-Wl,--build-id", "-o", name, target, cwd=folder)
    run(packer, "-e", name, "-o", name + ".dwp", cwd=folder)
    for file in os.listdir(folder):
        if file.endswith(".dwo"):
            os.unlink(os.path.join(folder, file))
    return name


def wait_for(path):
    import time
    for _ in range(600):
        if os.path.exists(path):
            return
        time.sleep(0.05)
    sys.exit(f"FAIL no dump {path}")


def read_manifest(path):
    objects, doubtful = [], []
    with open(path) as f:
        for line in f:
            kind, rest = line.rstrip("\n").split(" ", 1)
            if kind == "object":
                addr, type_name, where = rest.split("\t")
                objects.append((int(addr, 16), type_name, where))
            else:
                doubtful.append(int(rest, 16))
    return objects, doubtful


# The best path of an object, as `who` prints it: run through the database, because a process each would take minutes.
def path_of(db, object_id):
    steps = []
    while True:
        holder, root = db.execute("SELECT holder_id, holder_root_id FROM object WHERE id = ?", (object_id,)).fetchone()
        if not holder:
            name = db.execute("SELECT name FROM root WHERE id = ?", (root,)).fetchone()
            return (name[0] if name else "(leaked)") + "".join(reversed(steps))
        field = db.execute("SELECT field FROM edge_named WHERE src_id = ? AND dst_id = ? ORDER BY src_offset LIMIT 1",
                           (holder, object_id)).fetchone()[0]
        if not field:
            steps.append("->[?]")
        elif field[0] != "(":
            steps.append(field if field[0] == "[" else "->" + field)
        object_id = holder


def check_objects(db, objects):
    wrong_types, wrong_paths = [], []
    for addr, type_name, where in objects:
        row = db.execute("SELECT o.id, t.name || iif(n.confidence = 'guess', '?', '') FROM object o "
                         "LEFT JOIN type t ON t.id = o.type_id LEFT JOIN origin n ON n.id = o.origin_id "
                         "WHERE o.addr = ?", (addr,)).fetchone()
        if not row:
            wrong_types.append(f"{addr:#x} is no object")
            continue
        path = path_of(db, row[0])
        if row[1] != type_name:
            wrong_types.append(f"{addr:#x} {path} is {row[1]}, not {type_name}")
        pattern = re.escape(where).replace(r"\*", ".*") if where.startswith("*") else re.escape(where)
        if not re.fullmatch(pattern, path):
            wrong_paths.append(f"{addr:#x} is {path}, not {where}")
    check(f"types of {len(objects)} objects", not wrong_types, "\n     ".join(wrong_types[:12]))
    check("their paths", not wrong_paths, "\n     ".join(wrong_paths[:12]))
    n, typed = db.execute("SELECT count(*), count(type_id) FROM object WHERE reachable AND holder_root_id IN "
                          "(SELECT id FROM root WHERE module_id = 1)").fetchone()
    check(f"{typed} of {n} objects that the program's variables hold are typed", typed >= 0.99 * n)


def check_who(database, objects):
    """The reports say the same."""
    exact = [o for o in objects if not o[2].startswith("*")]
    for addr, type_name, where in exact[:: max(1, len(exact) // 12)]:
        out = run(holdfast, "who", database, hex(addr)).stdout
        check(f"who: {where}", f"\n  {where}\n" in out and type_name in out.splitlines()[0], out)


def check_doubt(db, dump, folder, doubtful):
    if not doubtful or dwz:
        return
    meta = dict(db.execute("SELECT key, value FROM meta"))
    check(f"{meta['doubtful_size']} bytes are held by doubtful words only",
          int(meta["doubtful_size"]) >= 2000 and int(meta["doubtful_count"]) == len(doubtful), meta)
    precise = os.path.join(folder, "precise.hfdb")
    run(holdfast, "load", dump, "--precise", "-o", precise)
    exact = sqlite3.connect(precise)
    for addr in doubtful:
        query = ("SELECT h.retained_size - h.size FROM edge e JOIN object o ON o.id = e.dst_id JOIN object h "
                 "ON h.id = e.src_id WHERE o.addr = ?")
        held = db.execute(query, (addr,)).fetchone()[0]
        left = exact.execute(query, (addr,)).fetchone()[0]
        check(f"{addr:#x} is retained ({held}), but not with --precise ({left})", held >= 2000 and left < 2000)


def check_bare(dump, folder, objects):
    database = os.path.join(folder, "bare.hfdb")
    done = subprocess.run([holdfast, "load", dump, "-o", database], text=True, capture_output=True)
    check("loads without debug information", done.returncode == 0, done.stderr)
    advice = [line for line in done.stderr.splitlines() if "has no debug information" in line]
    check(f"one line of advice: {advice}", len(advice) == 1 and len(done.stderr.splitlines()) == 1, done.stderr)
    db = sqlite3.connect(database)
    origins = {row[0] for row in db.execute("SELECT DISTINCT n.name FROM object o JOIN origin n ON n.id = o.origin_id "
                                            "WHERE o.type_id")}
    check(f"no types but classes: {origins}", origins <= {"vtable"})
    check("roots are named", db.execute("SELECT count(*) FROM root WHERE module_id = 1 AND variable_id").fetchone()[0] > 0)
    run(holdfast, "report", database)
    for addr, _, _ in objects[::20]:
        run(holdfast, "who", database, hex(addr))


with tempfile.TemporaryDirectory(prefix="types") as folder:
    manifest, dump = os.path.join(folder, "manifest"), os.path.join(folder, "t.hfd")
    program = build_package(folder) if dwp else target
    if bare or dwz:
        program = os.path.join(folder, os.path.basename(target))
        run("objcopy", "--strip-debug", target, program)
    where = ["--tagged-pointers"] if "--tagged" in sys.argv else []
    if dwz:
        debug = os.path.join(folder, "debug")
        where = ["--debug-dir", debug]
        os.makedirs(debug)
        for name in (os.path.basename(target), "other"):
            shutil.copy(target, os.path.join(debug, name))
        run("dwz", "-m", "common", "-M", os.path.join(debug, "common"), os.path.basename(target), "other", cwd=debug)
    run(holdfast, "run", "--exact" if "--exact" in sys.argv else "--no-sites", "-o", dump, "--", program, manifest)
    wait_for(dump)
    objects, doubtful = read_manifest(manifest)
    check(f"{len(objects)} objects in the manifest", len(objects) > 100)
    if bare:
        check_bare(dump, folder, objects)
    else:
        database = os.path.join(folder, "t.hfdb")
        done = run(holdfast, "load", dump, *where, "-o", database)
        db = sqlite3.connect(database)
        if dwp != "5t":  # whose type units are not read
            check_objects(db, objects)
            check_who(database, objects)
            check_doubt(db, dump, folder, doubtful)
        if dwp:
            check(f"says what is not read: {done.stderr}", "packed.dwp no variables of frames" in done.stderr and
                  ("none of its" in done.stderr) == (dwp == "5t") and len(done.stderr.splitlines()) == 1)
    if "--tagged" in sys.argv:
        plain = os.path.join(folder, "plain.hfdb")
        run(holdfast, "load", dump, "-o", plain)
        n = sqlite3.connect(plain).execute("SELECT count(type_id) FROM object WHERE type_id IN (SELECT id FROM type "
                                           "WHERE name IN ('struct tree', 'struct value'))").fetchone()[0]
        check(f"without the option {n} of {len(objects)} objects have these types", n < len(objects) / 3)
sys.exit(failed != 0)
