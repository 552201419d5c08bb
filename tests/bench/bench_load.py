"""From dump to database: objects a second, CPU time, peak memory and file sizes of `holdfast load` on synthetic
dumps, beside the time that a plain copy of as many bytes as the database has takes on the same disk.

usage: bench_load.py BIN_DIR [OBJECTS=1e6] [EDGES_PER_OBJECT=3] [RUNS=3] [WARM_GIB=4]

A virtual machine gives unused memory back to its host, and the first touch of a page may then take many times as long as
on a machine that owns its memory. So before each run as much as WARM_GIB is touched and freed; first_touch_us is what a
page of 4 KiB took then, warm_touch_us what it takes right afterwards. 0: no touching.

Prints one JSON line: medians over the runs.
"""
import json
import mmap
import multiprocessing
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time


def usage_of(command):
    """Wall and CPU seconds and peak bytes of a command."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command}: exit status {process.returncode}")
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def touch_us(n_bytes):
    """Microseconds that the first touch of a page takes, on huge pages."""
    with mmap.mmap(-1, n_bytes, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as memory:
        memory.madvise(mmap.MADV_HUGEPAGE)
        start = time.monotonic()
        for at in range(0, n_bytes, mmap.PAGESIZE):
            memory[at] = 1
        first = time.monotonic() - start
        start = time.monotonic()
        for at in range(0, n_bytes, mmap.PAGESIZE):
            memory[at] = 1
        again = time.monotonic() - start  # what the loop costs
    return max(0.0, first - again) * 1e6 * mmap.PAGESIZE / n_bytes


def copy_seconds(path):
    start = time.monotonic()
    with open(path, "rb") as source, open(path + ".copy", "wb") as copy:
        while block := source.read(1 << 20):
            copy.write(block)
        os.fsync(copy.fileno())
    os.unlink(path + ".copy")
    return time.monotonic() - start


def main(bin_dir, objects="1e6", edges="3", runs="3", warm_gib="4"):
    objects = int(float(objects))
    with tempfile.TemporaryDirectory() as folder:
        dump, database = os.path.join(folder, "bench.hfd"), os.path.join(folder, "bench.hfdb")
        made = subprocess.run([os.path.join(bin_dir, "gen_dump"), dump, str(objects), edges, "1"], check=True,
                              capture_output=True, text=True)
        results, copies, touches = [], [], []
        for _ in range(int(runs)):
            if float(warm_gib):
                # In a process of its own: the kernel hands a parent's peak of memory on to what it starts.
                with multiprocessing.Pool(1) as pool:
                    touches.append(tuple(pool.map(touch_us, (int(float(warm_gib) * 2**30), 2**28), 1)))
            results.append(usage_of([os.path.join(bin_dir, "holdfast"), "load", dump, "-o", database]))
            copies.append(copy_seconds(database))
            size = os.path.getsize(database)
            os.unlink(database)
        wall, cpu, peak = (statistics.median(column) for column in zip(*results))
        print(json.dumps({
            "bench": "load", "objects": objects, "edges": json.loads(made.stdout)["edges"], "runs": int(runs),
            "wall_s": round(wall, 2), "cpu_s": round(cpu, 2), "objects_per_s": round(objects / wall),
            "objects_per_cpu_s": round(objects / cpu), "peak_mib": round(peak / 2**20),
            "dump_mb": round(os.path.getsize(dump) / 1e6, 1), "database_mb": round(size / 1e6, 1),
            "first_touch_us": round(statistics.median(t[0] for t in touches), 2) if touches else None,
            "warm_touch_us": round(statistics.median(t[1] for t in touches), 2) if touches else None,
            "copy_s": round(statistics.median(copies), 2),
            "wall_to_copy": round(wall / statistics.median(copies), 2)}))


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main(*sys.argv[1:])
