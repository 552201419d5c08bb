#!/usr/bin/env python3
"""What holdfast says to wrong arguments: usage.py HOLDFAST. One line on stderr, exit code 2."""
import os
import subprocess
import sys

holdfast = sys.argv[1]
failures = 0


def run(*args, env=None):
    return subprocess.run([holdfast, *args], capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          env={**os.environ, **(env or {})}, check=False)


def check(what, ok, detail=""):
    global failures
    if not ok:
        failures += 1
        print(f"FAILED: {what}\n{detail}")


def refused(said, *args, code=2):
    got = run(*args)
    check(" ".join(args) + f": exit {got.returncode}, not {code}", got.returncode == code, got.stderr)
    check(" ".join(args) + ": nothing on stdout", got.stdout == "", got.stdout)
    check(" ".join(args) + ": one line", got.stderr.count("\n") == 1, got.stderr)
    check(" ".join(args) + f": says {said!r}", said in got.stderr, got.stderr)


refused("which command")
refused("did you mean leaks", "leeks", "x")
refused("did you mean report", "reprot")
refused("no such command; see", "frobnicate")
for later in ("serve",):
    refused("not in this version", later)
refused("no such option", "report", "--frob", "x")
refused("no such option", "report", "-q", "x")
refused("something is missing", "report")
refused("give one of ADDR", "who", "x.hfdb")
refused("give one of ADDR", "who", "x.hfdb", "0x1", "--type", "t")
refused("--all goes with ADDR", "who", "x.hfdb", "--type", "t", "--all")
refused("one argument too many", "report", "a", "b")
refused("is given twice", "report", "--json", "--json", "x")
refused("takes no argument", "report", "--json=1", "x")
refused("needs an argument", "top", "x", "--by")
refused("not an address", "who", "x.hfdb", "zz")
refused("not a number", "top", "x.hfdb", "-n", "0")
refused("not a number", "top", "x.hfdb", "-n", "many")
# Before anything is loaded: there is no such file.
refused("--by color: not known", "top", "/nonexistent/x.hfdb", "--by", "color")
refused("can be sorted by", "top", "/nonexistent/x.hfdb", "--by", "root", "--sort", "color")
refused("--by color: not known", "diff", "/nonexistent/x.hfdb", "/nonexistent/y.hfdb", "--by", "color")
refused("live or retained", "export", "/nonexistent/x.hfd", "--format", "svg", "--what", "all", "-o", "x")
refused("not a size", "leaks", "x.hfdb", "--fail-over", "3 apples")
refused("not a number of seconds", "sql", "x.hfdb", "--time-limit", "soon")
refused("one of the two", "sql", "x.hfdb", "--json", "--csv", "SELECT 1")
refused("no such file", "report", "/nonexistent/x.hfdb", code=3)

# Capture options: wrong ones are refused, and what this version's library lacks, never ignored.
refused("not a size", "run", "--at-rss", "much", "--", "true")
refused("not a percentage", "run", "--at-cgroup", "101", "--", "true")
refused("not a percentage", "run", "--at-cgroup", "0", "--", "true")
refused("not a number from 1", "run", "--every", "0", "--", "true")
refused("not a number from 1", "run", "--every", "5", "--keep", "0", "--", "true")
refused("goes with --every", "run", "--keep", "3", "--", "true")
refused("names that differ", "run", "--every", "5", "-o", "x.%p.hfd", "--", "true")
refused("not a size", "run", "--sample", "much", "--", "true")
refused("not a number of seconds", "run", "--timeout", "soon", "--", "true")
refused("--no-sites", "run", "--sample", "0", "--", "true")
refused("one of them", "run", "--sample", "4K", "--exact", "--", "true")
refused("none or all", "run", "--contents", "some", "--", "true")
refused("not a signal", "run", "--on-signal", "KILL", "--", "true")
refused("not a signal", "run", "--on-signal", "RTMIN+99", "--", "true")
refused("comma", "run", "-o", "a,b.hfd", "--", "true")
refused("after %", "run", "-o", "a%x.hfd", "--", "true")
refused("not a number from 1", "run", "--max-dumps", "0", "--", "true")
refused("something is missing", "run", "--on-exit")
refused("not a process number", "dump", "abc")
refused("which process", "dump")

# run hands the options over, keeps what is there, and is the command's exit code.
library = os.path.realpath(__file__)  # any file does: nothing is loaded into a static command
env = {"HOLDFAST_LIB": library, "LD_PRELOAD": "", "HOLDFAST": "max=3"}
got = run("run", "-o", "x.%p", "--on-signal", "usr1", "--on-exit", "--", "/bin/sh", "-c",
          'echo "$HOLDFAST"; echo "$LD_PRELOAD"; exit 7', env=env)
check("run: exit code of the command", got.returncode == 7, got.stderr)
check("run: options", got.stdout.splitlines()[:1] == ["max=3,out=x.%p,signal=usr1,exit=1"], got.stdout)
for option, key in ((["--sample", "4K"], "sample=4K"), (["--exact"], "sample=1"), (["--no-sites"], "sample=0")):
    sites = run("run", *option, "--", "/bin/sh", "-c", 'echo "$HOLDFAST"', env={**env, "HOLDFAST": ""})
    check(f"run {option}", sites.stdout.strip() == key, sites.stdout + sites.stderr)
check("run: preload", got.stdout.splitlines()[1:2] == [library], got.stdout)
got = run("run", "--", "/bin/sh", "-c", 'echo "$LD_PRELOAD"', env={**env, "LD_PRELOAD": "/lib/other.so"})
check("run: keeps LD_PRELOAD", got.stdout.strip() == library + ":/lib/other.so", got.stdout + got.stderr)
check("run: not found is 127", run("run", "--", "/nonexistent/x", env=env).returncode == 127)
check("run: not executable is 126", run("run", "--", library + "/..", env=env).returncode in (126, 127))
check("run: a directory is 126", run("run", "--", "/tmp", env=env).returncode == 126)
got = run("run", "--", "echo", "--on-oom", env=env)
check("run: options of the command are its own", got.stdout == "--on-oom\n", got.stdout + got.stderr)

for args in (["--help"], ["-h"], ["help"], ["report", "--help"], ["help", "who"]):
    got = run(*args)
    check(f"{args}: exit 0", got.returncode == 0 and got.stderr == "", got.stderr)
    check(f"{args}: 80 columns", all(len(line) <= 80 for line in got.stdout.splitlines()), got.stdout)
check("--version", run("--version").stdout.startswith("holdfast "))

sys.exit(1 if failures else 0)
