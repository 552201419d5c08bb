"""A dump carries site and requested size of every object of a manifest, and the profile beside it its token.

site_dump.py LIBRARY HOLDFAST TARGET
"""
import gzip
import json
import os
import subprocess
import sys
import tempfile


def main(library, holdfast, target):
    with tempfile.TemporaryDirectory() as folder:
        dump, manifest = os.path.join(folder, "x.hfd"), os.path.join(folder, "manifest")
        env = dict(os.environ, LD_PRELOAD=library, HOLDFAST=f"signal=off,exit=1,sample=1,out={dump}")
        subprocess.run([target, manifest, "4", "exit"], env=env, check=True)
        profile = gzip.decompress(open(os.path.join(folder, "x.hfp.pb.gz"), "rb").read())
        token = open(dump, "rb").read(56)[40:].hex()
        subprocess.run([holdfast, "verify", dump], check=True, stdout=subprocess.DEVNULL)
        rows = subprocess.run([holdfast, "sql", dump, "--json", "select addr, size, site_id from object"],
                              check=True, capture_output=True, text=True).stdout
        objects = {row["addr"]: row for row in json.loads(rows)}
        expected = [line.split()[:2] for line in open(manifest)]
    wrong = [(addr, size, objects.get(int(addr, 16))) for addr, size in expected
             if int(addr, 16) not in objects or objects[int(addr, 16)]["size"] != int(size)
             or not objects[int(addr, 16)]["site_id"]]
    print(f"{len(expected)} objects, {len(wrong)} wrong {wrong[:3]}")
    if f"holdfast-token: {token}".encode() not in profile:
        print("the profile has another token than the dump")
        return 1
    return 1 if wrong or len(expected) < 4000 else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
