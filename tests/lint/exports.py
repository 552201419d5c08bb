"""libholdfast.so exports exactly the global symbols that its version script names."""
import pathlib
import re
import subprocess
import sys


def main(library, version_script):
    text = re.sub(r"/\*.*?\*/|#[^\n]*", "", pathlib.Path(version_script).read_text(), flags=re.S)
    named = set()
    for block in re.findall(r"global\s*:(.*?)(?:local\s*:|})", text, flags=re.S):
        named.update(name.strip() for name in block.split(";") if name.strip())
    versions = set(re.findall(r"^\s*([A-Za-z_][\w.]*)\s*{", text, flags=re.M))
    out = subprocess.run(["nm", "-D", "--defined-only", "-P", library],
                         check=True, capture_output=True, text=True).stdout
    exported = {line.split()[0].split("@")[0] for line in out.splitlines()} - versions
    for name in sorted(exported - named):
        print(f"{library} exports {name}, which {version_script} does not name")
    for name in sorted(named - exported):
        print(f"{version_script} names {name}, which {library} does not export")
    print(f"lint_exports: {len(exported)} exported, {len(named)} named")
    return 0 if exported == named and named else 1


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
