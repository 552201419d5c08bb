"""Checks a target against its manifest by reading /proc/PID/mem, without Holdfast.

usage: selfcheck.py TARGET [option...]

Every object, edge and root must be in memory as the manifest says, and no word of static data,
thread-local data, stacks or other mappings may point into a leaked object.
"""
import array
import bisect
import os
import subprocess
import sys
import tempfile

from manifest import Manifest


class Memory:
    def __init__(self, pid):
        self.fd = os.open(f"/proc/{pid}/mem", os.O_RDONLY)
        self.maps = []  # (start, end, path)
        with open(f"/proc/{pid}/maps", encoding="ascii") as lines:
            for line in lines:
                words = line.split(maxsplit=5)
                start, end = (int(w, 16) for w in words[0].split("-"))
                if words[1].startswith("rw"):
                    self.maps.append((start, end, words[5].strip() if len(words) > 5 else ""))

    def words(self, start, size):
        return array.array("Q", os.pread(self.fd, size, start))

    def word(self, addr):
        return self.words(addr, 8)[0]


def check_told(memory, manifest):
    problems = []
    ends = 0
    for addr, usable in sorted(manifest.objects.items()):
        if addr < ends:
            problems.append(f"object {addr:#x} overlaps the one before")
        ends = addr + usable
        size = memory.word(addr - 8)
        if (size & ~7) - (16 if size & 2 else 8) != usable:
            problems.append(f"object {addr:#x}: usable {usable}, header {size:#x}")
    for src, offset, dst, dst_offset in manifest.edges:
        if memory.word(src + offset) != dst + dst_offset:
            problems.append(f"edge {src:#x}+{offset} does not point to {dst:#x}+{dst_offset}")
    for root in manifest.roots:
        if memory.word(root.addr) != root.object + root.offset:
            problems.append(f"{root} is not so")
    return problems


def is_heap(mapping, starts):
    """Does an object start in it? Words of heaps are edges, or lie in free chunks."""
    i = bisect.bisect_left(starts, mapping[0])
    return i < len(starts) and starts[i] < mapping[1]


def check_leaks(memory, manifest):
    starts = sorted(manifest.objects)
    leaked = sorted(manifest.leaked)
    problems, after_libc, n_words = [], 0, 0
    for mapping in memory.maps:
        start, end, path = mapping
        # malloc's own state points to chunk headers, which are inside the object before.
        if "/libc.so" in path or start == after_libc:
            after_libc = end if "/libc.so" in path else 0
            continue
        if is_heap(mapping, starts):
            continue
        words = memory.words(start, end - start)
        n_words += len(words)
        for i, word in enumerate(words):
            if leaked[0] <= word <= leaked[-1] + 4096:
                at = bisect.bisect_right(leaked, word) - 1
                if word < leaked[at] + manifest.objects[leaked[at]]:
                    problems.append(f"{start + 8 * i:#x} in {path or 'anonymous'} {start:#x}-{end:#x} "
                                    f"holds leaked object {leaked[at]:#x}")
    print(f"{n_words} words outside the heaps looked at")
    return problems


def main(target, *options):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "manifest")
        with subprocess.Popen(
                [target, "--mode", "wait", "--manifest", path, *options],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
            try:
                if not process.stdout.readline().startswith(b"ready "):
                    raise RuntimeError("the target did not get ready")
                memory, manifest = Memory(process.pid), Manifest(path)
                problems = check_told(memory, manifest) + check_leaks(memory, manifest)
            finally:
                process.stdin.close()
    print(*problems[:20], sep="\n")
    print(f"{len(manifest.objects)} objects, {len(manifest.edges)} edges, {len(manifest.roots)} roots, "
          f"{len(manifest.leaked)} leaked: {len(problems)} problems; exit status {process.returncode}")
    return 1 if problems or process.returncode else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
