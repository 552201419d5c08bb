"""Dumps of programs at their end.

usage: exit_test.py HOLDFAST TARGET
"""
import signal
import subprocess
import sys
import tempfile

from harness import Failure, Holdfast, expect

N_NODES = 20000
STATUS = 7
# status, number of dumps
WAYS = {"return": (STATUS, 1), "exit": (STATUS, 1), "_exit": (STATUS, 1), "_Exit": (STATUS, 1), "quick_exit": (STATUS, 1),
        "thread": (STATUS, 1), "pthread_exit": (0, 1), "atexit": (STATUS, 1), "closed": (STATUS, 1), "reused": (STATUS, 1),
        "all-closed": (STATUS, 1), "fork": (-signal.SIGKILL, 1), "vfork": (-signal.SIGKILL, 0), "abort": (-signal.SIGABRT, 0),
        "kill": (-signal.SIGKILL, 0)}


def main(command, target):
    for way, (status, n_dumps) in WAYS.items():
        with tempfile.TemporaryDirectory(prefix="holdfast-test-") as folder:
            holdfast = Holdfast(command, folder)
            done = subprocess.run([*holdfast.run_command("--on-exit"), target, way], capture_output=True, text=True,
                                  timeout=60, cwd=folder)
            expect(f"{way}: status and output", (done.returncode, done.stdout), (status, ""))
            dumps = sorted(holdfast.folder.glob("*.hfd"))
            said = "" if way in ("closed", "reused", "all-closed") else \
                "".join(f"holdfast: exit: heap dump in {dump}\n" for dump in dumps)
            expect(f"{way}: what is said", done.stderr, said)
            expect(f"{way}: dumps", len(dumps), n_dumps)
            profiles = len(list(holdfast.folder.glob("*.hfp.pb.gz")))
            expect(f"{way}: profiles", profiles, n_dumps)
            expect(f"{way}: other files", sum(1 for _ in holdfast.folder.iterdir()) - n_dumps - profiles,
                   int(way == "reused"))
            for dump in dumps:
                info = holdfast.json("info", dump)
                expect(f"{way}: trigger, partial", (info["process"]["trigger"], info["partial"]), ("exit", False))
                held = holdfast.load(dump).execute("SELECT held_count FROM variable WHERE name = 'g_list'").fetchone()
                expect(f"{way}: nodes", held, (N_NODES,))


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except Failure as failure:
        sys.exit(f"FAIL {failure}")
