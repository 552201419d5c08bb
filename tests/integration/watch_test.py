"""Dumps that come by themselves: at a threshold of resident memory, of a control group's limit, and
by time; each made to really happen. And what the thread that watches must not do to a program.

usage: watch_test.py HOLDFAST TARGET SCENARIO
"""
import contextlib
import os
import pathlib
import re
import signal
import subprocess
import sys
import tempfile
import time

from harness import Failure, Holdfast, expect, run_target

SKIPPED = 77
MIB = 1 << 20
NOBODY = 65534


class Skip(Exception):
    """Cannot be tested here; the message says why."""


def expect_true(what, condition, found=""):
    if not condition:
        raise Failure(f"{what}: {found}")
    print(f"ok   {what}{': ' if found != '' else ''}{found}")


def dumps_of(holdfast):
    return sorted(holdfast.folder.glob("*.hfd"), key=lambda p: int(p.stem.split(".")[-1]))


def held(holdfast, dump):
    """Nodes that g_list holds."""
    row = holdfast.load(dump).execute("SELECT held_count FROM variable WHERE name = 'g_list'").fetchone()
    return row[0] if row else 0


def check_dump(holdfast, dump, trigger):
    """Whole, with its reason, and none of our threads in it; the nodes that g_list holds."""
    holdfast("verify", dump)
    process = holdfast.json("info", dump)["process"]
    expect_true("trigger", re.fullmatch(trigger, process["trigger"]), process["trigger"])
    n_threads = holdfast.load(dump).execute("SELECT count(*) FROM thread").fetchone()[0]
    expect("threads in the dump", n_threads, 1)
    return held(holdfast, dump)


def check_line(stderr, reason, dump):
    line = f"holdfast: {reason}: heap dump in {dump}"
    expect_true("one line on stderr", re.fullmatch(rf"holdfast: {reason}: heap dump in {re.escape(str(dump))}\n", stderr),
                stderr if line else "")


RSS = r"rss: \d+\.\d MiB resident, more than 48\.0 MiB"


def rss(holdfast, target):
    done = run_target([*holdfast.run_command("--at-rss", "48M"), target, "grow", "96", "1000"])
    expect("output", done.stdout, "nodes 96\n")
    dumps = dumps_of(holdfast)
    expect("dumps", len(dumps), 1)
    check_line(done.stderr, RSS, dumps[0])
    nodes = check_dump(holdfast, dumps[0], RSS)
    # From 48 MiB on; how late depends on how the machine is used.
    expect_true("nodes at the dump", 44 <= nodes <= 90, nodes)
    # All at once.
    for dump in dumps:
        dump.unlink()
    run_target([*holdfast.run_command("--at-rss", "48M"), target, "idle", "96", "400"])
    expect("dumps of fast growth", len(dumps_of(holdfast)), 1)
    for dump in dumps_of(holdfast):
        dump.unlink()
    run_target([*holdfast.run_command("--at-rss", "1G"), target, "grow", "20", "100"])
    expect("dumps below the threshold", len(dumps_of(holdfast)), 0)


def fork(holdfast, target):
    """A child is watched too."""
    done = run_target([*holdfast.run_command("--at-rss", "48M"), target, "fork", "96", "500"])
    expect("lines on stderr", len(done.stderr.splitlines()), 2)
    pids = {dump.stem.split(".")[-2] for dump in dumps_of(holdfast)}
    expect("processes dumped", len(pids), 2)
    for old in dumps_of(holdfast):
        old.unlink()
    # And a program that another one becomes.
    run_target([*holdfast.run_command("--at-rss", "48M"), target, "exec", "96", "500"])
    expect("dumps after exec", len(dumps_of(holdfast)), 1)


def cgroup_of(line_start):
    """This process's path in a hierarchy of control groups; None: in none."""
    for line in pathlib.Path("/proc/self/cgroup").read_text(encoding="ascii").splitlines():
        number, controllers, path = line.split(":", 2)
        if line_start in controllers.split(",") or (not line_start and number == "0"):
            return path
    return None


