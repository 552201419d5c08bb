"""What the debug information of a large program costs `holdfast load`: seconds and peak memory of the first load, and of
later ones that find its index in the cache, beside a load of the same dump without debug information.

usage: bench_dwarf.py BUILD_DIR [MB=500] [FOLDER] [RUNS=3] [--compressed]

The program is C++, made of COPIES of UNITS different units that include much of the standard library, until its file is as
large as asked for; FOLDER keeps it. Prints one JSON line: medians over the runs.
"""
import json
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

UNITS, CLASSES = 6, 45
HEADERS = ("algorithm", "any", "chrono", "deque", "filesystem", "functional", "future", "iostream", "list", "map", "memory",
           "optional", "random", "regex", "set", "sstream", "string", "thread", "tuple", "unordered_map", "variant", "vector")


def unit(number):
    """Distinct classes and templates of them, hundreds each."""
    lines = [f"#include <{h}>" for h in HEADERS] + [f"namespace unit{number} {{"]
    for i in range(CLASSES):
        base = f": C{i - 1}" if i % 5 else ""
        lines.append(f"struct C{i} {base} {{ virtual ~C{i}() {{}} std::vector<C{i}*> kids; std::map<std::string, C{i}> named; "
                     f"std::unordered_map<int, std::unique_ptr<C{i}>> owned; std::shared_ptr<C{i}> twin; int n{i}; "
                     f"int walk(int d) {{ int s = n{i}; for (auto *k : kids) s += k->walk(d - 1); return s + (int)named.size(); }} }};")
        lines.append(f"C{i} g{i};")
    lines.append("int run() { int s = 0;" + "".join(f" s += g{i}.walk(3);" for i in range(CLASSES)) + " return s; }")
    return "\n".join(lines + ["}", f'extern "C" int run{number}() {{ return unit{number}::run(); }}'])


MAIN = """
#include <csignal>
#include <map>
#include <string>
#include <vector>
struct Session { std::string name; std::vector<Session *> friends; std::map<int, std::string> log; };
std::vector<Session *> g_sessions;
int main()
{
	for (int i = 0; i < 2000; i++) {
		Session *s = new Session{"a name that is long enough for the heap", {}, {}};
		for (int k = 0; k < 5; k++)
			s->log[k] = std::string(40, 'x');
		if (i)
			s->friends.push_back(g_sessions[i / 2]);
		g_sessions.push_back(s);
	}
	raise(SIGUSR2);
}
"""


def build(folder, megabytes, compressed):
    program = folder / f"big{megabytes}{'z' if compressed else ''}"
    if program.exists():
        return program
    flags = ["g++", "-g", "-O1", "-std=c++17"]
    (folder / "main.cc").write_text(MAIN)
    subprocess.run(flags + ["-c", "main.cc"], cwd=folder, check=True)
    for n in range(UNITS):
        if not (folder / f"unit{n}.o").exists():
            (folder / f"unit{n}.cc").write_text(unit(n))
            subprocess.run(flags + ["-c", f"unit{n}.cc"], cwd=folder, check=True)
    size = sum((folder / f"unit{n}.o").stat().st_size for n in range(UNITS))
    copies = max(1, round(megabytes * 1.0e6 / (size * 0.27)))
    objects = [folder / "main.o"] + [folder / f"unit{n}.o" for n in range(UNITS)]
    for copy in range(1, copies):
        for n in range(UNITS):
            to = folder / f"unit{n}_{copy}.o"
            subprocess.run(["objcopy", f"--redefine-sym=run{n}=run{n}_{copy}", "--wildcard", "--weaken-symbol=*",
                            folder / f"unit{n}.o", to], check=True)
            objects.append(to)
    (folder / "objects").write_text("\n".join(map(str, objects)))
    subprocess.run(["g++", "-Wl,--build-id", "-o", program, "@objects"] + (["-Wl,--compress-debug-sections=zlib"] if compressed else []),
                   cwd=folder, check=True)
    for o in folder.glob("unit*_*.o"):
        o.unlink()
    return program


def usage_of(command, **more):
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **more)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        sys.exit(f"{command}: exit status {process.returncode}")
    return time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def main(build_dir, megabytes="500", folder=None, runs="3", *options):
    holdfast = os.path.abspath(os.path.join(build_dir, "bin", "holdfast"))
    folder = pathlib.Path(folder or tempfile.mkdtemp(prefix="bench_dwarf")).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    program = build(folder, int(megabytes), "--compressed" in options)
    dump, database, cache = folder / "big.hfd", folder / "big.hfdb", folder / "cache"
    dump.unlink(missing_ok=True)
    subprocess.run([holdfast, "run", "-o", dump, "--", program], check=True, stderr=subprocess.DEVNULL)
    while not dump.exists():
        time.sleep(0.05)
    load = [holdfast, "load", dump, "-o", database]
    environment = {**os.environ, "XDG_CACHE_HOME": str(cache)}
    kinds = {"first": [], "later": [], "without": []}
    for _ in range(int(runs)):
        shutil.rmtree(cache, ignore_errors=True)
        kinds["first"].append(usage_of(load, env=environment))
        kinds["later"].append(usage_of(load, env=environment))
        whole, stripped = (folder / f"{program.name}.{end}" for end in ("whole", "stripped"))
        subprocess.run(["strip", "--strip-debug", "-o", stripped, program], check=True)
        program.rename(whole)
        stripped.rename(program)
        kinds["without"].append(usage_of(load, env=environment))
        whole.rename(program)
    row = {"bench": "dwarf", "file_mb": round(program.stat().st_size / 1e6), "compressed": "--compressed" in options}
    for kind, results in kinds.items():
        for name, column in zip(("wall_s", "cpu_s", "peak_mib"), zip(*results)):
            row[f"{kind}_{name}"] = round(statistics.median(column), 2)
    row["cache_mb"] = round(sum(f.stat().st_size for f in cache.rglob("*") if f.is_file()) / 1e6, 1) if cache.exists() else 0
    print(json.dumps(row))


if __name__ == "__main__":
    main(*sys.argv[1:])
