"""What recording allocation sites costs: CPU seconds and peak memory as ratios to the program alone.

bench_site.py BUILD_DIR [--rounds N] [--scale F] [--only WORKLOAD] [--modes MODE…] [--no-peers] [--no-build]

Each run of a mode has a run of the program alone beside it (an allocator's own profiler: of that allocator alone), before it
in one round and after it in the next; a figure is the median of the ratios of such pairs, with the quartiles in the JSON
line. Peers are left out, and named, where they are not installed; the slow ones, which record every allocation, run in the
first round only. --only and --modes take parts of names, so that one figure can be measured at a time. One JSON line a
workload, then the table.
"""
import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

LIBRARIES = "/usr/lib/x86_64-linux-gnu/"
JEMALLOC, TCMALLOC = LIBRARIES + "libjemalloc.so.2", LIBRARIES + "libtcmalloc.so.4"
SQL = ("create table t(a integer primary key, b text);"
       "with recursive n(x) as (select 1 union all select x+1 from n where x<%d) "
       "insert into t select x, hex(x*x) from n; create index i on t(b);"
       "select count(*) from t where b like '%%5%%'; select sum(length(b)) from t group by a%%100;")
PYTHON = ("d={}\nfor i in range(%d): d[str(i)]=[i]*(i%%9)\n"
          "print(sum(len(v) for v in d.values()))")


class Mode:
    """A way to run a program: environment, what stands before the command, the mode it is compared with."""

    def __init__(self, name, env=None, before=(), base="plain", slow=False, needs=None):
        self.name, self.env, self.before, self.base, self.slow = name, env or {}, list(before), base, slow
        self.here = not needs or os.path.exists(needs) or shutil.which(needs)


def modes(library, folder, peers):
    ours = [Mode(f"holdfast, {text}", {"LD_PRELOAD": library, "HOLDFAST": f"sample={sample}"})
            for text, sample in (("off", "0"), ("512 KiB", "512K"), ("16 KiB", "16K"), ("every", "1"))]
    theirs = [
        Mode("jemalloc alone", {"LD_PRELOAD": JEMALLOC}, needs=JEMALLOC),
        Mode("jemalloc, 512 KiB", {"LD_PRELOAD": JEMALLOC, "MALLOC_CONF": "prof:true,lg_prof_sample:19"},
             base="jemalloc alone", needs=JEMALLOC),
        Mode("jemalloc, every", {"LD_PRELOAD": JEMALLOC, "MALLOC_CONF": "prof:true,lg_prof_sample:0"},
             base="jemalloc alone", slow=True, needs=JEMALLOC),
        Mode("tcmalloc alone", {"LD_PRELOAD": TCMALLOC}, needs=TCMALLOC),
        Mode("tcmalloc, 512 KiB", {"LD_PRELOAD": TCMALLOC, "TCMALLOC_SAMPLE_PARAMETER": "524288"},
             base="tcmalloc alone", needs=TCMALLOC),
        Mode("gperftools, every", {"LD_PRELOAD": TCMALLOC, "HEAPPROFILE": folder + "/g", "PERFTOOLS_VERBOSE": "-1",
                                   "HEAP_PROFILE_ALLOCATION_INTERVAL": "0", "HEAP_PROFILE_INUSE_INTERVAL": "0"},
             base="tcmalloc alone", slow=True, needs=TCMALLOC),
        Mode("heaptrack, every", before=["heaptrack", "-r", "-o", folder + "/h"], slow=True, needs="heaptrack"),
    ]
    # a second plain run tells what the machine itself adds
    return [Mode("plain"), Mode("plain again")] + ours + (theirs if peers else [])


