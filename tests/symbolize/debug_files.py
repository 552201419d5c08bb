#!/usr/bin/env python3
"""Debug information is found wherever it may lie, and another build's is refused.

    debug_files.py PROBE
"""
import os
import shutil
import subprocess
import sys
import tempfile

probe = os.path.abspath(sys.argv[1])
failed = 0


def run(*command, **options):
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, **options)


def build_id(path):
    notes = subprocess.run(["readelf", "-n", path], check=True, text=True, stdout=subprocess.PIPE).stdout
    return notes.split("Build ID: ")[1].split()[0] if "Build ID: " in notes else ""


def ask(path, identity, *places, env=None):
    out = subprocess.run([probe, path, identity, *places], check=True, text=True,
                         stdout=subprocess.PIPE, env=env).stdout
    facts = {}
    for line in out.splitlines():
        key, _, value = line.partition(" ")
        facts.setdefault(key, []).append(value)
    return facts


def check(what, facts, state, **wanted):
    global failed
    problems = []
    if facts["state"] != [state]:
        problems.append(f"state {facts['state']}, not {state}")
    if (state == "ok") != ("sample" in facts.get("struct", [])):
        problems.append("struct sample: " + repr(facts.get("struct")))
    for key, part in wanted.items():
        if part not in facts[key.replace("_", "-")][0]:
            problems.append(f"{key} {facts[key.replace('_', '-')]}, not {part}")
    if (state == "ok") != (facts["advice"] == [""]):
        problems.append(f"advice {facts['advice']}")
    print(("FAIL" if problems else "ok  "), what, "; ".join(problems))
    failed += bool(problems)


