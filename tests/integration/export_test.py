"""The heap by site for other tools: profiles that `go tool pprof` reads, flame graphs that are sound XML.

export_test.py HOLDFAST SITE_TARGET PROFILES [--go]

With --go the profiles go through pprof; exit 77 (skipped) without go. Without it everything else is tested.
"""
import gzip
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as xml

from harness import Failure, Holdfast

SVG = "{http://www.w3.org/2000/svg}"


def expect(what, condition, detail=""):
    if not condition:
        raise Failure(f"{what}: {detail}")


def make_dump(holdfast, target, name, *options):
    path = holdfast.folder / name
    subprocess.run([holdfast.command, "run", "-o", path, "--on-exit", *options, "--", target,
                    holdfast.folder / "manifest", "2", "exit"], check=True)
    return path


def totals(holdfast, dump):
    row = holdfast.json("sql", dump, "SELECT (SELECT sum(size) FROM object) AS live, (SELECT count(*) FROM object) AS n, "
                        "(SELECT sum(retained_size) FROM stat_site) AS retained, "
                        "(SELECT sum(live_bytes) FROM site) AS estimated")[0]
    return row["live"], row["n"], row["retained"], row["estimated"]


def check_svg(holdfast, dump, what, total):
    path = holdfast.folder / f"{what}.svg"
    holdfast("export", dump, "--format", "svg", "--what", what, "-o", path)
    root = xml.parse(path).getroot()
    boxes = root.findall(f"{SVG}g[@id='boxes']/{SVG}g")
    by_depth = {}
    for box in boxes:
        depth, x, w = int(box.get("data-d")), float(box.get("data-x")), float(box.get("data-w"))
        expect("a box is inside", -1e-6 <= x <= x + w <= 1 + 1e-6, (x, w))
        by_depth.setdefault(depth, []).append((x, w))
        rect = box.find(f"{SVG}rect")
        expect("its rectangle is where it says", abs(float(rect.get("x")) - 12 - x * 1176) < 0.1, box.get("data-n"))
    for depth, row in by_depth.items():
        row.sort()
        for (x, w), (after, _) in zip(row, row[1:]):
            expect(f"boxes of depth {depth} overlap", x + w <= after + 1e-6, (x, w, after))
        expect(f"depth {depth} is no wider than all", sum(w for _, w in row) <= 1 + 1e-6, depth)
    names = [box.get("data-n") for box in boxes]
    expect("functions with their lines", any(re.match(r"leaf \(site_target\.c:\d+\)", n) for n in names), names[:20])
    expect("no allocator is in it", not any(n.startswith("leaf_malloc") for n in names), names)
    title = boxes[0].find(f"{SVG}title").text
    mib = float(re.search(r"([\d.]+) MiB", title)[1])
    expect("the root box says the whole", abs(mib - total / 2**20) < 0.06, (title, total))
    return path.read_text(encoding="utf-8")


def check_cli(holdfast, dump):
    def fails(status, says, *args):
        done = subprocess.run([holdfast.command, *map(str, args)], capture_output=True, text=True, check=False)
        expect(f"{args}: exit status and message", done.returncode == status and says in done.stderr and
               done.stderr.count("\n") == 1, done)
    out = holdfast.folder / "out"
    for name in ("heapsnapshot", "hprof", "html", "dot", "csv", "parquet"):
        fails(2, "pprof, svg", "export", dump, "--format", name, "-o", out)
    fails(2, "--format", "export", dump, "-o", out)
    fails(2, "-o FILE", "export", dump, "--format", "svg")
    fails(2, "live or retained", "export", dump, "--format", "svg", "--what", "all", "-o", out)
    fails(1, "nowhere", "export", dump, "--format", "svg", "-o", "/nowhere/x.svg")
    fails(3, "nothing.hfd", "export", holdfast.folder / "nothing.hfd", "--format", "svg", "-o", out)
    fails(3, "not a heap profile", "symbolize", dump, "-o", out)
    expect("nothing is left behind", not out.exists())
    piped = subprocess.run([holdfast.command, "export", dump, "--format", "pprof", "-o", "-"], capture_output=True, check=True)
    expect("-o -", gzip.decompress(piped.stdout))


