"""Running programs under Holdfast, for the integration tests. Standard library only."""
import json
import os
import pathlib
import sqlite3
import subprocess
import time

DUMP_TIMEOUT_S = 240


class Failure(Exception):
    """What a test found; the message is for the person who reads the log."""


def expect(what, found, should):
    if found != should:
        raise Failure(f"{what}: {found}, not {should}")
    print(f"ok   {what}: {found}")


def run_target(command, env=None, status=0, timeout=120):
    """Run a program to its end; fails on another exit status. env is added to the environment."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=timeout, env={**os.environ, **(env or {})})
    if done.returncode != status:
        raise Failure(f"{' '.join(map(str, command))}: exit status {done.returncode}, not {status}\n{done.stdout}{done.stderr}")
    return done


def await_reading(pid):
    """A target that has got ready is in the midst of telling so, and in libc, until it reads its standard input."""
    until = time.monotonic() + 10
    while not pathlib.Path(f"/proc/{pid}/syscall").read_text(encoding="ascii").startswith("0 0x0 "):
        if time.monotonic() > until:
            raise Failure(f"process {pid} is ready, and does not read its standard input")
        time.sleep(0.001)


class Holdfast:
    """The command, with every file it makes in one folder."""

    def __init__(self, command, folder):
        self.command = os.path.abspath(command)
        self.folder = pathlib.Path(folder)

    def run_command(self, *options):
        """The words that start a program under the library; dumps go to the folder."""
        return [self.command, "run", "-o", str(self.folder / "%e.%p.%n.hfd"), *options, "--"]

    def __call__(self, *args, status=0):
        """Run a command; its standard output. Fails on any other exit status."""
        done = subprocess.run([self.command, *map(str, args)], capture_output=True, text=True)
        if done.returncode != status:
            raise Failure(f"holdfast {' '.join(map(str, args))}: exit status {done.returncode}, not {status}\n"
                          f"{done.stdout}{done.stderr}")
        return done.stdout

    def json(self, *args):
        return json.loads(self(*args, "--json"))

    def wait_for_dump(self, pattern="*.hfd", n=1):
        """Dumps appear under their names when they are whole."""
        until = time.monotonic() + DUMP_TIMEOUT_S
        while time.monotonic() < until:
            dumps = sorted(self.folder.glob(pattern))
            if len(dumps) >= n:
                return dumps[n - 1]
            time.sleep(0.02)
        raise Failure(f"no dump {pattern} in {self.folder} after {DUMP_TIMEOUT_S} s: {os.listdir(self.folder)}")

    def load(self, dump):
        """The database of a dump, opened for reading."""
        database = pathlib.Path(dump).with_suffix(".hfdb")
        self("load", dump, "-o", database)
        return sqlite3.connect(f"file:{database}?mode=ro", uri=True)
