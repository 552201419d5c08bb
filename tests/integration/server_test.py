"""The demo's server: dumped while it serves, the answer to «who holds this?» is g_sessions.

usage: server_test.py HOLDFAST LEAKY_SERVER signal|pid
"""
import os
import re
import signal
import subprocess
import sys
import tempfile

from harness import Failure, Holdfast, expect

N_LOGINS = 4000


def dump_server(holdfast, server, how):
    """Two dumps: of the idle server after N_LOGINS, and of the busy one while more come in."""
    prefix = holdfast.run_command() if how == "signal" else []

    def dump(n):
        if how == "signal":
            os.kill(process.pid, signal.SIGUSR2)
            return holdfast.wait_for_dump(n=n)
        path = holdfast.folder / f"pid.{n}.hfd"
        holdfast("dump", process.pid, "-o", path)
        return path

    with subprocess.Popen([*prefix, server], stdout=subprocess.PIPE, text=True) as process:
        try:
            port = re.fullmatch(r"listening on port (\d+)\n", process.stdout.readline())[1]
            client = [server, "--client", port, "--logins"]
            subprocess.run([*client, str(N_LOGINS)], check=True, stdout=subprocess.DEVNULL, timeout=120)
            idle = dump(1)
            with subprocess.Popen([*client, str(4 * N_LOGINS)], stdout=subprocess.PIPE, text=True) as busy_client:
                busy = dump(2)
                answered = busy_client.communicate(timeout=120)[0]
            expect("answers around the dump", answered, f"{16 * N_LOGINS} requests answered\n")
        finally:
            process.terminate()
        last = process.stdout.read()
    expect("what the server says at its end", (last, process.returncode), (f"{5 * N_LOGINS} sessions in the table\n", 0))
    return idle, busy


def main(holdfast_path, server, how):
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as folder:
        holdfast = Holdfast(holdfast_path, folder)
        idle, busy = dump_server(holdfast, server, how)
        first = holdfast.json("top", idle, "--by", "root", "-n", 1)["rows"][0]
        expect("largest root", (first["name"], first["kind"]), ("g_sessions", "static"))
        # The table, and for each login the session, the user, the name and the avatar.
        expect("objects it holds", first["held_count"], 1 + 4 * N_LOGINS)
        expect("leaked objects", holdfast.json("leaks", idle)["leak_count"], 0)
        avatars = [row["addr"] for row in holdfast.json(
            "sql", idle, f"SELECT printf('0x%x', addr) AS addr FROM object WHERE holder_id IS NOT NULL AND size > 3000 "
            f"ORDER BY addr LIMIT {N_LOGINS} OFFSET 7")[::N_LOGINS // 5]]
        for avatar in avatars:
            path = holdfast.json("who", idle, avatar)["path"]
            # buckets[n] → next … → user → avatar
            if not re.match(r"g_sessions->\S+$", path["text"]) or len(path["hops"]) < 5:
                raise Failure(f"who {avatar}: {path['text']}")
        print(f"ok   {len(avatars)} avatars are held by g_sessions")
        first = holdfast.json("top", busy, "--by", "root", "-n", 1)["rows"][0]
        expect("largest root of the busy server", first["name"], "g_sessions")
        holdfast("verify", busy)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except Failure as failure:
        print(f"FAIL {failure}")
        sys.exit(1)