@contextlib.contextmanager
def group(kind):
    """A control group of our own, of version 1 or 2."""
    if os.geteuid():
        raise Skip("control groups need root")
    mounts = pathlib.Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()
    for _, point, fs, options, *_ in (line.split() for line in mounts):
        if kind == "v1" and fs == "cgroup" and "memory" in options.split(","):
            parents = [pathlib.Path(point + (cgroup_of("memory") or "")), pathlib.Path(point)]
            break
        if kind == "v2" and fs == "cgroup2":
            if "memory" not in pathlib.Path(point, "cgroup.controllers").read_text(encoding="ascii").split():
                raise Skip("the memory controller is not in version 2's hierarchy here; tests/unit/frontend/test_cgroup.c has "
                           "a tree that is made up")
            parents = [pathlib.Path(point)]
            break
    else:
        raise Skip(f"no control groups of {kind} with the memory controller are mounted here")
    for parent in parents:
        folder = parent / f"holdfast-test-{os.getpid()}"
        try:
            if kind == "v2":
                pathlib.Path(parent, "cgroup.subtree_control").write_text("+memory", encoding="ascii")
            folder.mkdir()
            break
        except OSError as error:
            problem = error
    else:
        raise Skip(f"no control group can be made here: {problem}")
    try:
        yield folder
    finally:
        for _ in range(100):
            with contextlib.suppress(OSError):
                folder.rmdir()
                break
            time.sleep(0.05)


def limit(folder, kind, size):
    (folder / ("memory.limit_in_bytes" if kind == "v1" else "memory.max")).write_text(str(size), encoding="ascii")


def run_in(folder, command, timeout=120, **options):
    def enter():
        (folder / "cgroup.procs").write_text(str(os.getpid()), encoding="ascii")
    return subprocess.run(command, capture_output=True, text=True, timeout=timeout, preexec_fn=enter, **options)


def cgroup(holdfast, target, kind):
    with group(kind) as folder:
        limit(folder, kind, 100 * MIB)
        reason = rf"cgroup: \d+ % of 100\.0 MiB in use in {re.escape(str(folder))}"
        done = run_in(folder, [*holdfast.run_command("--at-cgroup", "60"), target, "grow", "80", "1000"])
        expect("exit status and output", (done.returncode, done.stdout), (0, "nodes 80\n"))
        dumps = dumps_of(holdfast)
        expect("dumps", len(dumps), 1)
        check_line(done.stderr, reason, dumps[0])
        nodes = check_dump(holdfast, dumps[0], reason)
        expect_true("nodes at the dump", 50 <= nodes <= 79, nodes)
        dumps[0].unlink()
        # Until the kernel kills it.
        done = run_in(folder, [*holdfast.run_command("--at-cgroup", "60"), target, "grow", "200", "500"])
        expect("exit status of the killed program", done.returncode in (-signal.SIGKILL, 128 + signal.SIGKILL), True)
        until = time.monotonic() + 30
        while not dumps_of(holdfast) and time.monotonic() < until:
            time.sleep(0.05)
        expect("dumps of the killed program", len(dumps_of(holdfast)), 1)
        holdfast("verify", dumps_of(holdfast)[0])
        dumps_of(holdfast)[0].unlink()
        # A limit above counts as well; and file pages do not.
        inner = folder / "inner"
        inner.mkdir()
        try:
            big = holdfast.folder / "big"
            write = ["dd", "if=/dev/zero", f"of={big}", "bs=1M", "count=150", "status=none"]
            script = f"{' '.join(write)}; exec \"$@\""
            done = run_in(inner, ["sh", "-c", script, "sh", *holdfast.run_command("--at-cgroup", "60"), target, "grow", "20",
                                  "300"])
            expect("dumps of a group full of file pages", (done.returncode, len(dumps_of(holdfast))), (0, 0))
            big.unlink()
            done = run_in(inner, [*holdfast.run_command("--at-cgroup", "60"), target, "grow", "80", "500"])
            expect("dumps at the limit above", (done.returncode, len(dumps_of(holdfast))), (0, 1))
            dumps_of(holdfast)[0].unlink()
        finally:
            for _ in range(100):
                with contextlib.suppress(OSError):
                    inner.rmdir()
                    break
                time.sleep(0.05)
        # Where nothing limits, it says so and goes on.
        limit(folder, kind, -1 if kind == "v1" else "max")
        done = run_in(folder, [*holdfast.run_command("--at-cgroup", "60"), target, "grow", "10", "50"])
        above = [line for line in done.stderr.splitlines() if "no control group" in line]
        print(f"ok   without a limit: {above or 'there is one above'}")


