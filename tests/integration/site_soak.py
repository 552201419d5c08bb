"""The recorder does not grow with the number of allocations: site_soak.py LIBRARY READER TARGET SECONDS

Its records lie in a mapped file, so that its memory (RssFile) is told apart from the program's own.
"""
import os
import subprocess
import sys
import tempfile


def main(library, reader, target, seconds):
    with tempfile.TemporaryDirectory() as folder:
        sites = os.path.join(folder, "sites")
        env = dict(os.environ, LD_PRELOAD=library, HOLDFAST=f"signal=off,oom=off,sample=1,profile={sites}")
        run = subprocess.run([target, seconds, "2"], env=env, capture_output=True, text=True)
        read = subprocess.run([reader, sites], capture_output=True, text=True, check=True)
    if run.returncode or run.stderr:
        sys.exit(f"status {run.returncode}: {run.stderr}")
    rows = [[int(word) for word in line.split()] for line in run.stdout.splitlines()]
    live = read.stdout.count("\n")
    print(f"{rows[-1][0]} allocations; KiB of the program and of the recorder, by tenths of the time: "
          + ", ".join(f"{row[1]} {row[2]}" for row in rows) + f"; {live} recorded at the end; {read.stderr.strip()}")
    early, late = max(row[2] for row in rows[:4]), max(row[2] for row in rows[4:])
    if len(rows) != 10 or late > early * 1.02 + 256:
        sys.exit(f"the recorder grew from {early} to {late} KiB")
    # stdio's buffer and the loader's own
    if live > 20 or not read.stderr.startswith("lost 0 0 0 "):
        sys.exit("not everything was recorded, or seen to be freed")
    if rows[-1][0] < 20000 * float(seconds):
        sys.exit("too slow to say anything")


if __name__ == "__main__":
    main(*sys.argv[1:])
