"""Programs of every day behave under the library as without it, and their dumps are whole.

usage: programs_test.py HOLDFAST sqlite3|git|python3|nginx

Standard output and exit status must be the same; every dump must verify, load and add up.
"""
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

from harness import Failure, Holdfast

SKIPPED = 77

SQLITE_SCRIPT = """
CREATE TABLE t (a INTEGER PRIMARY KEY, b TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 20000)
INSERT INTO t SELECT i, hex(i * 7919) || printf('%.*c', i % 90, 'x') FROM n;
CREATE INDEX t_b ON t (b);
SELECT count(*), sum(a), max(length(b)), min(b), max(b) FROM t;
SELECT substr(b, 1, 2), count(*) FROM t GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 5;
"""

PYTHON_SCRIPT = """
import json, subprocess, sys, threading, zlib
words = ['%x' % (i * 2654435761 % 2**32) for i in range(50000)]
index = {}
for w in words:
    index.setdefault(w[:2], []).append(w)
results = []
def work(n):
    results.append(zlib.crc32(json.dumps(words[n::4]).encode()))
threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
[t.start() for t in threads]
[t.join() for t in threads]
print(len(index), sorted(results))
print(subprocess.run([sys.executable, '-c', 'print(6 * 7)'], capture_output=True, text=True).stdout)
sys.exit(7)
"""


def check_dump(holdfast, dump, least_objects):
    holdfast("verify", dump)
    db = holdfast.load(dump)
    n_objects, n_reachable = db.execute("SELECT count(*), total(reachable) FROM object").fetchone()
    if n_objects < least_objects or n_reachable < n_objects / 2:
        raise Failure(f"{dump.name}: {n_objects} objects, {n_reachable} reachable")
    bad = db.execute("SELECT name, expected, found FROM counter WHERE must_match AND expected != found").fetchall()
    if bad:
        raise Failure(f"{dump.name} does not add up: {bad}")
    dump.with_suffix(".hfdb").unlink()
    print(f"{dump.name}: {n_objects} objects, {n_reachable:.0f} reachable")


def run_both(holdfast, command, least_objects, **kwargs):
    """Run the command to its end without and with the library, which dumps at the exit, when most
    programs have given their memory back."""
    def run(prefix):
        return subprocess.run([*prefix, *command], stdout=subprocess.PIPE, timeout=120, **kwargs)
    without, under = run([]), run(holdfast.run_command("--on-exit"))
    if (without.stdout, without.returncode) != (under.stdout, under.returncode):
        raise Failure(f"{command}: exit status {without.returncode} and {len(without.stdout)} bytes without, "
                      f"{under.returncode} and {len(under.stdout)} bytes under the library")
    print(f"{command[0]}: exit status {under.returncode}, the same {len(under.stdout)} bytes")
    dumps = sorted(holdfast.folder.glob("*.hfd"))
    if not dumps:
        raise Failure(f"{command}: no dump")
    for dump in dumps:
        check_dump(holdfast, dump, least_objects)
        dump.unlink()


def sqlite3(holdfast):
    run_both(holdfast, ["sqlite3", "-batch", ":memory:", SQLITE_SCRIPT], 10)
    run_both(holdfast, ["sqlite3", "-batch", ":memory:", "SELECT nothing FROM nowhere"], 10, stderr=subprocess.DEVNULL)


def git(holdfast):
    repo = holdfast.folder / "repo"
    env = {**os.environ, "HOME": str(holdfast.folder), "GIT_CONFIG_NOSYSTEM": "1"}
    for name in ("AUTHOR", "COMMITTER"):
        env.update({f"GIT_{name}_NAME": "A", f"GIT_{name}_EMAIL": "a@example.org", f"GIT_{name}_DATE": "2001-02-03T04:05:06Z"})
    repo.mkdir()
    subprocess.run(["git", "init", "-q", "-b", "main", repo], check=True, env=env)
    for n in range(5):
        for k in range(20):
            (repo / f"file{k}").write_text("".join(f"line {i * n}\n" for i in range(100 + k)))
        subprocess.run(["git", "-C", repo, "add", "."], check=True, env=env)
        subprocess.run(["git", "-C", repo, "commit", "-q", "-m", f"change {n}"], check=True, env=env)
    run_both(holdfast, ["git", "-C", repo, "log", "--stat", "-p"], 50, env=env)
    run_both(holdfast, ["git", "-C", repo, "rev-parse", "--verify", "nothing"], 10, env=env, stderr=subprocess.DEVNULL)