def every(holdfast, target):
    started = time.monotonic()
    done = run_target([*holdfast.run_command("--every", "1", "--keep", "2"), target, "grow", "45", "4600"])
    seconds = time.monotonic() - started
    lines = done.stderr.splitlines()
    expect_true("dumps in 4.6 s", 3 <= len(lines) <= int(seconds), len(lines))
    numbers = [int(dump.stem.split(".")[-1]) for dump in dumps_of(holdfast)]
    # One under way when the program ends becomes whole, with nobody left to say so or to remove the oldest.
    late = numbers[2:] == [len(lines) + 1]
    expect("the newest two are kept", numbers[:2] if late else numbers, [len(lines) - 1, len(lines)])
    for line in lines:
        expect_true("line", re.fullmatch(r"holdfast: every 1 s: heap dump in \S+\.hfd", line))
    grown = [check_dump(holdfast, dump, "every 1 s") for dump in dumps_of(holdfast)]
    expect_true("nodes grow from dump to dump", grown[0] < grown[1], grown)
    left = sorted(p.name for p in holdfast.folder.iterdir() if p.suffix not in (".hfd", ".hfdb"))
    expect("profiles, those of the kept", left, [dump.stem + ".hfp.pb.gz" for dump in dumps_of(holdfast)])


def most(holdfast, target):
    """max= counts; those of every= only if it is given."""
    done = run_target([*holdfast.run_command("--every", "1", "--max-dumps", "2"), target, "grow", "30", "4500"])
    expect("dumps with --max-dumps 2", len(dumps_of(holdfast)), 2)
    expect("lines on stderr", len(done.stderr.splitlines()), 3)
    expect_true("the last says why there is no more", "no dump: as many as max=" in done.stderr.splitlines()[-1])
    for dump in dumps_of(holdfast):
        dump.unlink()
    done = run_target([*holdfast.run_command("--at-rss", "20M", "--max-dumps", "1", "--on-exit"), target, "grow", "60", "300"])
    expect("one of two triggers", len(dumps_of(holdfast)), 1)


def several(holdfast, target):
    """All triggers at once: each gets its dump, or says that another is under way."""
    with subprocess.Popen([*holdfast.run_command("--every", "1", "--at-rss", "30M", "--at-cgroup", "99", "--on-exit",
                                                 "--max-dumps", "1000"), target, "grow", "60", "2500"],
                          stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        time.sleep(0.5)
        n_signals = 0
        # Not for ever: where a dump takes longer than the time between two signals, the program
        # would get nowhere, and be dumped by a signal when it exits.
        while process.poll() is None and n_signals < 60:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGUSR2)
            n_signals += 1
            time.sleep(0.02)
        out, err = process.communicate()
    expect("exit status and output", (process.returncode, out), (0, "nodes 60\n"))
    triggers = {}
    until = time.monotonic() + 60
    while list(holdfast.folder.glob("*.tmp")) and time.monotonic() < until:
        time.sleep(0.05)
    for dump in dumps_of(holdfast):
        name = holdfast.json("info", dump)["process"]["trigger"].split()[0]
        triggers[name] = triggers.get(name, 0) + 1
    refused = sum("this signal makes none" in line for line in err.splitlines())
    print(f"     {n_signals} signals; dumps: {triggers}; {refused} signals came while one was made")
    expect("triggers", set(triggers), {"signal", "every", "rss:", "exit"})
    expect_true("signals are all accounted for", triggers["signal"] + refused <= n_signals)
    expect("by rss and at exit", (triggers["rss:"], triggers["exit"]), (1, 1))


