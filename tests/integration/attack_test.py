"""Attacks on a dump: its processes are killed, it is asked for without end, and by programs that do
what ordinary ones do not.

usage: attack_test.py HOLDFAST SCENARIO TARGET [N]
"""
import os
import pathlib
import random
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import time

import compare
import stress
from harness import Failure, Holdfast
from manifest import Manifest
from outside_kit import NOBODY, Skip, Target, check_manifest, expect

SKIPPED = 77


def library_of(holdfast):
    return str(pathlib.Path(holdfast.command).parent.parent / "lib" / "libholdfast.so")


def environment(holdfast, **keys):
    words = ",".join(f"{key}={value}" for key, value in keys.items())
    return {**os.environ, "LD_PRELOAD": library_of(holdfast), "HOLDFAST": words}


def snapshots_of(pid, session):
    """Processes of a dump that is being made: the target's session, but neither it nor its threads."""
    found = []
    for name in os.listdir("/proc"):
        try:
            if name.isdigit() and int(name) != pid and stress.session_of(name) == session:
                found.append(int(name))
        except OSError:
            pass
    return found


def kill(holdfast, folder, target, n):
    """kill -9 of whatever makes the dump, at random moments."""
    random.seed(3)
    n_threads, n_killed = 4, 0
    env = environment(holdfast, out=f"{folder}/%n.hfd", max=100000)
    with Target(target, folder, "--objects", "1e5", "--threads", str(n_threads), "--churn-during", env=env) as t:
        session = os.getsid(t.pid)
        ours = set(snapshots_of(t.pid, session)) | {os.getpid()}
        for _ in range(n):
            os.kill(t.pid, signal.SIGUSR2)
            time.sleep(random.random() ** 2 * 0.15)
            for pid in set(snapshots_of(t.pid, session)) - ours:
                try:
                    if stress.read_proc(pid, "environ") == t.proc("environ"):
                        os.kill(pid, signal.SIGKILL)
                        n_killed += 1
                except OSError:
                    pass
        stress.wait_for_no_others(folder, {t.pid, os.getpid()})
        t.check_whole(n_threads)
        whole = list(holdfast.folder.glob("*.hfd"))
        for dump in whole:
            holdfast("verify", dump)
        expect(n_killed >= n / 3, f"only {n_killed} of {n} were killed")
        # And the target can be dumped as ever.
        for left in [*whole, *holdfast.folder.glob("*.tmp")]:
            left.unlink()
        os.kill(t.pid, signal.SIGUSR2)
        after = holdfast.wait_for_dump()
        holdfast("verify", after)
        missing = list(compare.Comparison(Manifest(t.manifest_path), holdfast.load(after)).objects())
        expect(not missing, f"objects are missing: {missing[:5]}")
        t.finish()
    print(f"{n} dumps, {n_killed} killed, {len(whole)} whole; nothing else under a final name")


def in_a_row(holdfast, folder, target, n):
    """Dump after dump by each way leaves nothing behind in the target."""
    env = environment(holdfast, out=f"{folder}/%n.hfd", max=100000)
    with Target(target, folder, "--objects", "2e3", "--threads", "3", env=env) as t:
        def by_signal(i):
            # The thread that was signalled last may still be on its way out of the handler: then
            # another one takes the signal, which makes no dump.
            dump = holdfast.folder / f"{i}.hfd"
            for _ in range(100):
                os.kill(t.pid, signal.SIGUSR2)
                until = time.monotonic() + 1
                while not dump.exists() and time.monotonic() < until:
                    time.sleep(0.002)
                if dump.exists():
                    break
            dump.unlink()

        def by_pid(i):
            holdfast("dump", t.pid, "-o", f"{folder}/pid.{i}.hfd")
            if i != n:
                (holdfast.folder / f"pid.{i}.hfd").unlink()

        for take in (by_signal, by_pid):
            take(1)
            before = stress.Footprint(t.pid)
            for i in range(2, n + 1):
                take(i)
            t.check_whole(3)
            before.expect_same(stress.Footprint(t.pid), take.__name__)
            print(f"{n} dumps {take.__name__}: {len(before.descriptors)} descriptors, {sum(before.maps.values())} mappings "
                  f"before and after")
        check_manifest(holdfast, holdfast.folder / f"pid.{n}.hfd", t.manifest_path, 3)
        t.finish()


