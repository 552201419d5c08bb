"""Holds what the code inside a target calls (the undefined symbols of its archives) to a list.

The list has a line a symbol: its name (a shell pattern), then the modules that may call it; none
means all. What one archive defines, the others may call.
"""
import argparse
import fnmatch
import pathlib
import re
import subprocess
import sys


def symbols(archive, *options):
    out = subprocess.run(["nm", "-P", *options, archive], check=True, capture_output=True, text=True)
    rows = [line.split() for line in out.stdout.splitlines()]
    return {row[0] for row in rows if len(row) >= 2 and not row[0].endswith(":")}


def read_allowed(path):
    allowed = []
    for line in pathlib.Path(path).read_text().splitlines():
        words = line.split("#")[0].split()
        if words:
            allowed.append((words[0], set(words[1:])))
    return allowed


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--allow", required=True)
    parser.add_argument("archives", nargs="+")
    args = parser.parse_args()

    allowed = read_allowed(args.allow)
    defined = set().union(*(symbols(a, "-g", "--defined-only") for a in args.archives))
    used, bad = set(), 0
    for archive in args.archives:
        module = re.fullmatch(r"libhf_(.*)_so\.a", pathlib.Path(archive).name).group(1)
        for symbol in sorted(symbols(archive, "-u") - defined):
            hits = [row for row in allowed
                    if fnmatch.fnmatchcase(symbol, row[0]) and (not row[1] or module in row[1])]
            used.update(row[0] for row in hits)
            if not hits:
                print(f"module {module} calls {symbol}, which is not allowed inside a target")
                bad += 1
    print(f"lint_undefined: {len(args.archives)} archives, {len(used)} of {len(allowed)} listed symbols used, {bad} bad")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
