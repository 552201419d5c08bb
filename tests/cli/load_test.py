#!/usr/bin/env python3
"""What can happen to a load: killed or interrupted at any moment, a dump cut at every block, no room, no permission,
another load of the same dump.

    load_test.py HOLDFAST GEN_DUMP [CASE]…
"""
import os
import pathlib
import pty
import random
import select
import shutil
import signal
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time

holdfast, gen_dump = sys.argv[1:3]
BLOCK = struct.Struct("<IHBBQIIIIII")  # include/holdfast/format.h
MOMENTS = 100


def fail(text):
    sys.exit(f"FAILED: {text}")


def make(path, objects, seed=1):
    subprocess.run([gen_dump, path, str(objects), "3", str(seed)], check=True, stdout=subprocess.DEVNULL)


def load(dump, out, **kwargs):
    return subprocess.run([holdfast, "load", dump, "-o", out], capture_output=True, text=True, check=False, **kwargs)


def objects_of(path):
    with sqlite3.connect(path) as db:
        if db.execute("PRAGMA integrity_check").fetchone()[0] != "ok":
            fail(f"{path} is damaged")
        n = db.execute("SELECT count(*) FROM object").fetchone()[0]
    db.close()
    return n


def only(folder, *names):
    left = sorted(p.name for p in folder.iterdir())
    if left != sorted(names):
        fail(f"{left} in place of {sorted(names)}")


