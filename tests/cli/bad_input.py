"""What the commands do with files and arguments that are not as they should be.

usage: bad_input.py HOLDFAST HEAP_TARGET [case...]

For each case: the exit status is one the case allows, nothing goes to standard output, exactly one
line goes to standard error, it starts with the command's name and says what the case expects, no signal
ends the command, and no file appears or changes but those the case names.
"""
import os
import pathlib
import random
import re
import resource
import shutil
import signal
import struct
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "integration"))
from harness import Failure, Holdfast

FAILED, USAGE, UNREADABLE, PARTIAL, NOT_PERMITTED = 1, 2, 3, 4, 5
NOBODY = 65534


def crc32c(data):
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (0x82F63B78 if crc & 1 else 0)
    return crc ^ 0xFFFFFFFF


def contents(folder):
    return {p.name: (p.stat().st_size, p.read_bytes()) for p in folder.iterdir() if p.is_file()}


class Bench:
    """A folder with a good dump and its database, and the command."""

    def __init__(self, holdfast, target, folder):
        self.holdfast = Holdfast(holdfast, folder)
        self.folder = pathlib.Path(folder)
        self.folder.chmod(0o755)
        subprocess.run([*self.holdfast.run_command(), target, "--manifest", self.folder / "manifest",
                        "--objects", "1e3"], check=True, timeout=60)
        self.dump = self.holdfast.wait_for_dump()
        self.good = self.dump.read_bytes()
        self.database = self.folder / "good.hfdb"
        self.holdfast("load", self.dump, "-o", self.database)

    def copy_for_all(self):
        """The command where everybody may run it: the build may be in somebody's home."""
        programs = self.folder / "bin"
        programs.mkdir(exist_ok=True)
        for name in ("holdfast", "holdfast-dump"):
            original = pathlib.Path(self.holdfast.command).with_name(name)
            if original.exists():
                shutil.copy(original, programs)
                (programs / name).chmod(0o755)
        return str(programs / "holdfast")

    def file(self, name, data):
        path = self.folder / name
        path.write_bytes(data)
        return path

    def run(self, *args, stdout=subprocess.PIPE, prepare=None):
        command = self.copy_for_all() if prepare == as_nobody else self.holdfast.command
        return subprocess.run([command, *map(str, args)], stdout=stdout, stderr=subprocess.PIPE,
                              stdin=subprocess.DEVNULL, text=True, errors="replace", timeout=60, preexec_fn=prepare)

    def refuse(self, statuses, says, *args, may_change=(), **kwargs):
        """Run a command that must fail in good order."""
        statuses = statuses if isinstance(statuses, tuple) else (statuses,)
        before = contents(self.folder)
        done = self.run(*args, **kwargs)
        where = f"holdfast {' '.join(map(str, args))}: exit status {done.returncode}\n{done.stdout or ''}{done.stderr}"
        if done.returncode not in statuses:
            raise Failure(f"exit status not {statuses}: {where}")
        lines = done.stderr.splitlines()
        if len(lines) != 1 or not re.match("holdfast(-dump)?: ", lines[0]):
            raise Failure(f"not one line starting with «holdfast: »: {where}")
        if not re.search(says, lines[0], re.I):
            raise Failure(f"the message does not say «{says}»: {where}")
        if done.stdout:
            raise Failure(f"there is standard output: {where}")
        after = contents(self.folder)
        changed = {n for n in before.keys() | after.keys() if before.get(n) != after.get(n)} - set(may_change)
        if changed:
            raise Failure(f"files appeared or changed ({sorted(changed)}): {where}")

    def survive(self, statuses, *args):
        """Run a command over damage: one of these exit statuses, and it says what is wrong."""
        done = self.run(*args)
        said = {0: "", PARTIAL: "PARTIAL"}.get(done.returncode, "holdfast: ")
        if done.returncode not in statuses or said.lower() not in (done.stdout + done.stderr).lower():
            raise Failure(f"holdfast {' '.join(map(str, args))}: exit status {done.returncode}\n{done.stdout}{done.stderr}")
        return done


COMMANDS = (["load"], ["report"], ["info"], ["verify"], ["top"], ["leaks"])


def case_missing_file(b):
    for command in COMMANDS:
        b.refuse((FAILED, UNREADABLE), "nothing.hfd.*(no such file|not exist)", *command, b.folder / "nothing.hfd")


def case_not_a_dump(b):
    junk = {
        "empty.hfd": b"",
        "short.hfd": b"HOLD",
        "text.hfd": b"this is no dump\n" * 100,
        "elf.hfd": pathlib.Path(b.holdfast.command).read_bytes()[:4096],
        "zeros.hfd": bytes(4096),
    }
    for name, data in junk.items():
        path = b.file(name, data)
        for command in COMMANDS:
            b.refuse(UNREADABLE, re.escape(name), *command, path)
    (b.folder / "folder.hfd").mkdir()
    for command in COMMANDS:
        b.refuse((FAILED, UNREADABLE), "folder.hfd", *command, b.folder / "folder.hfd")