os.environ.pop("DEBUGINFOD_URLS", None)
top = tempfile.mkdtemp(prefix="debug_files")
try:
    os.chdir(top)
    source = "struct sample { struct sample *next; long v; } g;\nint main(void) { return g.next != 0; }\n"
    with open("a.c", "w") as f:
        f.write(source)

    for flags in (["-gdwarf-4"], ["-gdwarf-5"], ["-gdwarf-5", "-gz=zlib"]):
        path = f"{top}/plain{''.join(flags)}"
        run("gcc", *flags, "-o", path, "a.c")
        check("in the file, " + " ".join(flags), ask(path, build_id(path)), "ok", debug=path)
        check("  deleted since", ask(path + " (deleted)", build_id(path)), "ok")

    other = "0123456789abcdef0123456789abcdef01234567"
    check("another build id", ask(path, other), "refused", advice="other build id")
    check("no such file", ask(top + "/nowhere", other), "no-file", advice="--sysroot")
    check("no file at all", {**ask("[vdso]", ""), "advice": ["-"]}, "no-module")

    # Separate debug files.
    run("gcc", "-g", "-o", "full", "a.c")
    identity = build_id("full")
    run("objcopy", "--only-keep-debug", "full", "full.debug")
    run("objcopy", "--strip-all", "full", "bare")
    bare = f"{top}/bare"
    check("stripped", ask(bare, identity), "missing", advice="--debug-dir")
    os.makedirs(f"dir/.build-id/{identity[:2]}")
    by_id = f"{top}/dir/.build-id/{identity[:2]}/{identity[2:]}.debug"
    shutil.copy("full.debug", by_id)
    check("by build id", ask(bare, identity, "", f"{top}/dir"), "ok", debug=by_id, elf=bare)
    check("  in the second directory", ask(bare, identity, "", f"{top}/none", f"{top}/dir"), "ok")
    check("  without the module", ask(top + "/gone", identity, "", f"{top}/dir"), "ok")
    check("  module changed since", ask(path, identity, "", f"{top}/dir"), "ok", debug=by_id)
    os.makedirs("flat")
    shutil.copy("full.debug", "flat/bare.debug")
    check("by name", ask(bare, identity, "", f"{top}/flat"), "ok", debug="flat/bare.debug")
    run("gcc", "-g", "-DX=1", "-Wl,--build-id=0x" + other, "-o", "flat/bare.debug", "a.c")
    check("  of another build", ask(bare, identity, "", f"{top}/flat"), "missing")
    run("objcopy", "--add-gnu-debuglink=full.debug", "bare", "linked")
    check("debug link", ask(f"{top}/linked", identity), "ok", debug="full.debug")
    os.makedirs(".debug")
    shutil.move("full.debug", ".debug/full.debug")
    check("  in .debug", ask(f"{top}/linked", identity), "ok", debug=".debug/full.debug")

    # No build id: only the checksum of the link tells.
    run("gcc", "-g", "-Wl,--build-id=none", "-o", "noid", "a.c")
    run("objcopy", "--only-keep-debug", "noid", "noid.debug")
    run("objcopy", "--strip-all", "--add-gnu-debuglink=noid.debug", "noid", "noid.bare")
    check("link without build id", ask(f"{top}/noid.bare", ""), "ok", debug="noid.debug")
    with open("noid.debug", "ab") as f:
        f.write(b"x")
    check("  wrong checksum", ask(f"{top}/noid.bare", ""), "missing")

    # A container's files below a sysroot.
    os.makedirs("root/opt/app")
    os.makedirs(f"root/usr/lib/debug/.build-id/{identity[:2]}")
    shutil.copy("bare", "root/opt/app/bare")
    check("sysroot", ask("/opt/app/bare", identity, f"{top}/root"), "missing")
    shutil.copy(".debug/full.debug", f"root/usr/lib/debug/.build-id/{identity[:2]}/{identity[2:]}.debug")
    check("  with its debug files", ask("/opt/app/bare", identity, f"{top}/root"), "ok",
          elf=f"{top}/root/opt/app/bare")

    # Split DWARF.
    run("gcc", "-g", "-gsplit-dwarf", "-c", "a.c", "-o", "split.o")
    run("gcc", "-o", "split", "split.o")
    check("split DWARF", ask(f"{top}/split", build_id("split")), "ok", units_missing="0")
    os.remove("split.dwo")
    facts = ask(f"{top}/split", build_id("split"))
    if facts["units-missing"] != ["1"] or "struct" in facts:
        print("FAIL missing .dwo is not counted", facts)
        failed += 1

    # dwz: what two files share is in a third one.
    if shutil.which("dwz"):
        more = "".join(f"struct shared{i} {{ struct shared{i} *p; long a, b, c; }} s{i};\n" for i in range(40))
        for name in ("one", "two"):
            with open(name + ".c", "w") as f:
                f.write(source + more)
            run("gcc", "-g", "-gdwarf-4", "-o", name, name + ".c")
        run("dwz", "-m", "common.debug", "-M", f"{top}/common.debug", "one", "two")
        facts = ask(f"{top}/one", build_id("one"))
        print("ok   dwz" if facts["state"] == ["ok"] else f"FAIL dwz {facts}")
        failed += facts["state"] != ["ok"]
    else:
        print("skipped: dwz (package dwz is not installed)")

    # Damage.
    data = bytearray(open("full", "rb").read())
    for cut in range(0, len(data), 997):
        with open("cut", "wb") as f:
            f.write(data[:cut])
        ask(f"{top}/cut", identity)
    for at in range(0, len(data), 61):
        bad = bytearray(data)
        bad[at] ^= 0xff
        with open("cut", "wb") as f:
            f.write(bad)
        ask(f"{top}/cut", identity)

    # debuginfod: asked only when it is set; an address where nobody listens.
    env = {**os.environ, "DEBUGINFOD_URLS": "http://127.0.0.1:9", "DEBUGINFOD_CACHE_PATH": f"{top}/cache",
           "DEBUGINFOD_TIMEOUT": "1"}
    facts = ask(bare, identity, env=env)
    check("debuginfod does not answer", facts, "missing")
    if "libdebuginfod1" in facts["advice"][0]:
        print("skipped: debuginfod (package libdebuginfod1 is not installed)")
    else:
        os.makedirs(f"served/buildid/{identity}")
        shutil.copy(by_id, f"served/buildid/{identity}/debuginfo")
        env["DEBUGINFOD_URLS"] = f"file://{top}/served"
        check("debuginfod", ask(bare, identity, env=env), "ok")
finally:
    shutil.rmtree(top)
sys.exit(failed != 0)