def python3(holdfast):
    run_both(holdfast, ["/usr/bin/python3", "-c", PYTHON_SCRIPT], 10)
    run_both(holdfast, ["/usr/bin/python3", "-c", PYTHON_SCRIPT], 10, env={**os.environ, "PYTHONMALLOC": "malloc"})


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


NGINX_CONFIG = """
daemon off;
user root;
worker_processes 1;
pid {prefix}/nginx.pid;
error_log {prefix}/error.log;
events {{ worker_connections 64; }}
http {{
	access_log {prefix}/access.log;
	client_body_temp_path {prefix}/body; proxy_temp_path {prefix}/proxy; fastcgi_temp_path {prefix}/fastcgi;
	uwsgi_temp_path {prefix}/uwsgi; scgi_temp_path {prefix}/scgi;
	gzip on; gzip_types *;
	server {{ listen 127.0.0.1:{port}; root {prefix}/html; }}
}}
"""


def fetch(port, path):
    request = urllib.request.Request(f"http://127.0.0.1:{port}/{path}", headers={"Accept-Encoding": "gzip"})
    until = time.monotonic() + 20
    while True:
        try:
            with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=10) as response:
                return response.status, response.read()
        except urllib.error.HTTPError as error:
            return error.code, error.read()
        except OSError:
            if time.monotonic() > until:
                raise
            time.sleep(0.05)


def worker_of(master):
    return int(pathlib.Path(f"/proc/{master}/task/{master}/children").read_text().split()[0])


def serve_pages(prefix_words, prefix, during=lambda master: None):
    """nginx's answers and exit status; during is called between the first and the second round."""
    port = free_port()
    config = prefix / "nginx.conf"
    config.write_text(NGINX_CONFIG.format(prefix=prefix, port=port))
    server = subprocess.Popen([*prefix_words, "nginx", "-p", prefix, "-c", config, "-e", prefix / "error.log"])
    try:
        pages = [f"page{n}.html" for n in range(20)] + ["nothing"]
        answers = [fetch(port, page) for page in pages]
        during(server.pid)
        answers += [fetch(port, page) for page in pages]
    finally:
        server.send_signal(signal.SIGQUIT)
        status = server.wait(timeout=30)
    return answers, status


def nginx(holdfast):
    prefix = holdfast.folder / "prefix"
    (prefix / "html").mkdir(parents=True)
    for n in range(20):
        (prefix / "html" / f"page{n}.html").write_text("".join(f"<p>paragraph {i * n}</p>\n" for i in range(50 * n)))

    def dump_worker(master):
        # nginx has a use of its own for SIGUSR2.
        os.kill(worker_of(master), signal.SIGRTMIN + 4)
        holdfast.wait_for_dump()

    without = serve_pages([], prefix)
    under = serve_pages(holdfast.run_command("--on-signal", "RTMIN+4"), prefix, dump_worker)
    if without != under:
        raise Failure(f"nginx: exit status {without[1]} without and {under[1]} under the library; "
                      f"{sum(a != b for a, b in zip(without[0], under[0]))} of {len(under[0])} answers differ")
    print(f"nginx: exit status {under[1]}, the same {len(under[0])} answers before and after the dump")
    check_dump(holdfast, holdfast.wait_for_dump(), 50)


def main(holdfast_path, program):
    if not shutil.which(program):
        print(f"SKIPPED: {program} is not here (scripts/deps.sh installs it)")
        return SKIPPED
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as folder:
        globals()[program](Holdfast(holdfast_path, folder))
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except Failure as failure:
        print(f"FAIL {failure}")
        sys.exit(1)
