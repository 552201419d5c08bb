"""Sampling is what a process does that was told nothing: site_default.py LIBRARY HOLDFAST TARGET UNNAMED

A profile of one sample in 512 KiB lies beside the dump, and reports tell estimates from exact figures. --no-sites leaves no
profile; a program that allocates next to nothing has no samples, which reports say in so many words.
"""
import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile


def expect(what, condition, detail=""):
    if not condition:
        sys.exit(f"site_default: {what}: {detail}")


def text_of(*command):
    run = subprocess.run(command, capture_output=True, text=True, env=dict(os.environ, COLUMNS="80"))
    expect("status", run.returncode == 0, f"{command}: {run.returncode}: {run.stderr}")
    expect("80 columns", all(len(line) <= 80 for line in run.stdout.splitlines()), run.stdout)
    expect("nothing is amiss", "not used" not in run.stderr, run.stderr)
    return run.stdout


def json_of(*command):
    return json.loads(subprocess.run([*command, "--json"], stdout=subprocess.PIPE, check=True).stdout)


def main(library, holdfast, target, unnamed):
    library = os.path.realpath(library)
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        env = dict(os.environ, LD_PRELOAD=library, HOLDFAST="exit=1,out=told-nothing.hfd")
        subprocess.run([target, "manifest", "4", "exit"], env=env, check=True)
        profile = gzip.decompress(open("told-nothing.hfp.pb.gz", "rb").read()).decode("latin-1")
        expect("the period", "holdfast-record: period 524288 samples " in profile)

        run = [holdfast, "run", "--on-exit", "-o"]
        subprocess.run([*run, "sampled.hfd", "--sample", "4K", "--", target, "manifest", "4", "exit"], check=True,
                       stderr=subprocess.DEVNULL)
        for command in "report", "leaks", "top --by site", "top --by function", "top --by module":
            word, *options = command.split()
            text = text_of(holdfast, word, "sampled.hfd", *options)
            expect(command, word == "leaks" and "Nothing is leaked" in text or (
                "one allocation in 4.0 KiB: figures with ~ are estimates" in text and "live samples" in text
                and "are exact" in text), text)

        # what there is exactly bounds the estimates, by few samples of many small objects as well
        subprocess.run([*run, "few.hfd", "--sample", "64K", "--", target, "manifest", "4", "exit"], check=True,
                       stderr=subprocess.DEVNULL)
        heap = json_of(holdfast, "report", "few.hfd")
        sites = json_of(holdfast, "top", "few.hfd", "--by", "site", "-n", "100000")["rows"]
        for by in "site", "function", "module":
            rows = json_of(holdfast, "top", "few.hfd", "--by", by, "-n", "100000")["rows"]
            rows = [row for row in rows if row["count"] and row["est_size"] is not None]
            expect("rows", rows and all(row["est_size"] >= row["size"] for row in rows), rows)
            for figure, whole in ("est_size", heap["live_size"]), ("est_count", heap["live_count"]):
                # each site's figure is rounded; what the profile alone knows of is not bounded
                more = len(sites) + sum(row[figure] for row in sites if not row["count"] and row["est_size"] is not None)
                expect(f"{figure} by {by}", sum(row[figure] for row in rows) <= whole + more, rows)

        # a dump alone says what it lacks, until the profile is there, however old that is
        shutil.copy("sampled.hfd", "alone.hfd")
        for command in "report", "top --by site":
            word, *options = command.split()
            text = text_of(holdfast, word, "alone.hfd", *options)
            expect(command, "The heap profile alone.hfp.pb.gz is not beside the dump" in text, text)
        who = subprocess.run([holdfast, "who", "alone.hfd", "--site", "main"], capture_output=True, text=True)
        expect("who --site", who.returncode == 3 and "alone.hfp.pb.gz is not beside the dump" in who.stderr, who.stderr)
        shutil.copy("sampled.hfp.pb.gz", "alone.hfp.pb.gz")
        os.utime("alone.hfp.pb.gz", (1e9, 1e9))
        text = text_of(holdfast, "top", "alone.hfd", "--by", "site")
        expect("names are back", "not beside" not in text and "live samples" in text, text)

        # code without symbols is named by its place, and what to install is said of the library, too
        subprocess.run([*run, "unnamed.hfd", "--exact", "--", unnamed], check=True, stderr=subprocess.DEVNULL)
        loaded = subprocess.run([holdfast, "load", "unnamed.hfd"], check=True, capture_output=True, text=True)
        expect("advice", "libsite_unnamed.so has no debug information" in loaded.stderr, loaded.stderr)
        text = text_of(holdfast, "top", "unnamed.hfd", "--by", "site", "-n", "1000")
        expect("places", text.count("libsite_unnamed.so+0x") >= 2 and "site_unnamed ←" in text and "??" not in text, text)

        subprocess.run([*run, "none.hfd", "--no-sites", "--", target, "manifest", "1", "exit"], check=True,
                       stderr=subprocess.DEVNULL)
        expect("no profile", not os.path.exists("none.hfp.pb.gz"))
        expect("no sites", "Where it was allocated" not in text_of(holdfast, "report", "none.hfd"))

        # a shell has some 2 KiB at its end: one of them is a sample point in one run of 500,000, not of 300 as by default
        subprocess.run([*run, "tiny.hfd", "--sample", "1G", "--", "/bin/sh", "-c", "x=1"], check=True,
                       stderr=subprocess.DEVNULL)
        expect("a profile of nothing", os.path.exists("tiny.hfp.pb.gz"))
        for command in "report", "top --by site":
            word, *options = command.split()
            text = text_of(holdfast, word, "tiny.hfd", *options)
            expect(command, "No samples: sites are sampled, one allocation in 1.0 GiB" in text
                   and "no allocation sites" not in text, text)
    print("site_default: ok")


if __name__ == "__main__":
    main(*sys.argv[1:])
