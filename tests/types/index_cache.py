#!/usr/bin/env python3
"""Indexes of large debug files are kept, used, and never believed: index_cache.py HOLDFAST

Of a C program with many structs and functions: who may read the cache, what a second load takes from it, what becomes of
damaged, foreign and too many files, and how to go without.
"""
import os
import shutil
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time

holdfast = os.path.abspath(sys.argv[1])
N = 12000
failed = 0


def check(what, ok, detail=""):
    global failed
    print("ok  " if ok else "FAIL", what, "" if ok else detail)
    failed += not ok


def crc32c(data):
    table = []
    for i in range(256):
        for _ in range(8):
            i = i >> 1 ^ (0x82F63B78 if i & 1 else 0)
        table.append(i)
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ table[(crc ^ byte) & 0xFF]
    return crc ^ 0xFFFFFFFF


def build(folder):
    source, program = os.path.join(folder, "many.c"), os.path.join(folder, "many")
    with open(source, "w") as f:
        f.write("#include <signal.h>\n#include <stdlib.h>\n")
        for i in range(N):
            f.write(f"struct s{i} {{ struct s{i} *next; long n[{i % 9 + 1}]; }};\n"
                    f"struct s{i} *f{i}(struct s{i} *s) {{ return s ? s->next : s; }}\n")
        f.write("static long plant_here(void) { static struct s77 *seed; seed = calloc(1, sizeof(*seed));\n"
                "\tseed->next = calloc(1, sizeof(*seed)); return (long)seed & 0; }\n"
                "int main(void) { int n = plant_here(); raise(SIGUSR2); return n; }\n")
    subprocess.run(["cc", "-g", "-O0", "-Wl,--build-id", "-o", program, source], check=True)
    return program


class Loads:
    def __init__(self, folder, dump):
        self.folder, self.dump = folder, dump
        self.cache = os.path.join(folder, "cache", "holdfast")

    def load(self, *options, **environment):
        """Names of static variables of functions, and types, of what it finds."""
        database = os.path.join(self.folder, "d.hfdb")
        done = subprocess.run([holdfast, "load", self.dump, "-o", database, *options], text=True, capture_output=True,
                              env={**os.environ, "XDG_CACHE_HOME": os.path.join(self.folder, "cache"), **environment})
        if done.returncode or done.stderr:
            check("loads", False, done.stderr)
        db = sqlite3.connect(database)
        return (db.execute("SELECT name FROM root WHERE name LIKE '%seed%'").fetchone(),
                db.execute("SELECT t.name, count(*) FROM object o JOIN type t ON t.id = o.type_id GROUP BY 1 ORDER BY 1").fetchall())

    def files(self):
        return sorted(os.listdir(self.cache)) if os.path.isdir(self.cache) else []

    def path(self):
        return os.path.join(self.cache, next(f for f in self.files() if not f.startswith("0ld")))

    def change(self, edit, sum_right=True):
        """Edit the file's bytes."""
        with open(self.path(), "rb") as f:
            data = bytearray(f.read())
        data = edit(data) or data
        if sum_right:
            data[12:16] = struct.pack("<I", crc32c(bytes(data[16:])))
        with open(self.path(), "wb") as f:
            f.write(data)


def renamed(data):
    at = data.index(b"plant_here")
    data[at:at + 5] = b"TRUST"


def out_of_range(data):
    """Names, parents and places that lead nowhere, with a sum that is right."""
    n_scopes = struct.unpack_from("<Q", data, 96)[0]
    for i in range(n_scopes):
        struct.pack_into("<II", data, 144 + 32 * i + 24, 0xFFFFFFF0, 0xFFFFFFF0)


def wild_places(data):
    n_scopes, n_definitions, n_functions, n_variables, _ = struct.unpack_from("<5Q", data, 96)
    at = 144 + 32 * n_scopes
    for i in range(n_definitions + n_functions + n_variables):
        struct.pack_into("<Q", data, at + 16 * i + 8, (i * 0x9E3779B97F4A7C15) & 0x3FFFFFFFFFFF if i % 3 else 0xFFFFFFFFFFFFFFFF)


