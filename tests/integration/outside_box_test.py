"""Dumps of processes in namespaces of their own, as containers have them: the dump from outside says
what a dump from inside says.

usage: outside_box_test.py HOLDFAST BOX TARGET LIBRARY
BOX: pivot (mounts, pids, host name: like a container), user (the same, made by another user in a user
namespace), chroot (nothing but another root directory), deleted (no namespaces; the files are gone).
"""
import ctypes
import os
import pathlib
import re
import shutil
import signal
import subprocess
import time

from outside_kit import (LIBC, NOBODY, Skip, Target, as_nobody, check_manifest, expect, heap_of, need_root,
                         open_to_all, run)

NEW_NS, NEW_UTS, NEW_USER, NEW_PID = 0x00020000, 0x04000000, 0x10000000, 0x20000000
PR_SET_DUMPABLE, MS_REC, MS_PRIVATE, MNT_DETACH, SYS_PIVOT_ROOT = 4, 0x4000, 1 << 18, 2, 155


def must(rc, what):
    if rc:
        os.write(2, f"{what}: {os.strerror(ctypes.get_errno())}\n".encode())
        os._exit(99)


def mount(source, target, kind, flags=0):
    must(LIBC.mount(source.encode(), target.encode(), kind.encode(), ctypes.c_ulong(flags), None), f"mount {target}")


def libraries_of(program):
    out = subprocess.run(["ldd", program], check=True, capture_output=True, text=True).stdout
    return re.findall(r"(/\S+) \(0x", out)


class Box(Target):
    """A target that lives where its files are called otherwise than here."""

    def __init__(self, kind, folder, program, library, *options):
        self.kind, self.stage, self.root = kind, f"{folder}/stage", f"{folder}/root"
        for source in [*libraries_of(program), *libraries_of(library)]:
            self.copy(source, source)
        self.copy(program, "/only/here/target")
        self.copy(library, "/only/here/libholdfast.so")
        for name in (self.root, f"{self.stage}/proc", f"{self.stage}/out", f"{self.stage}/old"):
            os.makedirs(name)
            os.chmod(name, 0o777)
        env = {"LD_PRELOAD": "/only/here/libholdfast.so", "HOLDFAST": "out=/out/inside.hfd"}
        self.start(["/only/here/target", "--manifest", "/out/manifest", "--mode", "wait", *options], env=env,
                   preexec_fn=self.enter)

    def copy(self, source, path):
        os.makedirs(os.path.dirname(self.stage + path), exist_ok=True)
        shutil.copy(source, self.stage + path)

    def enter(self):
        """In the new process: into the box."""
        if self.kind in ("chroot", "deleted"):
            must(LIBC.unshare(NEW_NS), "unshare")
            mount("none", "/", "", MS_REC | MS_PRIVATE)
            mount("proc", f"{self.stage}/proc", "proc")
            os.chroot(self.stage)
            os.chdir("/")
            return
        if self.kind == "user":
            as_nobody()
            LIBC.prctl(PR_SET_DUMPABLE, 1, 0, 0, 0)  # else /proc/self is root's
        must(LIBC.unshare(NEW_NS | NEW_PID | NEW_UTS | (NEW_USER if self.kind == "user" else 0)), "unshare")
        if self.kind == "user":
            for name, text in (("setgroups", "deny"), ("uid_map", f"7 {NOBODY} 1"), ("gid_map", f"7 {NOBODY} 1")):
                fd = os.open(f"/proc/self/{name}", os.O_WRONLY)
                os.write(fd, text.encode())
                os.close(fd)
        child = os.fork()
        if child:
            os.closerange(0, 256)
            os._exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) & 0xff)
        LIBC.sethostname(b"boxed", 5)
        mount("none", "/", "", MS_REC | MS_PRIVATE)
        mount("box", self.root, "tmpfs")
        shutil.copytree(self.stage, self.root, dirs_exist_ok=True)
        os.chdir(self.root)
        mount("proc", "proc", "proc")
        must(LIBC.syscall(SYS_PIVOT_ROOT, b".", b"old"), "pivot_root")
        os.chdir("/")
        must(LIBC.umount2(b"/old", MNT_DETACH), "umount /old")

    def await_reading(self):
        if self.kind not in ("chroot", "deleted"):
            children = pathlib.Path(f"/proc/{self.pid}/task/{self.pid}/children").read_text(encoding="ascii")
            self.pid = int(children)
        super().await_reading()
        self.inside = f"/proc/{self.pid}/root"
        self.manifest_path = f"{self.inside}/out/manifest"


