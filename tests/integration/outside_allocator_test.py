"""Programs whose allocator is not one that can be walked: it is named, and the dump is partial.

usage: outside_allocator_test.py HOLDFAST KIND PLAIN_LIST
KIND: the part of a library's name (jemalloc, tcmalloc, mimalloc), musl, go, valgrind, unknown.
"""
import contextlib
import os
import pathlib
import re
import shutil
import subprocess

from outside_kit import Skip, expect, gcore, load_partial, run

PRELOADED = {"jemalloc": "libjemalloc.so.2", "tcmalloc": "libtcmalloc_minimal.so.4", "mimalloc": "libmimalloc.so.2.0"}
GO = """package main

import ("fmt"; "os")

var list [][]byte

func main() {
	for i := 0; i < 1000; i++ { list = append(list, make([]byte, 100)) }
	fmt.Println("ready")
	os.Stdin.Read(make([]byte, 1))
	fmt.Println(len(list))
}
"""


@contextlib.contextmanager
def started(command, env=None):
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                               env=env)
    try:
        if process.stdout.readline() != "ready\n":
            raise Skip(f"{command} does not run here")
        yield process.pid
    finally:
        process.stdin.close()
        expect(process.wait(timeout=60) == 0, "the target did not end well")
        process.stdout.close()
        process.stderr.close()


def check(holdfast, folder, pid, name):
    """By pid and by core: one line that names it, exit 4, a dump that says so."""
    tool = str(pathlib.Path(holdfast.command).with_name("holdfast-dump"))
    core = gcore(folder, pid)
    for how, command in (("pid", [str(pid)]), ("core", ["--core", core])):
        out = f"{folder}/{how}.{os.path.getsize(core)}.hfd"
        done = subprocess.run([tool, *command, "-o", out], capture_output=True, text=True)
        expect(done.returncode == 4, f"{name}, {how}: exit status {done.returncode}: {done.stderr}")
        expect(re.fullmatch(rf"holdfast-dump: the dump is partial: {name} is in the process [^\n]*\n", done.stderr),
               f"{name}, {how}: «{done.stderr}»")
        db = load_partial(holdfast, out)
        named = db.execute("SELECT count(*) FROM finding WHERE severity = 'partial' AND text LIKE ?",
                           (f"{name} is in the process%cannot be walked%",)).fetchone()[0]
        expect(named == 1, f"{name}, {how}: {named} findings")
    os.unlink(core)


def preloaded(kind):
    def scenario(holdfast, folder, target):
        with started([target], {**os.environ, "LD_PRELOAD": PRELOADED[kind]}) as pid:
            maps = pathlib.Path(f"/proc/{pid}/maps").read_text(encoding="ascii")
            if kind not in maps:
                raise Skip(f"{PRELOADED[kind]} is not here (apt-get install lib{kind}…)")
            check(holdfast, folder, pid, kind)
    return scenario


def musl(holdfast, folder, target):
    program = f"{target}_musl"
    if not os.path.exists(program):
        raise Skip("no musl-gcc here when the tests were built (apt-get install musl-tools)")
    for kind in ("", "_dynamic"):
        with started([program + kind]) as pid:
            check(holdfast, folder, pid, "musl's malloc")
    # Without symbols there is nothing to tell its name by, but it is not passed over.
    stripped = shutil.copy(program, f"{folder}/stripped")
    subprocess.run(["strip", stripped], check=True)
    with started([stripped]) as pid:
        text = subprocess.run([holdfast.command, "dump", str(pid), "-o", f"{folder}/stripped.hfd"], capture_output=True,
                              text=True)
        expect(text.returncode == 4 and "no allocator found" in text.stderr, f"{text.returncode}: {text.stderr}")


def go(holdfast, folder, _):
    if not shutil.which("go"):
        raise Skip("no Go compiler here (apt-get install golang-go)")
    source = pathlib.Path(folder, "main.go")
    source.write_text(GO, encoding="ascii")
    for name, flags in (("whole", []), ("stripped", ["-ldflags=-s -w"])):
        program = f"{folder}/{name}"
        env = {**os.environ, "GOCACHE": f"{folder}/cache", "CGO_ENABLED": "0", "GO111MODULE": "off"}
        done = subprocess.run(["go", "build", *flags, "-o", program, str(source)], capture_output=True, text=True, env=env)
        if done.returncode:
            raise Skip(f"the Go compiler does not work here: {done.stderr}")
        with started([program]) as pid:
            check(holdfast, folder, pid, "Go's runtime")


def valgrind(holdfast, folder, target):
    if not shutil.which("valgrind"):
        raise Skip("no valgrind here (apt-get install valgrind)")
    with started(["valgrind", "-q", target]) as pid:
        check(holdfast, folder, pid, "Valgrind's malloc")


def unknown(holdfast, folder, target):
    library = str(pathlib.Path(target).parents[1] / "lib" / "libown_malloc.so")
    with started([target], {**os.environ, "LD_PRELOAD": library}) as pid:
        check(holdfast, folder, pid, "an allocator that is not known")


if __name__ == "__main__":
    run({"musl": musl, "go": go, "valgrind": valgrind, "unknown": unknown, **{kind: preloaded(kind) for kind in PRELOADED}}, __doc__)