def huge_counts(data):
    struct.pack_into("<5Q", data, 96, *[1 << 60] * 5)


def other_version(data):
    struct.pack_into("<I", data, 8, 999)


def check_trust(loads, right):
    for what, edit, sum_right in (("a wrong sum", renamed, False), ("another version", other_version, True),
                                  ("counts beyond the file", huge_counts, True), ("numbers out of range", out_of_range, True),
                                  ("a cut file", lambda data: data[:len(data) // 2], False),
                                  ("an empty file", lambda data: bytearray(b"x"), False)):
        loads.change(edit, sum_right)
        check(f"{what} is not believed", loads.load() == right and loads.load() == right)
        with open(loads.path(), "rb") as f:
            check("… and is made anew", b"plant_here" in f.read())
    loads.change(wild_places)
    loads.load()  # it may find other types, but ends well
    os.unlink(loads.path())
    check("made again", loads.load() == right and len(loads.files()) == 1)
    os.chmod(loads.path(), 0o666)
    loads.change(renamed)
    check("a file that others may write is not believed", loads.load() == right)
    target = os.path.join(loads.folder, "elsewhere")
    path = loads.path()
    loads.change(renamed)
    shutil.move(path, target)
    os.symlink(target, path)
    check("a link is not followed", loads.load() == right)
    check("… and is replaced", not os.path.islink(path))


def check_room(loads, right):
    for i in range(6):
        old = os.path.join(loads.cache, f"0ld{i}.index")
        with open(old, "wb") as f:
            f.truncate(100 << 20)
        os.utime(old, (1000 + i, 1000 + i))
    with open(os.path.join(loads.cache, "keep"), "w") as f:
        f.write("not ours")
    os.unlink(loads.path() if "keep" != os.path.basename(loads.path()) else os.path.join(loads.cache, loads.files()[-1]))
    check("loads with a full cache", loads.load() == right)
    left = loads.files()
    check(f"the oldest are removed: {left}", "0ld0.index" not in left and "0ld5.index" in left and "keep" in left and
          sum(os.path.getsize(os.path.join(loads.cache, f)) for f in left) <= 512 << 20)


def main(folder):
    program, dump = build(folder), os.path.join(folder, "d.hfd")
    subprocess.run([holdfast, "run", "--no-sites", "-o", dump, "--", program], check=True, stderr=subprocess.DEVNULL)
    while not os.path.exists(dump):
        time.sleep(0.05)
    loads = Loads(folder, dump)
    right = loads.load("--no-cache")
    check(f"without a cache: {right}", right[0] == ("plant_here()::seed",) and ("struct s77", 2) in right[1] and not loads.files())
    loads.load(HOLDFAST_NO_CACHE="1")
    check("HOLDFAST_NO_CACHE leaves nothing", not os.path.exists(os.path.join(folder, "cache")))
    check("the first load", loads.load() == right and len(loads.files()) == 1)
    modes = [os.stat(p).st_mode & 0o777 for p in (loads.cache, loads.path())]
    check(f"nobody else reads it: {[oct(m) for m in modes]}", modes == [0o700, 0o600])
    loads.change(renamed)
    check("a second load takes it", loads.load()[0] == ("TRUST_here()::seed",))
    check("--no-cache does not", loads.load("--no-cache") == right)
    os.unlink(loads.path())
    loads.load()
    check_trust(loads, right)
    check_room(loads, right)
    shutil.rmtree(loads.cache)
    os.symlink("/nowhere", loads.cache)
    check("a cache that cannot be made is no error", loads.load() == right)


with tempfile.TemporaryDirectory(prefix="index_cache") as folder:
    main(folder)
sys.exit(failed != 0)