def api(holdfast, folder, target, n):
    """The same by the API."""
    env = environment(holdfast, out=f"{folder}/%n.hfd", max=100000)
    with subprocess.Popen([target, "api", str(n)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=env) as process:
        footprints = []
        for i in (1, n):
            line = process.stdout.readline()
            expect(line == f"dumped {i}\n", f"said «{line}», not dumped {i}")
            footprints.append(stress.Footprint(process.pid))
            process.stdin.write("\n")
            process.stdin.flush()
        expect(process.wait(timeout=60) == 0, f"exit status {process.returncode}")
    footprints[0].expect_same(footprints[1], "by the API")
    dumps = list(holdfast.folder.glob("*.hfd"))
    expect(len(dumps) == n, f"{len(dumps)} dumps, not {n}")
    holdfast("verify", dumps[-1])
    print(f"{n} dumps by the API: {sum(footprints[0].maps.values())} mappings before and after")


def run(holdfast, folder, command, status=0, env=None, **more):
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=folder,
                          env=env or environment(holdfast, out=f"{folder}/%p.%n.hfd"), **more)
    print(f"  {' '.join(map(str, command[-2:]))}: exit status {done.returncode}: {done.stdout!r} {done.stderr!r}")
    expect(done.returncode == status, f"exit status {done.returncode}, not {status}: {done.stderr}")
    stress.wait_for_no_others(folder, {os.getpid()})
    dumps = sorted(holdfast.folder.glob("*.hfd"), key=lambda p: p.stat().st_mtime)
    expect(not list(holdfast.folder.glob("*.tmp")), "a temporary file is left")
    return done, dumps


def clear(dumps):
    for dump in dumps:
        dump.unlink()


def check(holdfast, dumps, n, partial=False):
    expect(len(dumps) == n, f"{len(dumps)} dumps, not {n}")
    for dump in dumps:
        holdfast("verify", dump, status=4 if partial else 0)
        held = holdfast.load(dump).execute("SELECT held_count FROM variable WHERE name = 'g_objects'").fetchone()
        expect(held == (1000,), f"{dump.name}: g_objects holds {held} objects, not 1000")
        dump.with_suffix(".hfdb").unlink()
    clear(dumps)


def triggers(holdfast, folder, target, _):
    """Signals and the API, from any thread, in any state of the signal."""
    done, dumps = run(holdfast, folder, [target, "threads", "8"])
    expect(done.stdout == "all 8 dumped\n", done.stdout)
    check(holdfast, dumps, 8)
    done, dumps = run(holdfast, folder, [target, "signal-thread"])
    expect(done.stdout == "threads signalled\n", done.stdout)
    # On a busy machine one may come while the dump before is still being taken, or two are being written.
    refused = done.stderr.count("this signal makes none")
    expect(len(dumps) >= 1 and len(dumps) + refused == 4, f"{len(dumps)} dumps, {refused} refused")
    expect(done.stderr.count("signal USR2: heap dump in ") == len(dumps), done.stderr)
    check(holdfast, dumps, len(dumps))
    done, dumps = run(holdfast, folder, [target, "blocked"])
    expect(done.stdout == "pending 1\npending 0\n", done.stdout)
    check(holdfast, dumps, 1)
    done, dumps = run(holdfast, folder, [target, "ignore", target, "handler-before"])
    check(holdfast, dumps, 1)
    done, dumps = run(holdfast, folder, [target, "handler-after"])
    expect(done.stdout == "before default\nhandled 1\n", done.stdout)
    expect(len(done.stderr.splitlines()) == 1 and "its handler stays" in done.stderr, done.stderr)
    check(holdfast, dumps, 0)


def family(holdfast, folder, target, _):
    """Processes that share the library's memory by fork dump themselves at the same time."""
    done, dumps = run(holdfast, folder, [target, "family", "6"])
    expect(done.stdout == "0 children failed\n", done.stdout)
    check(holdfast, dumps, 60)


def writers(folder):
    """Snapshots that have begun to write."""
    found = set()
    for pid in stress.processes_of(folder):
        try:
            files = [os.readlink(f"/proc/{pid}/fd/{fd}") for fd in os.listdir(f"/proc/{pid}/fd")]
            # A file without a name, or of a temporary one where the file system has no such.
            if any(file.startswith(folder) and file.endswith((" (deleted)", ".tmp")) for file in files):
                found.add(pid)
        except OSError:
            pass
    return found


