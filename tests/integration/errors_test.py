"""Dumps that cannot be written: one line each, the program goes on, nothing stays.

usage: errors_test.py HOLDFAST TARGET paths|numbers|limit|mounts|quota|killed|eintr
"""
import errno
import os
import pathlib
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time

from harness import Failure, Holdfast, expect

N_NODES = "300000"


class Target:
    """A target under the library that dumps itself where it is told to."""

    def __init__(self, holdfast, target, fsize=None):
        def limit():
            if fsize:
                resource.setrlimit(resource.RLIMIT_FSIZE, (fsize, fsize))
        self.process = subprocess.Popen([*holdfast.run_command(), target, "plain", N_NODES], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=limit)
        expect("the target says", self.process.stdout.readline(), "ready\n")

    def refused(self, path, error, text):
        """A dump fails by that error, with one line that says so."""
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        expect(f"dump to {pathlib.Path(path).name}", errno.errorcode.get(-int(self.process.stdout.readline())),
               errno.errorcode[error])
        line = self.process.stderr.readline()
        if text.lower() not in line.lower() or not line.startswith("holdfast: no dump was written: "):
            raise Failure(f"it says «{line}», not «{text}»")

    def end(self):
        self.process.stdin.write("end\n")
        self.process.stdin.flush()
        _, err = self.process.communicate(timeout=60)
        expect("end, and nothing else was said", (self.process.returncode, err), (0, ""))


def paths(holdfast, target):
    folder = holdfast.folder
    t = Target(holdfast, target)
    t.refused(folder / "no" / "x.hfd", errno.ENOENT, "No such file")
    (folder / "there.hfd").write_text("mine")
    t.refused(folder / "there.hfd", errno.EEXIST, "never replaces")
    (folder / "link.hfd").symlink_to(folder / "nowhere")
    t.refused(folder / "link.hfd", errno.EEXIST, "never replaces")
    t.refused(folder, errno.EEXIST, "never replaces")
    t.refused(folder / ("n" * 300), errno.ENAMETOOLONG, "too long")
    t.refused(folder / "there.hfd" / "x.hfd", errno.ENOTDIR, "Not a directory")
    t.refused("/proc/x.hfd", errno.ENOENT, "cannot create")
    t.end()
    expect("what is there", sorted(p.name for p in folder.iterdir()), ["link.hfd", "there.hfd"])
    expect("and was before", (folder / "there.hfd").read_text(), "mine")


def numbers(holdfast, target):
    """Files of an earlier run: %n goes on behind them, as long as max allows; without %n nothing is replaced."""
    folder = holdfast.folder
    for i in (1, 2, 4):
        (folder / f"run.{i}.hfd").write_text("mine")
    (folder / "run.5.hfd").symlink_to(folder / "nowhere")
    words = [holdfast.command, "run", "-o", str(folder / "run.%n.hfd"), "--max-dumps", "2", "--", target, "plain", "100"]
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as t:
        expect("the target says", t.stdout.readline(), "ready\n")
        for name in ("run.3.hfd", "run.6.hfd"):
            os.kill(t.pid, signal.SIGUSR2)
            expect("it says", t.stderr.readline(), f"holdfast: signal USR2: heap dump in {folder / name}\n")
            holdfast("verify", folder / name)
        os.kill(t.pid, signal.SIGUSR2)
        expect("no more than max", "no more dumps" in t.stderr.readline(), True)
        t.communicate("end\n", timeout=60)
    expect("what was there", [(folder / f"run.{i}.hfd").read_text() for i in (1, 2, 4)], ["mine"] * 3)
    (folder / "one.hfd").write_text("mine")
    words[3] = str(folder / "one.hfd")
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as t:
        t.stdout.readline()
        os.kill(t.pid, signal.SIGUSR2)
        expect("without %n", "never replaces" in t.stderr.readline(), True)
        t.communicate("end\n", timeout=60)
    expect("it", (folder / "one.hfd").read_text(), "mine")


def quota(holdfast, target):
    """EDQUOT, of a file system with quotas: btrfs here, whose quotas hold for root too."""
    if os.geteuid() != 0 or not shutil.which("mkfs.btrfs"):
        print("SKIPPED: takes root and mkfs.btrfs (btrfs-progs)")
        return 77
    image, place = holdfast.folder / "image", holdfast.folder / "fs"
    place.mkdir()
    with open(image, "wb") as file:
        file.truncate(256 << 20)
    subprocess.run(["mkfs.btrfs", "-q", image], check=True)
    done = subprocess.run(["mount", "-o", "loop", image, place], capture_output=True, text=True)
    if done.returncode:
        print(f"SKIPPED: no btrfs can be mounted here: {done.stderr}")
        return 77
    try:
        for words in (["quota", "enable", place], ["subvolume", "create", place / "sub"],
                      ["qgroup", "limit", "64K", place / "sub"]):
            subprocess.run(["btrfs", *map(str, words)], check=True, stdout=subprocess.DEVNULL)
        t = Target(holdfast, target)
        t.refused(place / "sub" / "x.hfd", errno.EDQUOT, "quota")
        expect("what is there", list((place / "sub").iterdir()), [])
        t.end()
        words = [holdfast.command, "run", "-o", str(place / "sub" / "%n.hfd"), "--on-exit", "--", target, "plain", N_NODES]
        done = subprocess.run(words, input="end\n", capture_output=True, text=True)
        expect("at exit", (done.returncode, len(done.stderr.splitlines()), "quota" in done.stderr.lower()), (0, 1, True))
    finally:
        subprocess.run(["umount", "-l", place], check=True)
    return 0


