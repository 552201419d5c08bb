"""`go tool pprof` reads the heap profile and sees what lives. Exit 77 (skipped) without go.

site_pprof.py LIBRARY READER TARGET
"""
import os
import re
import shutil
import subprocess
import sys
import tempfile


def pprof(go, *args):
    run = subprocess.run([go, "tool", "pprof", *args], capture_output=True, text=True,
                         env=dict(os.environ, HOME="/nonexistent", PPROF_TMPDIR=tempfile.gettempdir()))
    if run.returncode:
        sys.exit(f"pprof {args}: {run.stderr}")
    return run.stdout


def main(library, reader, target):
    go = shutil.which("go")
    if not go:
        print("site_pprof SKIPPED: no go here (apt-get install golang-go)")
        return 77
    with tempfile.TemporaryDirectory() as folder:
        sites, profile = os.path.join(folder, "sites"), os.path.join(folder, "x.hfp.pb.gz")
        env = dict(os.environ, LD_PRELOAD=library, HOLDFAST=f"signal=off,sample=1,profile={sites}")
        subprocess.run([target, os.path.join(folder, "manifest"), "2", "kill"], env=env)
        objects = subprocess.run([reader, sites], check=True, capture_output=True, text=True).stdout
        subprocess.run([reader, sites, profile], check=True)
        sizes = [int(line.split()[1]) for line in objects.splitlines()]
        raw = pprof(go, "-raw", profile)
        top = pprof(go, "-top", "-cum", "-nodecount=1000", profile)
        space = pprof(go, "-top", "-unit=B", "-sample_index=inuse_space", profile)
        tags = pprof(go, "-tags", "-sample_index=inuse_objects", profile)
        difference = pprof(go, "-top", "-base", profile, profile)
        flat = pprof(go, "-top", "-nodecount=1000", profile)
        source = pprof(go, "-list", "^leaf_malloc$", "-sample_index=alloc_space", profile)
        traces = pprof(go, "-traces", profile)
        peek = pprof(go, "-peek", "^leaf$", profile)
        dot = shutil.which("dot")
        picture = pprof(go, "-svg", "-output=" + os.path.join(folder, "x.svg"), profile) if dot else None
        if dot:
            with open(os.path.join(folder, "x.svg"), encoding="utf-8") as file:
                picture = file.read()

    def check(what, text):
        if not what:
            sys.exit(f"site_pprof: {text}\n{raw[:3000]}\n{top[:3000]}")

    check("holdfast-token: abcdef" in raw and "period 1 " in raw, "no comments")
    rows = re.findall(r"^ +(\d+) +(\d+) +(\d+) +(\d+): (?:\d+ )+\n +site:\[(\d+)\]", raw, re.M)
    check(len(rows) > 100 and len({r[4] for r in rows}) == len(rows), "not one sample a site")
    values = [[int(v) for v in row[:4]] for row in rows]
    check(sum(v[2] for v in values) == len(sizes), "inuse_objects do not add up")
    check(sum(v[3] for v in values) == sum(sizes), "inuse_space does not add up")
    check(all(v[0] >= v[2] and v[1] >= v[3] for v in values), "allocated less than lives")
    check(sum(v[0] for v in values) > 100000, "no totals of what was allocated")
    for function in "leaf_malloc", "chain", "work", "thread_main":
        check(re.search(rf"\b{function}\b", top), f"{function} is not in -top")
    check("Type: inuse_space" in top, "another default than inuse_space")
    check(f"{sum(sizes)}B total" in space, f"-top does not total {sum(sizes)} bytes")
    # flat figures are the leaves', which allocate; sums are the callers', too
    share = {m[2]: (m[0], m[1]) for m in re.findall(r"^ *\S+ +(\S+)% +\S+ +\S+ +(\S+)% +(\w+)", flat, re.M)}
    check(float(share["leaf_malloc"][0]) > 5 and float(share["work"][0]) == 0 and float(share["work"][1]) > 95,
          f"-top: {share}")
    check(re.search(r"^ROUTINE =+ leaf_malloc in ", source, re.M) or "no matches" in source, f"-list: {source}")
    check(traces.count("-----------+-----") > 100 and "leaf_calloc" in traces and "thread_main" in traces, "-traces")
    check(re.search(r"chain$", peek, re.M) and re.search(r"\| +leaf$", peek, re.M) and "leaf_realloc" in peek,
          f"-peek: {peek}")
    check(not dot or ("<svg" in picture and "leaf_malloc" in picture), "-svg")
    if not dot:
        print("site_pprof: -svg left out: no dot here (graphviz)")
    check("site: Total" in tags.replace("  ", " "), "no label site")
    check(re.search(r"accounting for 0, 0% of 0|of 0 total|0 of", difference), "-base of itself is not 0")
    mapping = re.search(r"^1: 0x\w+/0x\w+/0x\w+ (\S+) (\w+)", raw, re.M)
    check(mapping and mapping.group(1) == os.path.realpath(target) and len(mapping.group(2)) == 40,
          "the first mapping is not the program with its build id")
    print(f"site_pprof: {len(rows)} sites, {len(sizes)} objects")
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