def unfinished(holdfast, folder, target, _):
    """While two dumps by signal are being written, a third is refused; not for ever."""
    refusal = "holdfast: two dumps are still being written: this signal makes none\n"
    env = environment(holdfast, out=f"{folder}/%n.hfd", max=100000)
    with open(f"{folder}/said", "w+", encoding="utf-8") as said, \
            Target(target, folder, "--objects", "1e6", "--threads", "1", env=env, stderr=said) as t:
        stopped = set()
        for _ in range(100):  # a snapshot may be done before it is seen
            os.kill(t.pid, signal.SIGUSR2)
            until = time.monotonic() + 2
            while not (new := writers(folder) - stopped) and time.monotonic() < until:
                pass
            for pid in new:
                os.kill(pid, signal.SIGSTOP)
                if pid in writers(folder):
                    stopped.add(pid)
                else:
                    os.kill(pid, signal.SIGCONT)
            if len(stopped) == 2:
                break
        expect(len(stopped) == 2, f"{len(stopped)} snapshots were met at work")
        stress.wait_for_no_others(folder, {t.pid, os.getpid(), *stopped})
        before = len(list(holdfast.folder.glob("*.hfd")))

        def count(line):
            return pathlib.Path(said.name).read_text(encoding="utf-8").count(line)

        def says(line, n):
            until = time.monotonic() + 60
            while count(line) < n:
                expect(time.monotonic() < until, f"not said {n} times: {line!r}")
                time.sleep(0.01)

        for n in (1, 2):
            os.kill(t.pid, signal.SIGUSR2)
            says(refusal, n)
        # One that was killed is no longer being written.
        os.kill(stopped.pop(), signal.SIGKILL)
        until = time.monotonic() + 60
        while count("heap dump in ") == before:  # it may take a moment to end
            expect(time.monotonic() < until, "no dump is made after one was killed")
            os.kill(t.pid, signal.SIGUSR2)
            time.sleep(1)
        os.kill(stopped.pop(), signal.SIGCONT)
        stress.wait_for_no_others(folder, {t.pid, os.getpid()})
        t.finish()
        dumps = list(holdfast.folder.glob("*.hfd"))
        expect(len(dumps) == count("heap dump in ") >= before + 2, f"{len(dumps)} dumps, {before} before")
    for dump in dumps[-2:]:
        holdfast("verify", dump)


def descriptors(holdfast, folder, target, _):
    """No word of the library goes into a file that has got number 2."""
    _, dumps = run(holdfast, folder, [target, "descriptors"], status=6)
    check(holdfast, dumps, 3)
    expect((holdfast.folder / "precious").read_text() == "mine\n", "the program's file was written to")


def need_root():
    if os.geteuid():
        raise Skip("needs root")


def namespaces(holdfast, folder, target, _):
    """A process whose /proc shows others, or nothing."""
    need_root()
    # /proc of outside: what it calls the pid is another process there.
    done, dumps = run(holdfast, folder, [target, "pidns"])
    expect(done.stdout.endswith("child 4\n"), done.stdout)
    if dumps:
        check(holdfast, dumps, 1, partial="No data" in done.stdout)
    done, dumps = run(holdfast, folder, [target, "noproc"])
    expect(done.stdout.endswith("child 4\n") and "dumped" not in done.stdout, done.stdout)
    expect(not dumps and len(done.stderr.splitlines()) == 1, f"{dumps} {done.stderr}")


def setuid(holdfast, folder, target, _):
    """In a set-user-ID program the library does nothing."""
    need_root()
    linked = shutil.copy(target + "_linked", folder)
    os.chmod(folder, 0o755)
    env = {**os.environ, "HOLDFAST": f"out={folder}/%p.%n.hfd,exit=1,every=1"}
    done, dumps = run(holdfast, folder, [linked, "linked"], env=env)
    expect(done.stdout == "holdfast_dump: dumped\nalive\n", done.stdout)
    expect(len(dumps) == 3, f"{len(dumps)} dumps of the ordinary program")
    clear(dumps)
    library = pathlib.Path(library_of(holdfast))
    if not all(parent.stat().st_mode & stat.S_IXOTH for parent in library.parents):
        raise Skip(f"another user cannot reach {library}, and a set-user-ID program looks nowhere else")
    os.chown(linked, NOBODY, NOBODY)
    os.chmod(linked, 0o755 | stat.S_ISUID)
    os.chmod(folder, 0o777)
    done, dumps = run(holdfast, folder, [linked, "linked"], status=-signal.SIGUSR2, env=env)
    expect(done.stdout == "holdfast_dump: Function not implemented\n" and done.stderr == "", done.stdout + done.stderr)
    expect(not dumps, f"{dumps} were made")
    env["LD_PRELOAD"] = library_of(holdfast)
    done, dumps = run(holdfast, folder, [linked, "linked"], status=-signal.SIGUSR2, env=env)
    expect(not dumps and "holdfast:" not in done.stderr, f"{dumps} {done.stderr}")


def main(holdfast_path, scenario, target, n="0"):
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as folder:
        globals()[scenario](Holdfast(holdfast_path, folder), folder, os.path.abspath(target), int(n))


if __name__ == "__main__":
    signal.alarm(1200)
    try:
        main(*sys.argv[1:])
    except Skip as skip:
        print(f"SKIPPED: {skip}")
        sys.exit(SKIPPED)
    except Failure as failure:
        print(f"FAIL {failure}")
        sys.exit(1)