def limit(holdfast, target):
    """RLIMIT_FSIZE: no SIGXFSZ."""
    t = Target(holdfast, target, fsize=4096)
    t.refused(holdfast.folder / "x.hfd", errno.EFBIG, "File too large")
    t.end()
    expect("what is there", list(holdfast.folder.iterdir()), [])


def mounts(holdfast, target):
    """A full and a read-only file system."""
    if os.geteuid() != 0:
        print("SKIPPED: to mount a file system takes root")
        return 77
    place = holdfast.folder / "fs"
    place.mkdir()
    done = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16k,mode=700", "holdfast-test", place], capture_output=True)
    if done.returncode:
        print(f"SKIPPED: no file system can be mounted here: {done.stderr}")
        return 77
    try:
        (place / "filler").write_bytes(b"x" * 8192)
        t = Target(holdfast, target)
        t.refused(place / "x.hfd", errno.ENOSPC, "No space left")
        expect("what is there", [p.name for p in place.iterdir()], ["filler"])
        subprocess.run(["mount", "-o", "remount,ro", place], check=True)
        t.refused(place / "x.hfd", errno.EROFS, "Read-only")
        t.end()
    finally:
        subprocess.run(["umount", "-l", place], check=True)
    return 0


def killed(holdfast, target):
    """Nothing stays of a dump whose writer is killed, where the file system has unnamed files."""
    try:
        os.close(os.open(holdfast.folder, os.O_TMPFILE | os.O_WRONLY))
    except OSError:
        print("SKIPPED: the file system of the test has no unnamed files")
        return 77
    process = subprocess.Popen([*holdfast.run_command(), target, "plain", "3000000"], stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True)
    process.stdout.readline()
    os.kill(process.pid, signal.SIGUSR2)
    snapshot = None
    while snapshot is None:
        for entry in filter(str.isdigit, os.listdir("/proc")):
            try:
                if pathlib.Path(f"/proc/{entry}/comm").read_text() == "holdfast-dump\n" and \
                        os.readlink(f"/proc/{entry}/exe") == os.path.realpath(target):
                    snapshot = int(entry)
            except OSError:
                continue
    written = 0
    while not written:  # until it has begun to write
        for fd in os.listdir(f"/proc/{snapshot}/fd"):
            path = f"/proc/{snapshot}/fd/{fd}"
            try:
                if str(holdfast.folder) in os.readlink(path):
                    written = os.stat(path).st_size
            except OSError:
                continue
    os.kill(snapshot, signal.SIGKILL)
    time.sleep(0.2)
    expect("what stays", list(holdfast.folder.iterdir()), [])
    process.stdin.write("end\n")
    process.communicate(timeout=60)
    expect("end", process.returncode, 0)
    return 0


def eintr(holdfast, target):
    """Reads and writes that are interrupted are made again."""
    if not shutil.which("strace"):
        print("SKIPPED: strace is not here")
        return 77
    tool = str(pathlib.Path(holdfast.command).with_name("holdfast-dump"))
    t = Target(holdfast, target)
    # Neither the loader tries its first reads again nor stdio its last write.
    for calls, when in (("write", "1..4"), ("read,pread64", "60..80+2")):
        path = holdfast.folder / f"{calls}.hfd"
        log = holdfast.folder / "log"
        subprocess.run(["strace", "-f", "-qq", "-o", log, "-e", f"trace={calls}", "-e", f"inject={calls}:error=EINTR:when={when}",
                        tool, str(t.process.pid), "-o", path], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        injected = log.read_text().count("(INJECTED)")
        print(f"{injected} {calls} interrupted")
        expect("some were", injected > 2, True)
        held = holdfast.load(path).execute("SELECT held_count FROM variable WHERE name = 'g_list'").fetchone()
        expect("nodes", held, (int(N_NODES),))
    t.end()
    return 0


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as test_folder:
        try:
            sys.exit(globals()[sys.argv[3]](Holdfast(sys.argv[1], test_folder), sys.argv[2]))
        except Failure as failure:
            sys.exit(f"FAIL {failure}")
