#!/usr/bin/env python3
"""Each command's --help and its man page name the same options: help_man.py HOLDFAST MAN_DIR."""
import pathlib
import re
import subprocess
import sys

holdfast, man = sys.argv[1], pathlib.Path(sys.argv[2])
failures = []


def help_of(*args):
    return subprocess.run([holdfast, *args, "--help"], check=True, capture_output=True, text=True).stdout


def options_of_help(text):
    """{'-n': 'N', '--json': None, ...}"""
    found = {}
    for line in text.split("Options:")[1].splitlines():
        # Texts that go on in a further line start farther to the right.
        if not re.match(r" {2,6}-", line):
            continue
        spec = re.split(r"\s{2,}", line.strip())[0]
        argument = re.search(r"[ =]([A-Z]+)\]?$", spec)
        for flag in re.findall(r"(?<![\w-])(--?[a-zA-Z][\w-]*)", spec):
            found[flag] = argument.group(1) if argument else None
    return found


def options_of_man(text):
    found = {}
    in_list = text.split("The options:")[1] if "The options:" in text else ""
    for line in re.findall(r"^\.It (Fl .*)$", in_list, re.M):
        argument = re.search(r"Ar (\w+)", line)
        for flag in re.findall(r"Fl (-?[\w-]+)", line):
            found["-" + flag] = argument.group(1) if argument else None
    return found


commands = re.findall(r"^  (\w+) +", help_of().split("Commands:")[1].split("\n\n")[0], re.M)
if len(commands) < 10:
    failures.append(f"--help names only {commands}")
overview = (man / "holdfast.1").read_text(encoding="utf-8")
for command in commands:
    page = man / f"holdfast-{command}.1"
    if not page.exists():
        failures.append(f"{command}: no {page.name}")
        continue
    if f".It Xr holdfast-{command} 1" not in overview:
        failures.append(f"{command}: not in holdfast.1")
    have, want = options_of_man(page.read_text(encoding="utf-8")), options_of_help(help_of(command))
    if have != want:
        failures.append(f"{command}: --help has {want}\n{' ' * len(command)}  the page has {have}")
for page in man.glob("holdfast-*.1"):
    if page.stem.removeprefix("holdfast-") not in commands:
        failures.append(f"{page.name}: no such command")
print("\n".join(failures))
sys.exit(1 if failures else 0)
