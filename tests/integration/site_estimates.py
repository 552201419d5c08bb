"""Sampled totals by site are unbiased and as far off as the theory says, in 30 processes with seeds of their own.

site_estimates.py LIBRARY HOLDFAST TARGET

An object of s bytes is in the sample with p = 1 - e^(-s/R) and stands for 1/p; a sum of n such has the variance
n (1 - p)/p. The estimates of allocated and live objects and bytes of four functions are looked at, in the profile itself.
"""
import gzip
import math
import os
import subprocess
import sys
import tempfile

RUNS, PERIOD = 30, 64 << 10


def varint(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, at


def fields(data):
    """(number, value) of a protobuf message; value: an integer or bytes."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        value, at = varint(data, at)
        if key & 7 == 2:
            value, at = data[at:at + value], at + value
        yield key >> 3, value


def integers(data):
    at, found = 0, []
    while at < len(data):
        value, at = varint(data, at)
        found.append(value)
    return found


def samples(path):
    """([values], first address) of each sample, and the start of the program."""
    with gzip.open(path) as file:
        profile = list(fields(file.read()))
    address = {}
    for number, value in profile:
        if number == 4:
            location = dict(fields(value))
            address[location[1]] = location[3]
    start = next(dict(fields(value)) for number, value in profile if number == 3)
    for number, value in profile:
        if number == 2:
            sample = dict((k, v) for k, v in fields(value) if k < 3)
            yield integers(sample[2]), address[integers(sample[1])[0]] - start[2] + start.get(4, 0)


def functions(target):
    out = subprocess.run(["nm", "-S", target], check=True, capture_output=True, text=True).stdout
    rows = [line.split() for line in out.splitlines()]
    return [(int(r[0], 16), int(r[0], 16) + int(r[1], 16), r[3]) for r in rows if len(r) == 4]


def theory(counts):
    """Of the four estimates: the variance, and the most that one object adds. By what site_totals does: see there."""
    found = {}
    for name, n, least, spread in (("leaf_tiny", 400000, 8, 1), ("leaf_small", 80000, 100, 500),
                                   ("leaf_large", 240, 50000, 400000), ("leaf_mixed", 4000, 1000, 30000)):
        sums, most = [0.0] * 4, [0.0] * 4
        for i in range(n):
            size = least + i * 7919 % spread
            odds = 1 / -math.expm1(-size / PERIOD) - 1
            for at, alive in ((0, True), (2, i % 4 != 0)):
                sums[at] += odds * alive
                sums[at + 1] += odds * size * size * alive
                most[at] = max(most[at], max(odds, 1) * alive)
                most[at + 1] = max(most[at + 1], max(odds, 1) * size * alive)
        found[name] = sums, most
    assert set(found) == set(counts)
    return found


def bound(variance, most):
    """What a sum of independent terms is off by no more than, but for one time in 1e8 (Bernstein's inequality). The
    sums are skewed: an object of few bytes is seldom in the sample and stands for many, so no bound of the normal
    distribution will do."""
    log = math.log(2 / 1e-8)
    return most * log / 3 + math.sqrt((most * log / 3) ** 2 + 2 * variance * log)


def main(library, holdfast, target):
    code, runs, truth = functions(target), [], {}
    for _ in range(RUNS):
        with tempfile.TemporaryDirectory() as folder:
            sites = os.path.join(folder, "sites")
            env = dict(os.environ, LD_PRELOAD=library, HOLDFAST=f"signal=off,sample={PERIOD},profile={sites}")
            out = subprocess.run([target], env=env, capture_output=True, text=True).stdout
            truth = {line.split()[0]: [int(v) for v in line.split()[1:]] for line in out.splitlines()}
            subprocess.run([holdfast, "profile", "--file", sites], check=True, stdout=subprocess.DEVNULL)
            sums = {name: [0] * 4 for name in truth}
            for values, address in samples(sites + ".hfp.pb.gz"):
                name = next((n for start, end, n in code if start <= address < end), None)
                if name in sums:
                    sums[name] = [a + b for a, b in zip(sums[name], values)]
            runs.append(sums)
    known, bad = theory(truth), 0
    for name, exact in truth.items():
        for k, what in enumerate(("objects", "bytes", "live objects", "live bytes")):
            variance, most = (figure[k] for figure in known[name])
            error = math.sqrt(variance)
            off = [run[name][k] - exact[k] for run in runs]
            mean = sum(off) / (error * math.sqrt(RUNS))
            within = sum(abs(o) < error for o in off)
            worst = max(abs(o) for o in off)
            # Of 30 figures 20 are within one standard error, fewer than 6 one time in 1e7.
            wrong = [text for text, is_so in (("biased", abs(sum(off)) > bound(RUNS * variance, most)),
                                              ("one is too far off", worst > bound(variance, most)),
                                              ("too spread", within < 6)) if is_so]
            print(f"{name:10} {what:12} {exact[k]:9}: mean off by {mean:+.2f} standard errors of itself, "
                  f"{within} of {RUNS} within 1, the worst {worst / error:.1f} (may be "
                  f"{bound(variance, most) / error:.1f}) {', '.join(wrong)}".rstrip())
            bad += bool(wrong)
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