def at_random_moments(folder, how):
    """Loads that end by a signal: the database that was there stays as it is."""
    dump, out = folder / "a.hfd", folder / "a.hfdb"
    make(dump, 60000)
    start = time.monotonic()
    if load(dump, out).returncode:
        fail("load")
    whole = time.monotonic() - start
    before = out.read_bytes()
    killed = 0
    for _ in range(MOMENTS if how == signal.SIGKILL else MOMENTS // 4):
        process = subprocess.Popen([holdfast, "load", dump, "-o", out], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.DEVNULL)
        time.sleep(random.random() * whole)
        sent = time.monotonic()
        process.send_signal(how)
        code = process.wait(timeout=60)
        if code == -how:
            killed += 1
            if how != signal.SIGKILL:
                only(folder, "a.hfd", "a.hfdb")
                if time.monotonic() - sent > 5:
                    fail(f"{how!r} was answered late")
        elif code:
            fail(f"exit status {code} after {how!r}")
        if out.read_bytes() != before:
            fail(f"the database changed after {how!r}")
    if killed < 5:
        fail(f"only {killed} loads were ended by {how!r}")
    if load(dump, out).returncode or out.read_bytes() != before:
        fail("the next load")
    only(folder, "a.hfd", "a.hfdb")


def kill_9(folder):
    at_random_moments(folder, signal.SIGKILL)


def interrupt(folder):
    at_random_moments(folder, signal.SIGINT)


def terminate(folder):
    at_random_moments(folder, signal.SIGTERM)


def terminated_while_made(folder):
    """The signal comes when the file is there, but its name is not yet noted."""
    dump, out = folder / "w.hfd", folder / "w.hfdb"
    make(dump, 3000)
    process = subprocess.Popen([holdfast, "load", dump, "-o", out], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                               env={**os.environ, "LD_PRELOAD": os.environ["SLOW_CREATE"]})
    until = time.monotonic() + 60
    while not (folder / "w.hfdb.tmp").exists() and time.monotonic() < until:
        time.sleep(0.005)
    process.terminate()
    if process.wait(timeout=60) != -signal.SIGTERM:
        fail(f"exit status {process.returncode} after SIGTERM")
    only(folder, "w.hfd")


def cut_at_every_block(folder):
    dump, cut, out = folder / "c.hfd", folder / "cut.hfd", folder / "cut.hfdb"
    make(dump, 3000)
    data = dump.read_bytes()
    at, objects, seen = struct.unpack_from("<I", data, 12)[0], 0, set()
    magic = struct.unpack_from("<I", data, at)[0]
    while at + BLOCK.size < len(data) and struct.unpack_from("<I", data, at)[0] == magic:
        for place in (at, at + BLOCK.size, at + BLOCK.size + 1):
            cut.write_bytes(data[:place])
            got = load(cut, out)
            if got.returncode != 4:
                fail(f"cut at {place}: exit status {got.returncode}\n{got.stderr}")
            seen.add(objects_of(out))
        _, _, _, _, _, _, _, stored, _, _, _ = BLOCK.unpack_from(data, at)
        at += BLOCK.size + stored
        objects += 1
    if objects < 10 or not {0, 3000} <= seen:
        fail(f"{objects} blocks, databases of {seen} objects")
    if load(dump, out).returncode:
        fail("the whole dump")


def two_at_once(folder):
    dump, out = folder / "t.hfd", folder / "t.hfdb"
    make(dump, 60000)
    for _ in range(5):
        both = [subprocess.Popen([holdfast, "load", dump, "-o", out], stdout=subprocess.DEVNULL) for _ in range(2)]
        codes = [p.wait(timeout=120) for p in both]
        if codes != [0, 0] or objects_of(out) != 60000:
            fail(f"two loads at once: {codes}")
        only(folder, "t.hfd", "t.hfdb")


def in_small_place(folder):
    """A full and a read-only file system, in a mount namespace of its own."""
    dump, place = folder / "s.hfd", folder / "small"
    make(dump, 60000)
    place.mkdir()
    script = f"""
mount -t tmpfs -o size=6m none {place} || exit 77
{holdfast} load {dump} -o {place}/x.hfdb; echo full $?; ls -A {place}
mount -o remount,ro {place} || exit 77
{holdfast} load {dump} -o {place}/x.hfdb; echo ro $?; ls -A {place}
"""
    got = subprocess.run(["unshare", "-m", "sh", "-c", script], capture_output=True, text=True, check=False)
    if got.returncode == 77 or "unshare" in got.stderr:
        print("in_small_place: skipped, no mount namespace may be made here")
        return
    if got.stdout.split() != ["full", "1", "ro", "5"]:
        fail(f"small place: {got.stdout}{got.stderr}")
    if "the database will take about" not in got.stderr or "read-only file system" not in got.stderr:
        fail(f"small place: {got.stderr}")


def older_database(folder):
    """A database of another version in the way is made anew, beside a dump that is older than it."""
    dump, cache = folder / "v.hfd", folder / "v.hfdb"
    make(dump, 1000)
    report = [holdfast, "report", dump]
    for version in (0, 99):
        if subprocess.run(report, capture_output=True, check=False).returncode:
            fail("report")
        with sqlite3.connect(cache) as db:
            db.execute(f"PRAGMA user_version = {version}")
        db.close()
        if subprocess.run(report, capture_output=True, check=False).returncode:
            fail(f"report with a database of version {version}")
        with sqlite3.connect(cache) as db:
            if db.execute("PRAGMA user_version").fetchone()[0] in (0, 99):
                fail(f"a database of version {version} was used")
        db.close()


def half_typed_sql(folder):
    """Ctrl-C in the shell drops the lines of a statement that is not finished."""
    dump = folder / "q.hfd"
    make(dump, 100)
    try:
        pid, fd = pty.fork()
    except OSError as e:
        print(f"half_typed_sql: skipped, {e}")
        return
    if pid == 0:
        os.environ.update(TERM="dumb", HOME=str(folder))
        os.execv(holdfast, [holdfast, "sql", str(dump)])

    def until(text):
        got = b""
        while text not in got:
            if not select.select([fd], [], [], 30)[0]:
                fail(f"shell: no {text} in {got}")
            got += os.read(fd, 4096)
        return got

    until(b"holdfast> ")
    os.write(fd, b"SELECT nonsense FROM\n")
    until(b"...> ")
    os.write(fd, b"nowhere")
    time.sleep(0.3)
    os.write(fd, b"\x03")
    until(b"holdfast> ")
    os.write(fd, b"SELECT 40 + 2 AS answer;\n")
    until(b"42")
    os.write(fd, b".quit\n")
    _, status = os.waitpid(pid, 0)
    if status:
        fail(f"shell: status {status}")


def main():
    random.seed(5)
    for case in (kill_9, interrupt, terminate, terminated_while_made, cut_at_every_block, two_at_once, in_small_place, older_database,
                 half_typed_sql):
        if sys.argv[3:] and case.__name__ not in sys.argv[3:]:
            continue
        start = time.monotonic()
        folder = pathlib.Path(tempfile.mkdtemp())
        try:
            case(folder)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
        print(f"{case.__name__}: ok, {time.monotonic() - start:.1f} s", flush=True)


main()
