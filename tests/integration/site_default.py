"""Sampling is what a process does that was told nothing: site_default.py LIBRARY HOLDFAST TARGET

A profile of one sample in 512 KiB lies beside the dump, and reports tell estimates from exact figures. --no-sites leaves no
profile; a program that allocates next to nothing has no samples, which reports say in so many words.
"""
import gzip
import os
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


def main(library, holdfast, target):
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