def with_header(dump, offset, fmt, value):
    """The dump with one header field changed, its checksum right."""
    header_size = struct.unpack_from("<I", dump, 12)[0]
    header = bytearray(dump[:header_size])
    struct.pack_into(fmt, header, offset, value)
    struct.pack_into("<I", header, 60, 0)
    struct.pack_into("<I", header, 60, crc32c(header))
    return bytes(header) + dump[header_size:]


def case_wrong_version(b):
    future = b.file("future.hfd", with_header(b.good, 8, "<H", 99))
    for command in COMMANDS:
        b.refuse(UNREADABLE, r"99\..*\b1\b", *command, future)  # both versions are named
    feature = b.file("feature.hfd", with_header(b.good, 20, "<I", 1 << 31))
    b.refuse(UNREADABLE, "feature", "load", feature)
    # A newer minor version is read.
    newer = b.file("newer.hfd", with_header(b.good, 10, "<H", 77))
    b.survive({0}, "load", newer, "-o", b.folder / "newer.hfdb")


def case_truncated(b):
    """Cut anywhere: unreadable, or partial and said so; never whole."""
    sizes = sorted({0, 1, 63, 64, 65, 104, *range(0, len(b.good), max(1, len(b.good) // 60)),
                    *range(len(b.good) - 26, len(b.good))})
    n_partial = 0
    for size in sizes:
        path = b.file("cut.hfd", b.good[:size])
        n_partial += b.survive({UNREADABLE, PARTIAL}, "verify", path).returncode == PARTIAL
        done = b.survive({UNREADABLE, PARTIAL}, "load", path, "-o", b.folder / "cut.hfdb")
        if (done.returncode == PARTIAL) != (b.folder / "cut.hfdb").exists():
            raise Failure(f"cut to {size} bytes: load ends with {done.returncode}, but the database "
                          f"{'is' if done.returncode == UNREADABLE else 'is not'} there")
        (b.folder / "cut.hfdb").unlink(missing_ok=True)
    if not n_partial:
        raise Failure("no cut dump was read in part")
    print(f"     {len(sizes)} sizes, {n_partial} read in part")


def case_flipped_bits(b):
    """Every byte is under a checksum: verify sees any single flipped bit, and load does not pass
    over one either, but in the index at the end, which it can do without."""
    rng = random.Random(1)
    index = struct.unpack_from("<Q", b.good, len(b.good) - 24)[0]
    positions = [*range(0, 64, 3), *rng.sample(range(len(b.good)), 150), *rng.sample(range(index, len(b.good)), 20)]
    for position in positions:
        data = bytearray(b.good)
        data[position] ^= 1 << rng.randrange(8)
        path = b.file("flipped.hfd", bytes(data))
        b.survive({UNREADABLE, PARTIAL}, "verify", path)
        fine = {0} if position >= index else set()
        b.survive({UNREADABLE, PARTIAL} | fine, "load", path, "-o", b.folder / "flipped.hfdb")
        (b.folder / "flipped.hfdb").unlink(missing_ok=True)
    print(f"     {len(positions)} bits")


def case_database_for_dump(b):
    foreign = b.folder / "foreign.hfdb"
    subprocess.run(["sqlite3", foreign, "CREATE TABLE t (a); INSERT INTO t VALUES (1)"], check=True)
    for command in (["report"], ["top"], ["leaks"], ["sql"], ["who"]):
        extra = {"sql": ["SELECT 1"], "who": ["0x1000"]}.get(command[0], [])
        b.refuse(UNREADABLE, r"foreign\.hfdb", *command, foreign, *extra)
    cut = b.file("cutdb.hfdb", b.database.read_bytes()[:5000])
    b.refuse(UNREADABLE, r"cutdb\.hfdb", "report", cut)
    newer = b.file("newerdb.hfdb", b.database.read_bytes())
    subprocess.run(["sqlite3", newer, "PRAGMA user_version = 999"], check=True, stdout=subprocess.DEVNULL)
    b.refuse(UNREADABLE, "999", "report", newer)


def case_no_object(b):
    for command in ("who", "refs", "tree"):
        done = b.run(command, b.database, "0x10")
        if done.returncode not in (FAILED, UNREADABLE) or "holdfast: 0x10 is in no live object" not in done.stderr:
            raise Failure(f"{command} 0x10: exit status {done.returncode}\n{done.stdout}{done.stderr}")


def case_wrong_sql(b):
    b.refuse((FAILED, USAGE), "elephant", "sql", b.database, "SELECT * FROM elephant")
    b.refuse((FAILED, USAGE), "reading only", "sql", b.database, "DELETE FROM object")


def limit_file_size(size):
    def prepare():
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    return prepare


def case_disk_full(b):
    out = b.folder / "full.hfdb"
    for size in (0, 4096, 65536):
        b.refuse(FAILED, "full.hfdb", "load", b.dump, "-o", out, prepare=limit_file_size(size))
    for command in (["report"], ["top"], ["top", "--json"], ["sql"], ["leaks"]):
        extra = ["SELECT * FROM object"] if command[0] == "sql" else []
        with open("/dev/full", "w") as full:
            b.refuse(FAILED, "(no space|output)", command[0], b.database, *extra, *command[1:], stdout=full)


def case_database_for_core(b):
    b.refuse((FAILED, UNREADABLE), r"good\.hfdb", "dump", "--core", b.database, "-o", b.folder / "x.hfd")


def case_output_exists(b):
    taken = b.file("taken.hfd", b"mine")
    target = subprocess.Popen(["sleep", "60"])
    try:
        b.refuse(FAILED, r"taken\.hfd", "dump", target.pid, "-o", taken)
        link = b.folder / "link.hfd"
        link.symlink_to(b.folder / "elsewhere")
        b.refuse(FAILED, r"link\.hfd", "dump", target.pid, "-o", link)
    finally:
        target.kill()
        target.wait()


def as_nobody():
    os.setgroups([])
    os.setgid(NOBODY)
    os.setuid(NOBODY)


def case_no_permission(b):
    if os.getuid():
        print("     SKIPPED in part: only root can become somebody else")
        return
    secret = b.file("secret.hfd", b.good)
    secret.chmod(0o600)
    b.refuse((FAILED, UNREADABLE), r"secret\.hfd.*permission", "verify", secret, prepare=as_nobody)
    open_dump = b.file("open.hfd", b.good)
    open_dump.chmod(0o644)
    b.refuse((FAILED, NOT_PERMITTED), r"denied\.hfdb.*permission", "load", open_dump, "-o", b.folder / "denied.hfdb", prepare=as_nobody)


def case_process_of_another(b):
    if os.getuid():
        print("     SKIPPED: only root can become somebody else")
        return
    target = subprocess.Popen(["sleep", "60"])
    try:
        b.refuse(NOT_PERMITTED, "permit|permission", "dump", target.pid, "-o", "/tmp/denied.hfd", prepare=as_nobody)
    finally:
        target.kill()
        target.wait()


def case_info_of_little(b):
    """A dump that is cut before its arenas: no heading without something below it."""
    done = b.run("info", b.file("little.hfd", b.good[:200]))
    lines = done.stdout.splitlines()
    if done.returncode != PARTIAL or "Allocators" in lines or any("counters" in line for line in lines):
        raise Failure(f"exit status {done.returncode}\n{done.stdout}{done.stderr}")


def case_no_process(b):
    gone = subprocess.Popen(["true"])
    gone.wait()
    b.refuse((FAILED, UNREADABLE), "no (such )?process", "dump", gone.pid, "-o", b.folder / "gone.hfd")
    b.refuse(USAGE, "", "dump", "elephant", "-o", b.folder / "gone.hfd")


def case_no_program(b):
    b.refuse((126, 127), "elephant", "run", "-o", b.folder / "none.hfd", "--", "./elephant")


def case_dump_cannot_be_written(b):
    """A target whose dump fails goes on; what could not be written is not there."""
    def dump_to(pattern, prepare=None):
        return subprocess.run([b.holdfast.command, "run", "-o", pattern, "--", TARGET, "--manifest", "/dev/null",
                               "--mode", "api"], capture_output=True, text=True, timeout=60, preexec_fn=prepare)
    taken = b.file("api-taken.hfd", b"mine")
    for what, pattern, prepare in (
            ("exists", taken, None),
            ("no folder", b.folder / "nowhere" / "x.hfd", None),
            ("disk full", b.folder / "api-full.hfd", limit_file_size(4096))):
        before = contents(b.folder)
        done = dump_to(pattern, prepare)
        if done.returncode != 1 or "holdfast" not in done.stderr:
            raise Failure(f"{what}: exit status {done.returncode}\n{done.stderr}")
        after = contents(b.folder)
        changed = {n for n in before.keys() | after.keys() if before.get(n) != after.get(n)}
        if changed:
            raise Failure(f"{what}: {changed} appeared or changed\n{done.stderr}")


def main(holdfast, target, *names):
    global TARGET
    TARGET = target
    cases = [c for c in globals() if c.startswith("case_") and (not names or c[5:] in names)]
    n_failed = 0
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as folder:
        bench = Bench(holdfast, target, folder)
        for name in cases:
            try:
                globals()[name](bench)
                print(f"ok   {name[5:]}")
            except (Failure, OSError, subprocess.SubprocessError) as problem:
                n_failed += 1
                print(f"FAIL {name[5:]}: {problem}")
    return 1 if n_failed or not cases else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