def measured(action):
    """CPU seconds of what action() starts, with its children, and the greatest resident size of one, in KiB."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        own = action()
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu, rss = own or (usage.ru_utime + usage.ru_stime, usage.ru_maxrss)
        os.write(write, f"{cpu} {rss}".encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        result = pipe.read().split()
    os.waitpid(pid, 0)
    if len(result) != 2:
        sys.exit("a run failed")
    return float(result[0]), int(result[1])


class Program:
    def __init__(self, command, text=None):
        self.command, self.text = command, text

    def run(self, mode, folder):
        run = subprocess.run(mode.before + self.command, env=dict(os.environ, **mode.env), input=self.text, text=True,
                             cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        if run.returncode:
            sys.exit(f"{mode.name}: {self.command}: {run.returncode}\n{run.stderr}")


class Starts:
    """Many short runs: what the start of a process costs."""

    def __init__(self, command, n):
        self.command, self.n = command, n

    def run(self, mode, folder):
        before = mode.before + [self.command]
        path = shutil.which(before[0])
        for _ in range(self.n):
            os.waitpid(os.posix_spawn(path, before, dict(os.environ, **mode.env)), 0)


class Redis:
    """A server under redis-benchmark; its own CPU time alone."""

    def __init__(self, requests):
        self.requests = requests

    def run(self, mode, folder):
        socket = os.path.join(folder, "s")
        server = subprocess.Popen(
            mode.before + ["redis-server", "--port", "0", "--unixsocket", socket, "--dir", folder, "--save", ""],
            env=dict(os.environ, **mode.env), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(200):
            if os.path.exists(socket):
                break
            time.sleep(0.05)
        subprocess.run(["redis-benchmark", "-s", socket, "-n", str(self.requests), "-P", "8", "-q", "-r", "100000", "-t",
                        "set,get,lpush,lpop,hset,zadd"], check=True, stdout=subprocess.DEVNULL)
        pid = int(subprocess.run(["redis-cli", "-s", socket, "info", "server"], check=True, capture_output=True,
                                 text=True).stdout.split("process_id:")[1].split()[0])
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rsplit(")", 1)[1].split()
        with open(f"/proc/{pid}/status") as status:
            rss = int(status.read().split("VmHWM:")[1].split()[0])
        subprocess.run(["redis-cli", "-s", socket, "shutdown", "nosave"], stderr=subprocess.DEVNULL)
        server.wait()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK"), rss


def pair(workload, mode, base, base_first):
    """(CPU, memory) of the base and of the mode."""
    order = (base, mode) if base_first else (mode, base)
    done = {}
    for m in order:
        with tempfile.TemporaryDirectory() as folder:
            done[m.name] = measured(lambda m=m, folder=folder: workload.run(m, folder))
    return done[base.name], done[mode.name]


def bench(name, workload, args, library):
    ratios, missing, plain_cpu = {}, set(), []
    with tempfile.TemporaryDirectory() as scratch:
        known = {mode.name: mode for mode in modes(library, scratch, not args.no_peers)}
        wanted = [m for m in known.values() if m.name != "plain" and (
            not args.modes or any(part in m.name for part in args.modes))]
        for number in range(args.rounds):
            for mode in wanted:
                if not mode.here:
                    missing.add(mode.name)
                # jemalloc's records of 5 M objects take 40 GB
                elif not (mode.slow and (number or (mode.name == "jemalloc, every" and "kept" in name))):
                    base, got = pair(workload, mode, known[mode.base], number % 2 == 0)
                    ratios.setdefault(mode.name, []).append([x / y for x, y in zip(got, base)])
                    if mode.base == "plain":
                        plain_cpu.append(base[0])
    figures = {m: [round(statistics.median(r[i] for r in v), 3) for i in (0, 1)] for m, v in ratios.items()}
    quarters = {m: [round(q, 3) for q in statistics.quantiles([r[0] for r in v], n=4)[::2]]
                for m, v in ratios.items() if len(v) > 1}
    print(json.dumps({"bench": "site", "workload": name, "rounds": args.rounds,
                      "plain_cpu_s": round(statistics.median(plain_cpu), 3) if plain_cpu else None,
                      "cpu": {m: f[0] for m, f in figures.items()}, "cpu_quartiles": quarters,
                      "rss": {m: f[1] for m, f in figures.items()},
                      "not_installed": sorted(missing)}), flush=True)
    return figures


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--only")
    parser.add_argument("--modes", nargs="+")
    parser.add_argument("--no-peers", action="store_true")
    parser.add_argument("--no-build", action="store_true")
    args = parser.parse_args()
    build = os.path.abspath(args.build)
    if not args.no_build:
        subprocess.run(["cmake", "--build", build, "--target", "bench_site_work", "holdfast_so"], check=True,
                       stdout=subprocess.DEVNULL)
    work, library = os.path.join(build, "bin/bench_site_work"), os.path.join(build, "lib/libholdfast.so")

    def n(count):
        return str(int(count * args.scale))
    workloads = {
        "churn 1": Program([work, "churn", "1", n(5e6)]),
        "churn 2": Program([work, "churn", "2", n(5e6)]),
        "5M kept 1": Program([work, "keep", "1", n(5e6)]),
        "5M kept 2": Program([work, "keep", "2", n(5e6)]),
        "start": Starts("/bin/true", 50),
        "sqlite3": Program(["sqlite3", ":memory:"], SQL % int(200000 * args.scale)),
        "python3": Program(["/usr/bin/python3", "-c", PYTHON % int(500000 * args.scale)]),
        "redis": Redis(int(60000 * args.scale)),
    }
    table = {name: bench(name, workload, args, library) for name, workload in workloads.items()
             if not args.only or args.only in name}
    rows = {}
    for name, figures in table.items():
        for mode, figure in figures.items():
            rows.setdefault(mode, {})[name] = figure
    print(f"\n{'CPU (memory), ratios':20}" + "".join(f"{name:>13}" for name in table))
    for mode, figures in rows.items():
        if mode != "plain":
            print(f"{mode:20}" + "".join(
                f"{'%.2f (%.2f)' % tuple(figures[name]) if name in figures else '-':>13}" for name in table))


if __name__ == "__main__":
    main()
