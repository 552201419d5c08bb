"""What types cost `holdfast load`: CPU and wall seconds with debug information, and of the same dump without.

usage: bench_types.py BUILD_DIR [OBJECTS=1e7] [RUNS=3]

Prints one JSON line: medians over the runs, and how much more the first takes.
"""
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time


def usage_of(command):
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command}: exit status {process.returncode}")
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main(build_dir, objects="1e7", runs="3"):
    bin_dir = os.path.abspath(os.path.join(build_dir, "bin"))
    holdfast = os.path.join(bin_dir, "holdfast")
    with tempfile.TemporaryDirectory() as folder:
        program, dump, database = (os.path.join(folder, name) for name in ("program", "b.hfd", "b.hfdb"))
        subprocess.run(["cp", os.path.join(bin_dir, "bench_types_target"), program], check=True)
        subprocess.run([holdfast, "run", "-o", dump, "--", program, str(int(float(objects)))], check=True,
                       stderr=subprocess.DEVNULL)
        while not os.path.exists(dump):
            time.sleep(0.1)
        typed, bare = [], []
        whole = program + ".whole"
        os.rename(program, whole)
        subprocess.run(["strip", "--strip-debug", "-o", program, whole], check=True)
        for _ in range(int(runs)):
            bare.append(usage_of([holdfast, "load", dump, "-o", database]))
            os.rename(program, program + ".bare")
            os.rename(whole, program)
            typed.append(usage_of([holdfast, "load", dump, "-o", database]))
            os.rename(program, whole)
            os.rename(program + ".bare", program)
        os.rename(whole, program)
        subprocess.run([holdfast, "load", dump, "-o", database], check=True, stdout=subprocess.DEVNULL)
        share = subprocess.run([holdfast, "sql", database, "--csv", "SELECT round(100.0 * count(type_id) / count(*), 2) FROM "
                                "object WHERE reachable"], check=True, capture_output=True, text=True).stdout.split()[-1]
        row = {"bench": "types", "objects": int(float(objects)), "typed_percent": float(share)}
        for name, results in (("typed", typed), ("bare", bare)):
            for key, column in zip(("wall_s", "cpu_s", "peak_mib"), zip(*results)):
                row[f"{name}_{key}"] = round(statistics.median(column), 2)
        for key in ("wall", "cpu"):
            row[f"more_{key}_percent"] = round(100 * (row[f"typed_{key}_s"] / row[f"bare_{key}_s"] - 1))
        print(json.dumps(row))


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main(*sys.argv[1:])
