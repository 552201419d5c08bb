"""What dumps cost a program at work: its throughput while it is dumped every so often, over its
throughput undisturbed, both in turn. One JSON line each.

usage: bench_stress.py BUILD_DIR [--scenario redis|nginx|sqlite|busy]... [--rounds N] [--interval S]
"""
import argparse
import contextlib
import io
import json
import os
import pathlib
import statistics
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "integration"))
import stress  # noqa: E402
from harness import Holdfast  # noqa: E402

SIZES = {"redis": 20000, "nginx": 5, "sqlite": 300000, "busy": 3000}


def run(build, holdfast, scenario, how):
    words = [build / "bin/busy", build / "lib/libbusy_plugin.so", SIZES[scenario]] if scenario == "busy" else [SIZES[scenario]]
    with contextlib.redirect_stdout(io.StringIO()):
        return getattr(stress, scenario)(holdfast, how, *words)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build", type=pathlib.Path)
    parser.add_argument("--scenario", action="append", choices=SIZES)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--interval", type=float, default=0.1)
    args = parser.parse_args()
    # A line for each dump is too much here; our own errors stay.
    sys.stderr = os.fdopen(os.dup(2), "w")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)
    build = args.build.resolve()
    stress.INTERVAL_S = args.interval
    for scenario in args.scenario or SIZES:
        rates, dumps = {}, {}
        for _ in range(args.rounds):
            for how in ("none", "signal", "pid"):
                with tempfile.TemporaryDirectory(prefix="holdfast-bench-") as folder:
                    result = run(build, Holdfast(build / "bin/holdfast", folder), scenario, how)
                rates.setdefault(how, []).append(result.rate)
                dumps.setdefault(how, []).append(result.dumps)
        for how in ("signal", "pid"):
            ratios = [a / b for a, b in zip(rates[how], rates["none"])]
            print(json.dumps({"bench": "stress", "program": scenario, "how": how, "interval_s": args.interval,
                              "dumps": sum(dumps[how]), "throughput_ratio": round(statistics.median(ratios), 2),
                              "throughput_ratio_all": [round(r, 2) for r in ratios]}), flush=True)


if __name__ == "__main__":
    main()