def check_outputs(holdfast, dump):
    """What is no file is written into and stays what it is; links are neither followed nor replaced."""
    export = [holdfast.command, "export", dump, "--format", "pprof", "-o"]
    profile = dump.with_suffix(".hfp.pb.gz")
    fifo, link, dangling, target = (holdfast.folder / name for name in ("fifo", "link", "dangling", "target"))
    os.mkfifo(fifo)
    to_fifo = holdfast.folder / "to_fifo"
    to_fifo.symlink_to(fifo)
    for command in ([*export, fifo], [*export, to_fifo], [holdfast.command, "symbolize", profile, "-o", fifo]):
        reader = subprocess.Popen(["cat", fifo], stdout=subprocess.PIPE)
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode:
            reader.kill()
        got = reader.communicate()[0]
        expect(f"{command}: into a pipe", done.returncode == 0 and gzip.decompress(got), done)
        expect("it stays a pipe", fifo.is_fifo() and to_fifo.is_symlink())
    with open(target, "wb") as stdout:
        subprocess.run([*export, "/dev/stdout"], stdout=stdout, check=True)
    expect("/dev/stdout", gzip.decompress(target.read_bytes()))
    node = holdfast.folder / "null"
    try:
        os.mknod(node, 0o666 | stat.S_IFCHR, os.makedev(1, 3))
        with open(node, "wb"):
            pass
    except OSError as error:
        print(f"export: a device node of our own left out: {error}")
    else:
        subprocess.run([*export, node], check=True)
        expect("it stays a device", stat.S_ISCHR(node.lstat().st_mode), node.lstat())
    target.write_text("kept")
    link.symlink_to(target)
    dangling.symlink_to(holdfast.folder / "not there")
    to_profile = holdfast.folder / "to_profile.hfp.pb.gz"
    to_profile.symlink_to(profile)
    for refused, command in ((link, [*export, link]), (dangling, [*export, dangling]), (holdfast.folder, [*export, holdfast.folder]),
                             (link, [holdfast.command, "symbolize", profile, "-o", link]),
                             (to_profile, [holdfast.command, "symbolize", to_profile])):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        expect(f"{command}: refused", done.returncode == 1 and done.stderr.count("\n") == 1 and str(refused) in done.stderr, done)
    expect("links and their targets are as they were", link.is_symlink() and dangling.is_symlink() and to_profile.is_symlink() and
           target.read_text() == "kept" and not dangling.exists())


def pprof(*args):
    run = subprocess.run(["go", "tool", "pprof", *map(str, args)], capture_output=True, text=True, check=False,
                         env=dict(os.environ, HOME="/nonexistent", PPROF_TMPDIR=tempfile.gettempdir()))
    expect(f"pprof {args}", run.returncode == 0, run.stderr)
    return run.stdout


def sums(raw):
    """Of the values of each sample type."""
    rows = re.findall(r"^((?: +\d+)+): (?:\d+ ?)+$", raw, re.M)
    return [sum(column) for column in zip(*[[int(v) for v in row.split()] for row in rows])]


def check_pprof(holdfast, dump, sampled):
    live, n, retained, _ = totals(holdfast, dump)
    for what in ("live", "retained"):
        path = holdfast.folder / f"{what}.pb.gz"
        holdfast("export", dump, "--format", "pprof", "--what", what, "-o", path)
        raw = pprof("-raw", path)
        expect("sums of the values", sums(raw) == [n, live, retained], (sums(raw), n, live, retained))
        top = pprof("-top", path)
        expect("its default", f"Type: {'inuse' if what == 'live' else 'retained'}_space" in top, top)
        expect("functions", re.search(r"\bleaf\b", top) and not re.search("leaf_malloc", top), top)
        expect("lines", re.search(r"leaf \S*site_target\.c:\d+ s=0", raw), raw[-2000:])
        expect("the program comes first", re.search(r"^1: 0x\w+/0x\w+/0x\w+ \S*site_target_c \w{40}", raw, re.M), raw[-900:])
    expect("callers", re.search(r"100% +thread_main", pprof("-top", "-cum", holdfast.folder / "live.pb.gz")))
    expect("sites", "site: Total" in pprof("-tags", holdfast.folder / "live.pb.gz").replace("  ", " "))
    pprof("-traces", holdfast.folder / "live.pb.gz")
    pprof("-peek", "leaf", holdfast.folder / "live.pb.gz")
    difference = pprof("-top", "-base", holdfast.folder / "live.pb.gz", holdfast.folder / "live.pb.gz")
    expect("-base of itself is 0", re.search(r"of 0 total|0 of", difference), difference)
    holdfast("export", sampled, "--format", "pprof", "-o", holdfast.folder / "sampled.pb.gz")
    raw = pprof("-raw", holdfast.folder / "sampled.pb.gz")
    estimated = totals(holdfast, sampled)[3]
    expect("estimates", sums(raw)[1] == estimated and "estimates" in raw and "Period: 4096" in raw, raw[:500])


