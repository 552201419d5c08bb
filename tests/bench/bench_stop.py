"""What a dump costs: how long the process stands still, from the trigger to the finished file, file
size, and the memory that it takes meanwhile; in process by signal, from outside by pid, and for
gcore, on the same process in turn; the bare fork() that a snapshot cannot do without; and the
pointer scan against the memory bandwidth of a thread. One JSON line each, then the ratios.

usage: bench_stop.py BUILD_DIR [--objects N]... [--rounds N]

The process measures its own stalls: a thread of real-time priority that touches the heap every
millisecond and notes the longest time from one touch to the next, so a stall shows as up to a
millisecond more than it was. (Every 100 us took a third of a processor of this thread alone, which
dumps then did not have, and gcore did, which stops it.) Medians over the rounds.
"""
import argparse
import contextlib
import json
import os
import pathlib
import re
import shutil
import signal
import statistics
import subprocess
import tempfile
import threading
import time


class Target:
    def __init__(self, build, folder, n_objects):
        self.folder = pathlib.Path(folder)
        env = {**os.environ, "LD_PRELOAD": str(build / "lib/libholdfast.so"),
               "HOLDFAST": f"out={folder}/inside.%n.hfd,max=1000"}
        self.process = subprocess.Popen([build / "bin/stop_target", str(n_objects)], env=env, text=True,
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.pid = int(re.fullmatch(r"ready (\d+)\n", self.process.stdout.readline())[1])

    def ask(self, what):
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        return int(self.process.stdout.readline())

    def rss(self):
        text = pathlib.Path(f"/proc/{self.pid}/status").read_text(encoding="ascii")
        return int(re.search(r"VmRSS:\s*(\d+)", text)[1]) * 1024

    def close(self):
        self.process.stdin.close()
        self.process.wait()


def wait_for(path):
    while not path.exists():
        time.sleep(0.001)


def by_signal(target, build, i):
    out = target.folder / f"inside.{i + 1}.hfd"
    os.kill(target.pid, signal.SIGUSR2)
    wait_for(out)
    return out


def by_pid(target, build, i):
    out = target.folder / f"pid.{i}.hfd"
    subprocess.run([build / "bin/holdfast-dump", str(target.pid), "-o", out], check=True, stdout=subprocess.DEVNULL)
    return out


def by_gcore(target, build, i):
    subprocess.run(["gcore", "-o", target.folder / "core", str(target.pid)], check=True, stdin=subprocess.DEVNULL,
                   capture_output=True)
    return target.folder / f"core.{target.pid}"


def bare_fork(target, build, i):
    target.ask("fork")
    return None


def measure(target, build, how, i):
    time.sleep(0.3)
    target.ask("reset")
    started = time.monotonic()
    out = how(target, build, i)
    wall = time.monotonic() - started
    time.sleep(0.02)
    stall = target.ask("stall")
    size = out.stat().st_size if out else 0
    if out:
        out.unlink()
    return stall / 1e6, wall, size


def private_bytes(pid):
    """What only this process has: changed or new pages, and page tables."""
    with contextlib.suppress(OSError, TypeError):
        rollup = pathlib.Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
        status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
        return 1024 * (sum(map(int, re.findall(r"Private_\w+:\s*(\d+)", rollup))) +
                       int(re.search(r"VmPTE:\s*(\d+)", status)[1]))
    return 0


def dumpers(target_pid):
    """Processes that a dump of the target consists of."""
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError, ValueError):
            pid = int(name)
            stat = pathlib.Path(f"/proc/{pid}/stat").read_text(encoding="ascii")
            comm = stat[stat.index("(") + 1:stat.rindex(")")]
            parent = int(stat[stat.rindex(")") + 2:].split()[1])
            if comm in ("holdfast-dump", "hf-guard") or parent == target_pid:
                yield pid


def extra_memory(target, build, how, i):
    """The most that all of them had at one time, of a target that changes nothing meanwhile; sampled,
    so a dump apart from those that are timed."""
    most, done = 0, threading.Event()
    target.ask("quiet")

    def sample():
        nonlocal most
        while not done.is_set():
            most = max(most, sum(private_bytes(pid) for pid in dumpers(target.pid)))
            time.sleep(0.005)

    thread = threading.Thread(target=sample)
    thread.start()
    out = how(target, build, i)
    done.set()
    thread.join()
    target.ask("busy")
    out.unlink()
    return most


def scan_ratios(build):
    """Speed of the scan over that of plain reading: by percentage of pointers, near or anywhere."""
    ratios = {"bench": "scan_ratio"}
    for percent, local in ((25, 1), (25, 0), (8, 1), (8, 0), (1, 1)):
        lines = subprocess.run([build / "bin/bench_scan", "512", str(percent), str(local)], check=True,
                               stdout=subprocess.PIPE, text=True).stdout.splitlines()
        for line in map(json.loads, lines):
            print(json.dumps(line), flush=True)
            if line["codec"] == "not written":
                ratios[f"scan_over_read_{percent}_{'near' if local else 'anywhere'}"] = line["ratio"]
    print(json.dumps(ratios), flush=True)


def run(build, n_objects, rounds):
    hows = {"signal": by_signal, "pid": by_pid, "fork": bare_fork}
    if shutil.which("gcore"):
        hows["gcore"] = by_gcore
    with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
        target = Target(build, folder, n_objects)
        figures = {name: [] for name in hows}
        for i in range(rounds):
            for name, how in hows.items():
                figures[name].append(measure(target, build, how, i))
        memory = {name: extra_memory(target, build, hows[name], rounds) for name in ("signal", "pid")}
        rss = target.rss()
        target.close()
    stall = {name: statistics.median(f[0] for f in rows) for name, rows in figures.items()}
    for name, rows in figures.items():
        line = {"bench": "stop", "how": name, "objects": n_objects, "rss_bytes": rss, "rounds": rounds,
                "stall_ms": round(stall[name], 2), "stall_ms_all": [round(f[0], 2) for f in rows],
                "wall_s": round(statistics.median(f[1] for f in rows), 3), "file_bytes": rows[-1][2]}
        if name in memory:
            line["extra_memory_bytes"] = memory[name]
        print(json.dumps(line), flush=True)
    ratios = {"bench": "stop_ratio", "objects": n_objects}
    for name in ("signal", "pid"):
        ratios[f"{name}_over_fork"] = round(stall[name] / stall["fork"], 2)
        ratios[f"{name}_extra_memory_over_rss"] = round(memory[name] / rss, 3)
        if "gcore" in stall:
            walls = [f[1] / g[1] for f, g in zip(figures[name], figures["gcore"])]
            ratios[f"gcore_over_{name}"] = round(stall["gcore"] / stall[name], 1)
            ratios[f"{name}_wall_over_gcore"] = round(statistics.median(walls), 2)
            ratios[f"{name}_file_over_core"] = round(figures[name][-1][2] / figures["gcore"][-1][2], 3)
    print(json.dumps(ratios), flush=True)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--objects", type=float, action="append")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    for n_objects in args.objects or [1e6, 1e7]:
        run(args.build.resolve(), int(n_objects), args.rounds)
    scan_ratios(args.build.resolve())


if __name__ == "__main__":
    main()
