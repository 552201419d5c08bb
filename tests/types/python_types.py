#!/usr/bin/env python3
"""Python's objects are typed by ob_type: dicts, lists, classes and their objects, and the paths between them.

    python_types.py HOLDFAST [--bare]

Of Debian's python3 with its debug package (python3.11-dbg); --bare: of a copy that no debug information belongs to, where
types have the names of symbols only.
"""
import bisect
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time

holdfast, bare = os.path.abspath(sys.argv[1]), "--bare" in sys.argv
python = os.path.realpath("/usr/bin/python3")
PROGRAM = r'''
import collections, os, signal, sys
out = open(sys.argv[1], "w")
def say(o, name, path=""):
    print(f"{id(o):x}\t{name}\t{path}", file=out)
class User:
    def __init__(self, n):
        self.name = "user %d" % n
        self.tags = [str(n), str(n + 1)]
class Slots:
    __slots__ = ("left", "right")
class Meta(type): pass
class Made(metaclass=Meta): pass
class Bag(dict): pass
users = [User(i) for i in range(500)]
for i, user in enumerate(users):
    say(user, f"PyObject of heap type 0x{id(User):x}", rf"->ob_item\[{i}\]$")
    say(user.tags, "PyListObject", r"->values->\S*$")
    say(user.tags[1], "PyUnicodeObject", r"->ob_item\[1\]$")
slots = [Slots() for i in range(50)]
for s in slots:
    s.left, s.right = (1.5, b"bytes that are long enough"), frozenset([len(out.name), 7])
    say(s, f"PyObject of heap type 0x{id(Slots):x}")
    say(s.left, "PyTupleObject", r"\bslots\[0\]$")
    say(s.left[1], "PyBytesObject")
    say(s.right, "PySetObject|PyFrozenSet", r"\bslots\[1\]$")
table = {"key %d" % i: [i] for i in range(1000)}
numbers = {i: float(i) for i in range(2000)}
say(table, "PyDictObject")
for k, v in table.items():
    say(v, "PyListObject", r"->ma_keys->dk_entries\[\d+\]\.me_value$")
    say(k, "PyUnicodeObject", r"->ma_keys->dk_entries\[\d+\]\.me_key$")
for v in numbers.values():
    say(v, "PyFloatObject", r"->ma_keys->dk_entries\[\d+\]\.me_value$")
for c in (User, Slots, Meta, Made, Bag):
    say(c, "PyHeapTypeObject|struct _heaptypeobject|PyType")
made = Made()
bag = Bag(a=made)
say(made, f"PyObject of heap type 0x{id(Made):x}")
say(bag, f"PyDict of heap type 0x{id(Bag):x}")
say(say, "PyFunctionObject")
say(say.__code__, "struct PyCodeObject")
ring = collections.deque(range(1000, 1200))
say(ring, "dequeobject|deque")
out.close()
os.kill(os.getpid(), signal.SIGUSR2)
'''
failed = 0


def check(what, ok, detail=""):
    global failed
    print("ok  " if ok else "FAIL", what, "" if ok else detail)
    failed += not ok


def expected(name):
    """What the type may be called: of alternatives any; without DWARF the name of the symbol."""
    if not bare or " of heap type " in name:
        return name.split("|")
    return [re.sub(r"^(struct )?(.*?)(Object)?$", r"\2", n) for n in name.split("|")]


def compare(db, manifest):
    """Types, and where the manifest says so the words that hold an object: some of them, as most are held by several."""
    objects = db.execute("SELECT o.addr, o.usable, o.id, t.name FROM object o LEFT JOIN type t ON t.id = o.type_id "
                         "ORDER BY o.id").fetchall()
    starts = [o[0] for o in objects]
    holders = {}
    for src, dst, field in db.execute("SELECT src_id, dst_id, field FROM edge_named"):
        holders.setdefault(dst, []).append((src, field))
    wrong_types, wrong_words, n, n_words = [], [], 0, 0
    for line in manifest:
        addr, name, path = line.rstrip("\n").split("\t")
        if bare and name.startswith("deque"):
            continue  # its type is a static of the interpreter, which has no symbol
        start, usable, number, found = objects[bisect.bisect_right(starts, int(addr, 16)) - 1]
        n += 1
        if int(addr, 16) >= start + usable or found not in expected(name):
            wrong_types.append(f"{addr} is {found}, not {expected(name)}")
        if bare or not path:
            continue
        names = [f"->{before}->{field}".replace("->[", "[") for src, field in holders.get(number, [])
                 for _, before in holders.get(src, [(0, "")])]
        n_words += 1
        if not any(re.search(path, text) or re.search(path, text.replace("values[", "values->[")) for text in names):
            wrong_words.append(f"{addr} is held by {names[:4]}, not {path}")
    check(f"the types of {n} objects", n > 1000 and not wrong_types, "\n     ".join(wrong_types[:12]))
    if not bare:
        check(f"the words that hold {n_words} of them", n_words > 1000 and not wrong_words, "\n     ".join(wrong_words[:12]))


def main(folder):
    program = python
    if bare:
        program = os.path.join(folder, os.path.basename(python))
        subprocess.run(["objcopy", "--remove-section", ".note.gnu.build-id", python, program], check=True)
    script, says, dump = (os.path.join(folder, name) for name in ("p.py", "says", "p.hfd"))
    with open(script, "w") as f:
        f.write(PROGRAM)
    subprocess.run([holdfast, "run", "--no-sites", "-o", dump, "--", program, script, says], check=True, stderr=subprocess.DEVNULL,
                   env={**os.environ, "PYTHONMALLOC": "malloc", "PYTHONHOME": "/usr", "PYTHONHASHSEED": "1"})
    for _ in range(600):
        if os.path.exists(dump):
            break
        time.sleep(0.05)
    done = subprocess.run([holdfast, "load", dump, "-o", dump + "b"], text=True, capture_output=True)
    check("loads", done.returncode == 0, done.stderr)
    if not bare and "no debug information" in done.stderr:
        print(f"skipped: {done.stderr.strip()}")
        return
    db = sqlite3.connect(dump + "b")
    with open(says) as f:
        manifest = f.readlines()
    compare(db, manifest)
    total, typed = db.execute("SELECT sum(size), sum(iif(type_id IS NULL, 0, size)) FROM object WHERE reachable").fetchone()
    least = 0.6 if bare else 0.97
    check(f"{typed / total:.1%} of reachable bytes are typed", typed >= least * total)


if not os.path.exists(python) or not shutil.which("objcopy"):
    print("skipped: /usr/bin/python3 or objcopy is not installed")
    sys.exit(0)
with tempfile.TemporaryDirectory(prefix="python_types") as folder:
    main(folder)
sys.exit(failed != 0)