def table(db, query):
    return sorted(db.execute(query).fetchall(), key=repr)


def same(inside, outside):
    """Whatever a dump says of the process itself is the same from both sides."""
    # A dump from inside takes memory of its own meanwhile, and stacks may grow downwards.
    for query in ("SELECT key, value FROM meta WHERE key IN ('program', 'exe', 'pid', 'ppid', 'uid', 'hostname', "
                  "'kernel', 'arch', 'allocator')",
                  "SELECT path, build_id, base, size FROM module", "SELECT tid, name FROM thread",
                  "SELECT start + size, path, kind FROM mapping WHERE path != '' AND path NOT LIKE '/dev/zero%'",
                  "SELECT kind, name, addr FROM root WHERE kind IN ('global', 'static', 'tls')"):
        ours, theirs = table(inside, query), table(outside, query)
        expect(ours == theirs, f"{query}:\nonly inside: {[r for r in ours if r not in theirs]}\n"
                               f"only outside: {[r for r in theirs if r not in ours]}")
    objects, edges = heap_of(inside)
    other_objects, other_edges = heap_of(outside)
    expect(objects == other_objects, f"objects differ: {set(objects.items()) ^ set(other_objects.items())}")
    expect(len(edges ^ other_edges) < 64, f"{len(edges ^ other_edges)} edges differ")


def box(holdfast, folder, kind, program, library):
    need_root()
    os.chmod(folder, 0o777)
    tool = open_to_all(folder, holdfast)
    try:
        target = Box(kind, folder, program, library, "--objects", "1e4", "--threads", "4")
    except Exception as problem:
        raise Skip(f"no such box can be made here ({problem})") from problem
    with target as t:
        os.kill(t.pid, signal.SIGUSR2)
        inside = pathlib.Path(t.inside, "out/inside.hfd")
        until = time.monotonic() + 60
        while not inside.exists() and time.monotonic() < until:
            time.sleep(0.01)
        shutil.copy(inside, folder)
        t.check_whole(4)
        if kind == "deleted":
            shutil.copy(t.manifest_path, f"{folder}/manifest")
            t.manifest_path = f"{folder}/manifest"
            shutil.rmtree(t.stage)
        by_pid = holdfast.folder / "pid.hfd"
        holdfast("dump", t.pid, "-o", by_pid)
        t.check_whole(4)
        db = check_manifest(holdfast, by_pid, t.manifest_path, 4)
        if kind != "deleted":
            same(holdfast.load(holdfast.folder / "inside.hfd"), db)
        facts = dict(db.execute("SELECT key, value FROM meta"))
        boxed = kind in ("pivot", "user")
        expect(facts.get("outside_pid") == (t.pid if boxed else None), f"outside_pid is {facts.get('outside_pid')}")
        if kind == "user":
            # Its maker needs no privilege, and so has no map_files.
            done = subprocess.run([tool, str(t.pid), "-o", f"{folder}/maker.hfd"], preexec_fn=as_nobody,
                                  capture_output=True, text=True)
            expect(done.returncode == 0, f"the user who made the box: {done.returncode}: {done.stderr}")
            check_manifest(holdfast, holdfast.folder / "maker.hfd", t.manifest_path, 4)
            t.check_whole(4)
        t.finish()


if __name__ == "__main__":
    run({kind: lambda h, f, *more, kind=kind: box(h, f, kind, *more) for kind in
         ("pivot", "user", "chroot", "deleted")}, __doc__)