def uid(holdfast, target):
    """The thread becomes what the program becomes; the dump is the new user's."""
    if os.geteuid():
        raise Skip("needs root, to become another user")
    os.chmod(holdfast.folder, 0o777)
    copy = holdfast.folder / "target"
    copy.write_bytes(pathlib.Path(target).read_bytes())
    copy.chmod(0o755)
    done = run_target([*holdfast.run_command("--at-rss", "48M"), copy, "uid", "96", "800"])
    expect("output", done.stdout, "threads 2\nnodes 96\n")
    dumps = dumps_of(holdfast)
    expect("dumps", len(dumps), 1)
    expect("owner of the dump", dumps[0].stat().st_uid, NOBODY)


def descriptors(holdfast, target):
    """The thread takes no descriptors away, keeps none open, and says nothing into files."""
    done = subprocess.run([*holdfast.run_command("--every", "1", "--at-rss", "1G", "--at-cgroup", "99"), target, "descriptors",
                           "3000"], capture_output=True, text=True, timeout=60)
    expect("exit status", (done.returncode, done.stdout), (5, ""))
    expect_true("dumps all the same", len(dumps_of(holdfast)) >= 2, len(dumps_of(holdfast)))
    # A pipe whose other end the program closed is at its end at once.
    read, write = os.pipe()
    with subprocess.Popen([*holdfast.run_command("--at-rss", "1G"), "sh", "-c", f"exec {write}>&-; exec sleep 3"],
                          pass_fds=[write]) as process:
        os.close(write)
        started = time.monotonic()
        os.read(read, 1)
        expect_true("a closed pipe ends", time.monotonic() - started < 2.5)
        process.kill()


def chroot(holdfast, target):
    """Without /proc a dump cannot be made: it is said, and nothing happens."""
    if os.geteuid():
        raise Skip("needs root")
    done = run_target(["sh", "-c", 'cd "$0" && exec "$@"', holdfast.folder, *holdfast.run_command("--at-rss", "48M"), target,
                       "chroot", "96", "500"])
    expect("output", done.stdout, "nodes 96\n")
    print(done.stderr, end="")
    expect_true("one line", len(done.stderr.splitlines()) == 1 and done.stderr.startswith("holdfast: "))


def cost(holdfast, target):
    """Close below the threshold, the most often that it looks."""
    def cpu(*options):
        done = run_target([*options, target, "idle", "40", "2000"])
        return int(re.search(r"cpu (\d+)", done.stdout)[1])
    share = 1.0
    for _ in range(5):  # the least that it costs: others use the machine, too
        without, under = cpu(), cpu(*holdfast.run_command("--at-rss", "64M", "--at-cgroup", "99", "--every", "100"))
        share = min(share, (under - without) / 2000000)
        if share < 0.01:
            break
    expect_true("CPU time of the watching thread below 1 %", share < 0.01, f"{share:.3%}")


def main(holdfast_path, target, scenario):
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as folder:
        holdfast = Holdfast(holdfast_path, folder)
        if scenario.startswith("cgroup"):
            cgroup(holdfast, target, scenario[-2:])
        else:
            globals()[scenario](holdfast, target)


if __name__ == "__main__":
    signal.alarm(300)
    try:
        main(*sys.argv[1:])
    except Skip as skip:
        print(f"SKIPPED: {skip}")
        sys.exit(SKIPPED)
    except Failure as failure:
        print(f"FAIL {failure}")
        sys.exit(1)
