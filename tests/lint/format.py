"""Fails on the C and C++ files that clang-format would change. Exit 77 (skipped) without it."""
import pathlib
import shutil
import subprocess
import sys

SUFFIXES = {".c", ".h", ".cc", ".cpp"}


def source_files(root):
    """Tracked and not ignored new files of a git checkout; of an exported tree, all of them."""
    git = ["git", "-c", "safe.directory=*", "-C", root, "ls-files", "-z", "-co", "--exclude-standard"]
    try:
        names = subprocess.run(git, check=True, capture_output=True, text=True).stdout.split("\0")
        files = [pathlib.Path(root, name) for name in names if name]
    except (OSError, subprocess.CalledProcessError):
        files = [p for p in pathlib.Path(root).rglob("*") if "build" not in p.relative_to(root).parts]
    return sorted(p for p in files if p.suffix in SUFFIXES and p.is_file())


def main(root):
    tool = next(filter(None, map(shutil.which, ["clang-format-14", "clang-format"])), None)
    if not tool:
        print("lint_format SKIPPED: no clang-format here (apt-get install clang-format-14)")
        return 77
    version = subprocess.run([tool, "--version"], check=True, capture_output=True, text=True).stdout
    if "version 14." not in version:
        print(f"lint_format SKIPPED: {tool} is not release 14, whose output the tree follows: {version}")
        return 77
    files = source_files(root)
    if not files:
        print("lint_format: no source file found")
        return 1
    run = subprocess.run([tool, "--dry-run", "-Werror", *map(str, files)])
    print(f"lint_format: {len(files)} files")
    return 1 if run.returncode else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
