"""What types cost `holdfast load`: CPU and wall seconds with debug information, and of the same dump without.

usage: bench_types.py BUILD_DIR [OBJECTS=1e7] [RUNS=3]

Prints one JSON line: medians over the runs, and how much more the first takes. The two take turns in going first, after a
load that does not count: where a hypervisor hands out memory on first touch, whoever comes first pays for it (cpu_s has
that in it, user_s has not).
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
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_utime, usage.ru_maxrss / 1024


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
        whole, stripped = program + ".whole", program + ".stripped"
        os.rename(program, whole)
        subprocess.run(["strip", "--strip-debug", "-o", stripped, whole], check=True)
        results = {whole: [], stripped: []}
        usage_of([holdfast, "load", dump, "-o", database])
        for i in range(int(runs)):
            for file in (stripped, whole) if i % 2 else (whole, stripped):
                os.rename(file, program)
                results[file].append(usage_of([holdfast, "load", dump, "-o", database]))
                os.rename(program, file)
        os.rename(whole, program)
        subprocess.run([holdfast, "load", dump, "-o", database], check=True, stdout=subprocess.DEVNULL)
        share = subprocess.run([holdfast, "sql", database, "--csv", "SELECT round(100.0 * count(type_id) / count(*), 2) FROM "
                                "object WHERE reachable"], check=True, capture_output=True, text=True).stdout.split()[-1]
        row = {"bench": "types", "objects": int(float(objects)), "typed_percent": float(share)}
        for name, rows in (("typed", results[whole]), ("bare", results[stripped])):
            for key, column in zip(("wall_s", "cpu_s", "user_s", "peak_mib"), zip(*rows)):
                row[f"{name}_{key}"] = round(statistics.median(column), 2)
        for key in ("wall", "cpu", "user"):
            row[f"more_{key}_percent"] = round(100 * (row[f"typed_{key}_s"] / row[f"bare_{key}_s"] - 1))
        print(json.dumps(row))


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    main(*sys.argv[1:])