def check_symbolize(holdfast, dump, profiles):
    before = dump.with_suffix(".hfp.pb.gz")
    after = holdfast.folder / "named.pb.gz"
    said = holdfast("symbolize", before, "-o", after)
    named, all_of = map(int, re.search(r"(\d+) of (\d+) addresses", said).groups())
    # A stripped C library has no names for its inner functions.
    expect("all of the program have names", named > 15 and named >= all_of - 15, said)
    old, new = pprof("-raw", "-symbolize=none", before), pprof("-raw", "-symbolize=none", after)
    samples = lambda raw: raw[:raw.index("Locations")]
    expect("comments, samples, labels as they were", samples(old) == samples(new), samples(new)[:600])
    expect("names where there were none", re.search(r"leaf_malloc \S*site_target\.c:\d+", new) and
           not re.search(r"leaf_malloc \S*site_target\.c", old[old.index("Locations"):]), new[-2000:])
    # The program is gone: what is in the profile is enough.
    top = subprocess.run(["go", "tool", "pprof", "-top", "-symbolize=none", str(after)], capture_output=True, text=True,
                         check=True).stdout
    expect("readable without the program", "leaf_malloc" in top, top)
    shutil.copy(before, holdfast.folder / "in_place.pb.gz")
    holdfast("symbolize", holdfast.folder / "in_place.pb.gz")
    expect("in place", pprof("-raw", "-symbolize=none", holdfast.folder / "in_place.pb.gz") == new)
    holdfast("symbolize", holdfast.folder / "in_place.pb.gz")
    expect("twice is once", pprof("-raw", "-symbolize=none", holdfast.folder / "in_place.pb.gz") == new)
    for name, total in ("gperftools-exact.heap", 10300000), ("jemalloc-exact.heap", 10657920):
        holdfast("symbolize", pathlib.Path(profiles) / name, "-o", after)
        expect(f"{name}: bytes", sums(pprof("-raw", after))[-1] == total, sums(pprof("-raw", after)))


def main(holdfast_path, target, profiles, *options):
    options = [o for o in options if o]
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as folder:
        holdfast = Holdfast(holdfast_path, folder)
        if options and not shutil.which("go"):
            print("export_pprof SKIPPED: no go here (apt-get install golang-go)")
            return 77
        dump = make_dump(holdfast, target, "exact.hfd", "--exact")
        if options:
            check_pprof(holdfast, dump, make_dump(holdfast, target, "sampled.hfd", "--sample", "4K"))
            check_symbolize(holdfast, dump, profiles)
            return 0
        live, _, retained, _ = totals(holdfast, dump)
        check_svg(holdfast, dump, "live", live)
        text = check_svg(holdfast, dump, "retained", retained)
        expect("what overlaps is said", "sites overlap" in text)
        check_cli(holdfast, dump)
        check_outputs(holdfast, dump)
        sampled = make_dump(holdfast, target, "sampled.hfd", "--sample", "4K")
        text = check_svg(holdfast, sampled, "live", totals(holdfast, sampled)[3])
        expect("estimates are said", "Estimated from samples, one allocation in 4.0 KiB" in text)
        plain = make_dump(holdfast, target, "plain.hfd", "--no-sites")
        holdfast("export", plain, "--format", "svg", "-o", holdfast.folder / "plain.svg")
        expect("without sites", "(no site)" in (holdfast.folder / "plain.svg").read_text(encoding="utf-8"))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except Failure as failure:
        print(f"FAIL {failure}")
        sys.exit(1)
