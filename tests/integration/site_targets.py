"""Every live object of site_target has its stack, size and thread in the recorder's file.

site_targets.py LIBRARY READER TARGET THREADS HOW [ALLOCATOR]: in front of that library, too.
"""
import os
import re
import struct
import subprocess
import sys
import tempfile


def functions(path):
    """[(start, end, name)] by address, and [(file offset, size, address)] of what is loaded."""
    out = subprocess.run(["nm", "-n", "--defined-only", "-S", path], check=True, capture_output=True,
                         text=True).stdout
    rows = [line.split() for line in out.splitlines()]
    code = [(int(r[0], 16), int(r[0], 16) + int(r[1], 16), r[3])
            for r in rows if len(r) == 4 and r[2] in "tTwW"]
    with open(path, "rb") as file:
        data = file.read(4096)
    offset, = struct.unpack_from("<Q", data, 32)
    size, count = struct.unpack_from("<HH", data, 54)
    loads = []
    for i in range(count):
        kind, _, p_offset, p_vaddr, _, p_filesz = struct.unpack_from("<IIQQQQ", data, offset + i * size)
        if kind == 1:
            loads.append((p_offset, p_filesz, p_vaddr))
    return code, loads


class Names:
    def __init__(self):
        self.modules, self.known = {}, {}

    def name(self, frame):
        if frame not in self.known:
            self.known[frame] = self.look_up(frame)
        return self.known[frame]

    def look_up(self, frame):
        if frame == "?":
            return "?"
        path, offset = frame.rsplit("+", 1)
        offset = int(offset, 16)
        if path not in self.modules:
            self.modules[path] = functions(path)
        code, loads = self.modules[path]
        for p_offset, p_filesz, p_vaddr in loads:
            if p_offset <= offset < p_offset + p_filesz:
                address = offset - p_offset + p_vaddr
                for start, end, name in code:
                    if start <= address < end:
                        # the compiler's copies (.constprop.0, .lto_priv.1, .cold), and C++ names
                        name = name.split(".")[0]
                        mangled = re.match(r"_ZL?(\d+)(\w+)", name)
                        return mangled.group(2)[:int(mangled.group(1))] if mangled else name
        return os.path.basename(path)


def allocator_path(name):
    path = os.path.join("/usr/lib/x86_64-linux-gnu", name)
    if not os.path.exists(path):
        print(f"{name} is not installed: left out")
        sys.exit(77)
    return path


def main(library, reader, target, threads, how, allocator=None):
    if allocator:
        library += ":" + allocator_path(allocator)
    with tempfile.TemporaryDirectory() as folder:
        manifest, sites = os.path.join(folder, "manifest"), os.path.join(folder, "sites")
        env = dict(os.environ, LD_PRELOAD=library, HOLDFAST=f"signal=off,sample=1,profile={sites}")
        run = subprocess.run([target, manifest, threads, how], env=env)
        expected = {"exit": 0, "_exit": 0, "kill": -9, "abort": -6}[how]
        if run.returncode != expected:
            print(f"{target} ended with {run.returncode}")
            return 1
        out = subprocess.run([reader, sites], check=True, capture_output=True, text=True)
        objects = open(manifest).read().splitlines()
    recorded = {line.split()[0]: line.split()[1:] for line in out.stdout.splitlines()}
    names, bad = Names(), 0
    for line in objects:
        addr, *facts = line.split()
        got = recorded.get(addr)
        seen = got and got[:2] + [names.name(f) for f in got[2:]]
        # between malloc's caller and us: operators new of libstdc++; around us: pthread's frames
        frames = facts[2:]
        at = seen.index(frames[0]) if seen and frames[0] in seen else 99
        if not got or at > (4 if "libstdc++" in seen[2] else 2) or seen[:2] != facts[:2] or seen[at:at + len(frames)] != frames:
            bad += 1
            if bad < 5:
                print(f"{addr}: expected {facts}, recorded {seen}")
    lost = re.match(r"lost (\d+) (\d+) (\d+)", out.stderr).groups()
    print(f"{len(objects)} objects, {len(recorded)} recorded, {bad} wrong, lost {lost}")
    return 1 if bad or len(objects) < 1000 * int(threads) or lost != ("0", "0", "0") else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
