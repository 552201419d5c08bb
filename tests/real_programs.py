#!/usr/bin/env python3
"""Who holds the memory of programs that nobody here wrote: real_programs.py HOLDFAST FOLDER

Redis (built with MALLOC=libc) and vim are built in FOLDER from Debian's source packages, with debug
information; python3 and sqlite3 are the machine's own. Each is filled, dumped from outside, and its
report must name what is known to hold at least 85 % of its heap. Where that retains less than half
of what it holds, the words that reach in from outside are shown.

Not part of the test suites: it downloads sources and builds for some minutes. Debian 12, root or
not; needs build-essential and redis-tools. FOLDER is kept: a second run builds nothing.
"""
import json
import os
import pathlib
import re
import subprocess
import sys
import time

LEAST_PERCENT = 85
MIRROR = "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
failures = 0


def sh(command, cwd):
    done = subprocess.run(command, shell=True, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{command}: exit status {done.returncode}\n{done.stdout[-2000:]}")


def source(folder, package, pattern):
    """The unpacked source package, by apt with lists of its own."""
    found = sorted(folder.glob(pattern))
    if not found:
        apt = folder / "apt"
        (apt / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        (apt / "sources.list").write_text(f"deb-src [signed-by={KEYRING}] {MIRROR} bookworm main\n")
        options = (f"-o Dir::State::Lists={apt}/lists -o Dir::Etc::SourceList={apt}/sources.list "
                   f"-o Dir::Etc::SourceParts=/dev/null -o Dir::Cache={apt}")
        sh(f"apt-get {options} update && apt-get {options} source --download-only {package}", folder)
        sh(f"tar xf {package}_*.orig.tar.*", folder)
        found = sorted(folder.glob(pattern))
    return found[-1]


def build_redis(folder):
    tree = source(folder, "redis", "redis-[0-9]*")
    if not (tree / "src" / "redis-server").exists():
        sh("make -j2 MALLOC=libc OPTIMIZATION=-O2 REDIS_CFLAGS=-g", tree)
    return tree / "src" / "redis-server"


def build_vim(folder):
    tree = source(folder, "vim", "vim-[0-9]*")
    if not (tree / "src" / "vim").exists():
        sh("CFLAGS='-g -O2' ./configure --enable-gui=no --without-x --disable-nls --disable-acl && make -j2", tree)
    return tree / "src" / "vim"


def until(what, condition, process):
    for _ in range(600):
        if condition():
            return
        if process.poll() is not None:
            sys.exit(f"{what}: ended with {process.returncode}")
        time.sleep(0.1)
    sys.exit(f"{what}: not ready after a minute")


def answers(command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout


def redis(folder):
    port = "7391"
    server = subprocess.Popen([build_redis(folder), "--port", port, "--save", "", "--dir", folder],
                              stdout=subprocess.DEVNULL)
    until("redis", lambda: "PONG" in answers(["redis-cli", "-p", port, "ping"]), server)
    subprocess.run(["redis-benchmark", "-p", port, "-t", "set,lpush,hset", "-n", "100000", "-r", "100000", "-d", "200",
                    "-q"], stdout=subprocess.DEVNULL, check=True)
    used = int(re.search(r"used_memory:(\d+)", answers(["redis-cli", "-p", port, "info", "memory"])).group(1))
    return server, f"INFO memory: used_memory {used / 2**20:.1f} MiB"


def vim(folder):
    text = folder / "huge.txt"
    text.write_text("".join(f"line {i} of a huge buffer, with some text in it\n" for i in range(400000)))
    line = f"{build_vim(folder)} -u NONE -n -c 'set ul=-1' -c '%s/huge/HUGE/' -c 'call writefile([], \"{folder}/vim.ready\")' {text}"
    (folder / "vim.ready").unlink(missing_ok=True)
    terminal = subprocess.Popen(["script", "-qec", "exec " + line, "/dev/null"], stdin=subprocess.PIPE,
                                stdout=subprocess.DEVNULL)
    until("vim", (folder / "vim.ready").exists, terminal)
    return terminal, "a buffer of 400,000 lines"


def python3(_):
    program = ("import time\nd = {i: 'v%d' % i * 5 for i in range(200000)}\nl = [[i, str(i)] for i in range(200000)]\n"
               "print('ready', flush=True)\ntime.sleep(600)")
    process = subprocess.Popen(["/usr/bin/python3", "-c", program], stdout=subprocess.PIPE, text=True,
                               env={**os.environ, "PYTHONMALLOC": "malloc"})
    process.stdout.readline()
    return process, "a dict and a list of 200,000"


def sqlite3(_):
    process = subprocess.Popen(["sqlite3", ":memory:"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.stdin.write("CREATE TABLE t(a, b); INSERT INTO t WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c "
                        "WHERE i < 300000) SELECT i, hex(randomblob(40)) FROM c; SELECT 'ready';\n")
    process.stdin.flush()
    process.stdout.readline()
    return process, "300,000 rows in memory"


# The program, what the path of the first suspect must read like. sqlite3 has no debug information
# and no static data of its own: the object is the page cache's table.
PROGRAMS = {
    "redis": (redis, r"^server\.db\b.*dict"),
    "vim": (vim, r"\bb_ml\.ml_mfp\b|memfile"),
    "python3": (python3, r"^_PyRuntime\b"),
    "sqlite3": (sqlite3, r"->\[\*\]$"),
}


def pid_of(process, name):
    """The program itself where `script` runs it."""
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(children[0]) if name == "vim" else process.pid


def look(holdfast, folder, name):
    global failures
    start, wanted = PROGRAMS[name]
    process, note = start(folder)
    dump = folder / f"{name}.hfd"
    for old in (dump, folder / f"{name}.hfdb"):
        old.unlink(missing_ok=True)
    subprocess.run([holdfast, "dump", str(pid_of(process, name)), "-o", dump], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    process.kill()
    process.wait()
    sys.stdout.flush()
    report = json.loads(subprocess.run([holdfast, "report", dump, "--json"], stdout=subprocess.PIPE, check=True,
                                       stderr=subprocess.DEVNULL).stdout)
    first = report["suspects"][0]
    root = json.loads(answers([holdfast, "top", dump, "--by", "root", "-n", "1", "--json"]))["rows"][0]
    share = 100 * root["held_size"] / report["live_size"]
    ok = share >= LEAST_PERCENT and re.search(wanted, first["path"])
    failures += not ok
    print(f"{'ok  ' if ok else 'FAIL'} {name}: {report['live_size'] / 2**20:.1f} MiB live; {note}\n"
          f"     root {root['name']} holds {share:.1f} %\n"
          f"     {first['path']}  holds {first['share']:.1f} %, "
          f"retains {100 * first['retained_size'] / report['live_size']:.1f} %")
    if first["retained_size"] < first["held_size"] / 2:
        largest = json.loads(answers([holdfast, "top", dump, "--sort", "held", "-n", "1", "--json"]))["rows"][0]["addr"]
        who = json.loads(answers([holdfast, "who", dump, first["point_addr"] or first["addr"] or largest, "--json"]))
        for word in who.get("also_holds", [])[:3]:
            print(f"     also reached from {word['from']} ({word['bytes']} bytes)")


def main(holdfast, folder):
    folder = pathlib.Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for name in PROGRAMS:
        look(os.path.abspath(holdfast), folder, name)
    return 1 if failures else 0


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
