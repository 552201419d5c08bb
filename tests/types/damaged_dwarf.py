#!/usr/bin/env python3
"""Damaged debug information costs types, never the load.

    damaged_dwarf.py HOLDFAST TARGET N [SEED]

Loads one dump N times, each time with other damage in the DWARF of its program.
"""
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time

holdfast, target, n = os.path.abspath(sys.argv[1]), os.path.abspath(sys.argv[2]), int(sys.argv[3])
seed = int(sys.argv[4]) if len(sys.argv) > 4 else 1
random.seed(seed)


def sections(path):
    """File ranges of the debug sections."""
    out = subprocess.run(["readelf", "-SW", path], check=True, text=True, capture_output=True).stdout
    return [(int(at, 16), int(size, 16)) for at, size in
            re.findall(r"\.debug_(?:info|abbrev|str|types|line_str|addr)\s+PROGBITS\s+\w+ (\w+) (\w+)", out)]


def damage(data, ranges):
    data = bytearray(data)
    for _ in range(random.choice((1, 1, 2, 5, 30))):
        start, size = random.choice(ranges)
        at = start + random.randrange(size)
        how = random.randrange(4)
        if how == 0:
            data[at] ^= 1 << random.randrange(8)
        elif how == 1:
            data[at] = random.choice((0, 1, 0x7f, 0x80, 0xff))
        elif how == 2:
            run = min(random.randrange(1, 64), start + size - at)
            data[at:at + run] = bytes(random.randrange(256) for _ in range(run))
        else:  # another place's bytes: references that lead elsewhere
            run = min(16, start + size - at)
            other = start + random.randrange(max(1, size - run))
            data[at:at + run] = data[other:other + run]
    return data


with tempfile.TemporaryDirectory(prefix="dwarf") as folder:
    os.chdir(folder)
    subprocess.run(["objcopy", "--strip-debug", target, "program"], check=True)
    subprocess.run([holdfast, "run", "--no-sites", "-o", "t.hfd", "--", "./program", "manifest"], check=True)
    for _ in range(600):
        if os.path.exists("t.hfd"):
            break
        time.sleep(0.05)
    os.mkdir("debug")
    whole = open(target, "rb").read()
    ranges = sections(target)
    if len(ranges) < 3:
        sys.exit(f"FAIL {target}: sections {ranges}")
    longest, typed = 0, 0
    for i in range(n):
        with open("debug/program", "wb") as f:
            f.write(whole if i == 0 else damage(whole, ranges))
        started = time.monotonic()
        done = subprocess.run([holdfast, "load", "t.hfd", "--debug-dir", "debug", "-o", "t.hfdb"],
                              text=True, capture_output=True, timeout=60)
        longest = max(longest, time.monotonic() - started)
        if done.returncode != 0:
            kept = os.path.join(tempfile.gettempdir(), f"damaged_dwarf.{seed}.{i}")
            shutil.copy("debug/program", kept)
            sys.exit(f"FAIL number {i}: exit status {done.returncode}, the file is {kept}\n{done.stderr[-2000:]}")
        out = subprocess.run([holdfast, "sql", "t.hfdb", "--csv", "SELECT count(type_id) FROM object"],
                             check=True, text=True, capture_output=True).stdout
        count = int(out.split()[-1])
        if i == 0 and count < 100:
            sys.exit(f"FAIL the whole debug information types {count} objects")
        typed += count > 0
    print(f"ok   {n} loads, {typed} of them with types, the longest took {longest:.1f} s")
