"""What recording allocation sites costs: CPU seconds and peak memory as ratios to the program alone.

bench_site.py BUILD_DIR [--rounds N] [--scale F]

Each round runs every mode of a workload once, in turn, beside a plain run; the figure is the median
of the ratios of the rounds. heaptrack runs beside ours where it is installed. One JSON line a workload.
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

SQL = ("create table t(a integer primary key, b text);"
       "with recursive n(x) as (select 1 union all select x+1 from n where x<%d) "
       "insert into t select x, hex(x*x) from n; create index i on t(b);"
       "select count(*) from t where b like '%%5%%'; select sum(length(b)) from t group by a%%100;")
PYTHON = ("d={}\nfor i in range(%d): d[str(i)]=[i]*(i%%9)\n"
          "print(sum(len(v) for v in d.values()))")


def cpu_and_rss(command, env, text, folder):
    """CPU seconds of the command with its children, and the greatest resident size of one, in KiB."""
    read, write = os.pipe()
    pid = os.fork()
    if not pid:
        run = subprocess.run(command, env=env, input=text, text=True, cwd=folder, stdout=subprocess.DEVNULL,
                             stderr=subprocess.PIPE)
        usage = resource.getrusage(resource.RUSAGE_CHILDREN)
        os.write(write, f"{usage.ru_utime + usage.ru_stime} {usage.ru_maxrss} {run.returncode}".encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        cpu, rss, status = pipe.read().split()
    os.waitpid(pid, 0)
    if status != "0":
        sys.exit(f"{command}: status {status}")
    return float(cpu), int(rss)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--scale", type=float, default=1)
    parser.add_argument("--only")
    args = parser.parse_args()
    work = os.path.join(os.path.abspath(args.build), "bin/bench_site_work")
    library = os.path.join(os.path.abspath(args.build), "lib/libholdfast.so")

    def n(count):
        return str(int(count * args.scale))
    workloads = {
        "churn, 1 thread": ([work, "churn", "1", n(5e6)], None),
        "churn, 2 threads": ([work, "churn", "2", n(5e6)], None),
        "5 M kept": ([work, "keep", n(5e6)], None),
        "sqlite3": (["sqlite3", ":memory:"], SQL % int(200000 * args.scale)),
        "python3": (["/usr/bin/python3", "-c", PYTHON % int(500000 * args.scale)], None),
    }
    modes = {"preloaded, off": "0", "one in 512 KiB": "512K", "one in 16 KiB": "16K", "every": "1"}
    for name, (command, text) in workloads.items():
        if args.only and args.only not in name:
            continue
        ratios = {}
        for _ in range(args.rounds):
            with tempfile.TemporaryDirectory() as folder:
                plain = cpu_and_rss(command, dict(os.environ), text, folder)
                runs = {mode: cpu_and_rss(command, dict(os.environ, LD_PRELOAD=library,
                                                        HOLDFAST=f"signal=off,sample={sample}"), text, folder)
                        for mode, sample in modes.items()}
                # the second plain run of a round tells what the machine itself adds
                runs["plain again"] = cpu_and_rss(command, dict(os.environ), text, folder)
                if shutil.which("heaptrack"):
                    runs["heaptrack"] = cpu_and_rss(
                        ["heaptrack", "-r", "-o", os.path.join(folder, "h")] + command, dict(os.environ),
                        text, folder)
            for mode, (cpu, rss) in runs.items():
                ratios.setdefault(mode, []).append((cpu / plain[0], rss / plain[1]))
        print(json.dumps({"bench": "site", "workload": name, "rounds": args.rounds, "plain_cpu_s": plain[0],
                          "cpu": {m: round(statistics.median(r[0] for r in v), 2) for m, v in ratios.items()},
                          "rss": {m: round(statistics.median(r[1] for r in v), 2) for m, v in ratios.items()}}),
              flush=True)


if __name__ == "__main__":
    main()
