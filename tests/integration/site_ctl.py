"""ctl, profile and dump of a running process that records sites; the file of one that was killed.

site_ctl.py LIBRARY HOLDFAST READER TARGET
"""
import gzip
import json
import os
import re
import subprocess
import sys
import tempfile
import time

from site_estimates import fields

LIBRARY, HOLDFAST, READER, TARGET = sys.argv[1:]
# Blocks of 1000 bytes, more and more of them; the number on stdout is that of a moment ago.
GROWING = """
import time
kept = []
while True:
    kept += [bytearray(1000) for _ in range(100)]
    time.sleep(0.002)
"""
# One more such block after two seconds, and the time before that.
LATE = """
import time
kept = [bytearray(1000) for _ in range(100)]
time.sleep(2)
before = time.time()
kept.append(bytearray(1000))
print(before, flush=True)
time.sleep(600)
"""
PROFILE_TIME, PROFILE_DURATION = 9, 10


def holdfast(folder, *args, status=0):
    run = subprocess.run([HOLDFAST, *args], cwd=folder, capture_output=True, text=True, timeout=60)
    if run.returncode != status:
        sys.exit(f"{args}: {run.returncode} instead of {status}: {run.stdout}{run.stderr}")
    return run.stdout if "--json" in args else run.stdout + run.stderr


def expect(text, words):
    if words not in text:
        sys.exit(f"{words!r} is not in {text!r}")


def recorded(line):
    return int(re.search(r"(\d+) live objects recorded", line).group(1))


def profile_until(folder, pid, name, enough, pause=0.05):
    """The objects that are recorded, once they are enough: however slow the machine is."""
    for n in range(600):
        count = recorded(holdfast(folder, "profile", pid, "-o", f"{name}-{n}.hfp.pb.gz"))
        if enough(count):
            return count
        time.sleep(pause)
    sys.exit(f"{name}: {count} objects recorded")


def start(sample):
    env = dict(os.environ, LD_PRELOAD=LIBRARY, HOLDFAST=f"signal=off,sample={sample}")
    return subprocess.Popen(["/usr/bin/python3", "-c", GROWING], env=env)


def running(folder):
    process = start("0")
    pid = str(process.pid)
    try:
        time.sleep(0.3)
        expect(holdfast(folder, "ctl", pid), "records no allocation sites")
        expect(holdfast(folder, "profile", pid, status=3), "holdfast ctl PID")
        expect(holdfast(folder, "ctl", pid, "--sample", "exact"), "the site of every allocation")
        first = profile_until(folder, pid, "first", lambda count: count > 100)
        second = profile_until(folder, pid, "second", lambda count: count > first)
        holdfast(folder, "profile", pid, "-o", "first-0.hfp.pb.gz", status=1)

        # the dump from outside has the sites of the same objects, and the profile beside it
        expect(holdfast(folder, "dump", pid, "-o", "x.hfd"), "heap profile beside it")
        with gzip.open(os.path.join(folder, "x.hfp.pb.gz")) as file:
            expect(file.read().decode("latin-1"), "holdfast-token: ")
        rows = json.loads(holdfast(folder, "sql", "x.hfd", "--json",
                                   "select count(*) n, min(size) least, max(size) most from object where site_id and size "
                                   "between 1000 and 1001 and usable > 1001"))
        n = rows["rows"][0]["n"] if isinstance(rows, dict) else rows[0]["n"]
        if n < second - 100:
            sys.exit(f"{n} objects of the dump have sites, {second} were recorded before")

        expect(holdfast(folder, "ctl", pid, "--sample", "16K"), "one sample per 16 KiB")
        time.sleep(0.3)
        third = recorded(holdfast(folder, "profile", pid, "-o", "third.hfp.pb.gz"))
        expect(holdfast(folder, "ctl", pid, "--sample", "off"), "no allocation sites (before: one sample")
        # its thread follows when it comes to it; the interpreter's own few come and go
        last = [third]
        profile_until(folder, pid, "off", lambda count: abs(last.append(count) or count - last[-2]) <= 5, pause=0.3)
        if not second < third or last[-1] < third - 5:
            sys.exit(f"{second}, {last} objects")
        expect(holdfast(folder, "ctl", pid, "--sample", "2G", status=2), "2G")
        expect(holdfast(folder, "ctl", str(os.getpid()), "--sample", "1M", status=3), "libholdfast.so")
    finally:
        process.kill()
        process.wait()
    holdfast(folder, "ctl", pid, status=3)


def killed(folder):
    sites = os.path.join(folder, "killed.sites")
    env = dict(os.environ, LD_PRELOAD=LIBRARY, HOLDFAST=f"signal=off,sample=1,profile={sites}")
    subprocess.run([TARGET, os.path.join(folder, "manifest"), "2", "kill"], env=env, timeout=60)
    live = subprocess.run([READER, sites], capture_output=True, text=True, check=True).stdout.count("\n")
    line = holdfast(folder, "profile", "--file", sites)
    expect(line, "killed.sites.hfp.pb.gz")
    if recorded(line) != live or live < 1000:
        sys.exit(f"{line} of {live} objects")
    with gzip.open(sites + ".hfp.pb.gz") as file:
        expect(file.read().decode("latin-1"), "site_target_c")
    # anything else is no such file
    for name, text in ("empty", b""), ("other", b"HFSITES" + bytes(100000)), ("cut", None):
        with open(os.path.join(folder, name), "wb") as file:
            if text is None:
                with open(sites, "rb") as whole:
                    text = whole.read(1 << 20)
            file.write(text)
        holdfast(folder, "profile", "--file", name, status=3)
    holdfast(folder, "profile", "--file", "missing", status=3)
    holdfast(folder, "profile", status=2)
    holdfast(folder, "profile", "12", "--file", sites, status=2)


def killed_late(folder):
    """Time and duration are those of the newest object, whatever the time of the file is."""
    sites = os.path.join(folder, "late.sites")
    env = dict(os.environ, LD_PRELOAD=LIBRARY, HOLDFAST=f"signal=off,sample=1,profile={sites}")
    began = time.time()
    with subprocess.Popen(["/usr/bin/python3", "-c", LATE], env=env, stdout=subprocess.PIPE, text=True) as process:
        before = float(process.stdout.readline())
        process.kill()
    ended = time.time()
    os.utime(sites, (1, 1))
    holdfast(folder, "profile", "--file", sites)
    with gzip.open(sites + ".hfp.pb.gz") as file:
        text = file.read()
    profile = dict(fields(text))
    at, duration = profile[PROFILE_TIME] / 1e9, profile[PROFILE_DURATION] / 1e9
    # seconds are whole, and the clock that they are of ticks each 10 ms at most
    if not before - 1.1 < at < ended or not began - 0.1 < at - duration < before - 1.9:
        sys.exit(f"at {at}, {duration} s, of a process from {began} to {ended}, whose newest object is of {before}")
    expect(text.decode("latin-1"), "holdfast-time: of the newest object")


with tempfile.TemporaryDirectory() as work:
    running(work)
    killed(work)
    killed_late(work)
