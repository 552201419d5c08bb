"""A process with two C libraries: both are known, the dump never passes for whole if it is not.

usage: two_libcs_test.py HOLDFAST PROGRAM MODULE
"""
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile

from harness import Failure, Holdfast, expect

SKIPPED = 77
N_MINE, N_THEIRS = 1000, 500


def is_partial(holdfast, dump):
    done = subprocess.run([holdfast.command, "info", dump, "--json"], capture_output=True, text=True)
    partial = json.loads(done.stdout)["partial"]
    expect("exit status of info", done.returncode, 4 if partial else 0)
    return partial


def check(holdfast, dump, how):
    partial = is_partial(holdfast, dump)
    database = dump.with_suffix(".hfdb")
    holdfast("load", dump, "-o", database, status=4 if partial else 0)
    db = sqlite3.connect(database)
    mine = db.execute("SELECT held_count FROM variable WHERE name = 'g_mine'").fetchone()
    theirs = db.execute("SELECT held_count FROM variable WHERE name = 'g_theirs'").fetchone()
    findings = [text for text, in db.execute("SELECT text FROM finding WHERE severity = 'partial'")]
    print(f"     {how}: g_mine holds {mine}, g_theirs {theirs}; {findings}")
    if mine == (N_MINE,) and theirs == (N_THEIRS,):
        expect(f"{how}: partial, though all is there", partial, False)
        return
    expect(f"{how}: what the program itself holds is there", mine, (N_MINE,))
    expect(f"{how}: partial", partial, True)
    expect(f"{how}: the other malloc is named", any("malloc" in text and "libc" in text for text in findings), True)


def main(holdfast_path, program, module):
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as folder:
        holdfast = Holdfast(holdfast_path, folder)
        with subprocess.Popen([program, module], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            if not process.stdout.readline().startswith("ready"):
                print(f"SKIPPED: {os.path.basename(program)} cannot load a module here")
                return SKIPPED
            dump = holdfast.folder / "pid.hfd"
            done = subprocess.run([holdfast.command, "dump", str(process.pid), "-o", dump], capture_output=True, text=True)
            print(f"     exit status {done.returncode}: {done.stdout}{done.stderr}", end="")
            expect("exit status is 4 if it is partial", done.returncode, 4 if is_partial(holdfast, dump) else 0)
            check(holdfast, dump, "by pid")
            process.stdin.close()
        if "static" in program:
            return 0
        with subprocess.Popen([*holdfast.run_command(), program, module], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              text=True) as process:
            process.stdout.readline()
            os.kill(process.pid, signal.SIGUSR2)
            check(holdfast, holdfast.wait_for_dump("two_libcs*.hfd"), "in process")
            process.stdin.close()
    return 0


if __name__ == "__main__":
    signal.alarm(300)
    try:
        sys.exit(main(*sys.argv[1:]))
    except Failure as failure:
        print(f"FAIL {failure}")
        sys.exit(1)
