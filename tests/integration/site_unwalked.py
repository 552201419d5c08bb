"""Where the allocator cannot be walked, the profile beside the dump still tells what was allocated where.

site_unwalked.py LIBRARY HOLDFAST TARGET ALLOCATOR (a library's file name; skipped where it is missing)
"""
import glob
import json
import os
import subprocess
import sys
import tempfile


def main(library, holdfast, target, allocator):
    if not glob.glob(f"/usr/lib/*/{allocator}"):
        print(f"skipped: {allocator} is not installed")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        dump, manifest = os.path.join(folder, "x.hfd"), os.path.join(folder, "manifest")
        env = dict(os.environ, LD_PRELOAD=f"{library} {allocator}", HOLDFAST=f"signal=off,exit=1,sample=1,out={dump}")
        subprocess.run([target, manifest, "4", "exit"], env=env, check=True)
        top = subprocess.run([holdfast, "top", dump, "--by", "site", "--json", "-n", "100000"],
                             capture_output=True, text=True)
        expected = sum(int(line.split()[1]) for line in open(manifest))
    if top.returncode != 4:
        print(f"exit status {top.returncode}: {top.stderr}")
        return 1
    answer = json.loads(top.stdout)
    sites = answer["sites"]
    live = sum(row["live_bytes"] for row in answer["rows"])
    print(f"{expected} bytes in the manifest, {live} in {len(answer['rows'])} sites, {sites}")
    own = sites["known"] and not sites["tied"] and not sites["estimates"]
    # What the C library itself has live is in the profile, too.
    return 0 if own and expected <= live <= expected + (1 << 20) else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
