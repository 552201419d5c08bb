"""Programs at work while they are dumped again and again: what they must not notice. For the stress
tests and their benchmark. Standard library only."""
import collections
import contextlib
import os
import pathlib
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.request

from harness import Failure

END_TIMEOUT_S = 120
INTERVAL_S = 0.1  # between dumps


def expect(condition, message):
    if not condition:
        raise Failure(message)


def read_proc(pid, name):
    return pathlib.Path(f"/proc/{pid}/{name}").read_bytes().decode(errors="replace")


SESSIONS = set()  # of the programs that were started


def start(words, **options):
    """A program in a session of its own, by which its forks are known."""
    process = subprocess.Popen(words, start_new_session=True, **options)
    SESSIONS.add(process.pid)
    return process


def session_of(pid):
    return int(read_proc(pid, "stat").rpartition(")")[2].split()[3])


def processes_of(folder):
    """Every process of the programs' sessions, or with this folder in its words or environment."""
    for name in os.listdir("/proc"):
        with contextlib.suppress(OSError):
            if name.isdigit() and int(name) != os.getpid() and (
                    session_of(name) in SESSIONS or
                    str(folder) in read_proc(name, "cmdline") + read_proc(name, "environ")):
                yield int(name)


def wait_for_no_others(folder, expected=(), within_s=END_TIMEOUT_S):
    """Dumps that are still being written come to their end; nothing else may be left."""
    until = time.monotonic() + within_s
    while left := set(processes_of(folder)) - set(expected):
        if time.monotonic() > until:
            names = {pid: read_proc(pid, "comm").strip() for pid in left if os.path.exists(f"/proc/{pid}")}
            raise Failure(f"processes are left: {names}")
        time.sleep(0.02)


class Footprint:
    """What a process has open and mapped."""

    def __init__(self, pid):
        self.descriptors = {}
        for fd in os.listdir(f"/proc/{pid}/fd"):
            with contextlib.suppress(OSError):
                self.descriptors[int(fd)] = os.readlink(f"/proc/{pid}/fd/{fd}")
        self.maps = collections.Counter()
        self.files = read_proc(pid, "maps")
        for line in self.files.splitlines():
            span, perms, _, _, _, *path = line.split(None, 5)
            start, end = (int(x, 16) for x in span.split("-"))
            # The stack grows by itself.
            self.maps[(perms, 0 if path == ["[stack]"] else end - start, *path)] += 1
        self.threads = len(os.listdir(f"/proc/{pid}/task"))
        self.children = {int(c) for task in os.listdir(f"/proc/{pid}/task")
                         for c in read_proc(pid, f"task/{task}/children").split()}
        self.tracer = int(re.search(r"^TracerPid:\s*(\d+)", read_proc(pid, "status"), re.M)[1])

    def expect_same(self, later, what):
        for name in ("descriptors", "maps", "threads", "children", "tracer"):
            before, after = getattr(self, name), getattr(later, name)
            if before != after:
                if name == "maps":
                    before, after = before - after, after - before
                raise Failure(f"{what}: {name}: {before} before, {after} after")


class Dumper(threading.Thread):
    """Dumps of a process every so often, by signal or from outside."""

    def __init__(self, holdfast, pid, how, number=signal.SIGUSR2):
        super().__init__()
        self.holdfast, self.pid, self.how, self.number = holdfast, pid, how, number
        self.tool = str(pathlib.Path(holdfast.command).with_name("holdfast-dump"))
        self.done = threading.Event()
        self.count, self.problem = 0, None
        self.statuses = collections.Counter()

    def take(self):
        if self.how == "signal":
            os.kill(self.pid, self.number)
            return
        out = self.holdfast.folder / f"outside.{self.pid}.{self.count}.hfd"
        done = subprocess.run([self.tool, str(self.pid), "-o", out], capture_output=True, text=True)
        self.statuses[done.returncode] += 1
        gone = done.returncode == 3 and re.search("has ended|zombie|no memory of its own|there is no process", done.stderr)
        if done.returncode not in (0, 4) and not gone:
            raise Failure(f"holdfast-dump: exit status {done.returncode}: {done.stderr}")

    def run(self):
        due = time.monotonic()
        try:
            while not self.done.is_set() and os.path.exists(f"/proc/{self.pid}/exe"):
                self.take()
                self.count += 1
                due = max(due + INTERVAL_S, time.monotonic())
                self.done.wait(max(0, due - time.monotonic()))
        except (Failure, OSError) as problem:
            if not isinstance(problem, ProcessLookupError):
                self.problem = problem

    def __enter__(self):
        if self.how != "none":
            self.start()
        return self

    def __exit__(self, *exception):
        self.done.set()
        if self.is_alive():
            self.join()
        if self.problem and not exception[0]:
            raise Failure(str(self.problem))


def prefix_of(holdfast, how, *options):
    """The words before the program's own."""
    return holdfast.run_command("--max-dumps", "1000000", *options) if how == "signal" else []


def environment(holdfast):
    return {**os.environ, "HOLDFAST_TEST": str(holdfast.folder)}


def check_dumps(holdfast, dumper, verify=5, walkable=True):
    """All dumps came, and some of them are looked at closely."""
    wait_for_no_others(holdfast.folder)
    dumps = sorted(holdfast.folder.glob("*.hfd"), key=lambda p: p.stat().st_mtime)
    temporary = list(holdfast.folder.glob("*.tmp"))
    expect(not temporary, f"temporary files are left: {temporary}")
    for dump in dumps[::max(1, len(dumps) // verify)][:verify]:
        holdfast("verify", dump, status=0 if walkable else 4)
    print(f"  {dumper.how}: {dumper.count} dumps asked for, {len(dumps)} made, "
          f"exit statuses {dict(dumper.statuses)}" if dumper.how == "pid" else
          f"  {dumper.how}: {dumper.count} dumps asked for, {len(dumps)} made")
    expect(dumper.how == "none" or dumps, "no dump was made")
    for dump in dumps:
        dump.unlink()
    return len(dumps)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def wait_for_port(port):
    until = time.monotonic() + 20
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=1):
                return
        except OSError:
            expect(time.monotonic() < until, f"nobody listens on port {port}")
            time.sleep(0.02)


# One run of a program at work: outcome (to be the same always), operations a second, dumps made.
Run = collections.namedtuple("Run", "outcome rate dumps")


def command_run(holdfast, how, words, status, env=None, options=()):
    """A program that runs to its end."""
    started = time.monotonic()
    with start([*prefix_of(holdfast, how, *options), *map(str, words)], stdout=subprocess.PIPE,
                          env={**environment(holdfast), **(env or {})}) as process:
        if how == "signal":
            wait_for_library(process.pid)
        if how != "none":
            wait_for_heap(process, words[0])
        with Dumper(holdfast, process.pid, how) as dumper:
            output = process.communicate(timeout=600)[0]
        rate = 1 / (time.monotonic() - started)
    expect(process.returncode == status, f"{words[0]}: exit status {process.returncode}, not {status}")
    return Run((output, process.returncode), rate, check_dumps(holdfast, dumper))


def wait_for_library(pid, number=signal.SIGUSR2):
    """Before the library has started, the signal kills as in any program."""
    until = time.monotonic() + 20
    while time.monotonic() < until:
        with contextlib.suppress(OSError):
            caught = re.search(r"^SigCgt:\s*([0-9a-f]+)", read_proc(pid, "status"), re.M)
            if caught and int(caught[1], 16) >> (number - 1) & 1:
                return
        time.sleep(0.002)
    raise Failure(f"process {pid} never got a handler for signal {number}")


def wait_for_heap(process, program):
    """Before its first malloc, the dump of a program says that no allocator was found."""
    until = time.monotonic() + 20
    while time.monotonic() < until and process.poll() is None:
        with contextlib.suppress(OSError):
            if (os.path.basename(os.readlink(f"/proc/{process.pid}/exe")) == os.path.basename(program) and
                    "[heap]" in read_proc(process.pid, "maps")):
                return
        time.sleep(0.002)
    raise Failure(f"process {process.pid} never got a heap")


def busy(holdfast, how, program, plugin, rounds):
    env = {"BUSY_NO_SIGNALS": "1"} if how != "signal" else {}
    return command_run(holdfast, how, [program, plugin, rounds], 7, env=env)


# In the manner of SQLite's own speed test: many small statements, then few large ones.
SQLITE_SPEED = """
PRAGMA cache_size = 2000;
CREATE TABLE t1 (a INTEGER, b INTEGER, c TEXT);
CREATE TABLE t2 (a INTEGER PRIMARY KEY, b INTEGER, c TEXT);
WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {n})
	INSERT INTO t1 SELECT i, (i * 2654435761) % 1000003, printf('%d the number %x', i, i * 7919) FROM n;
INSERT INTO t2 SELECT a, b, c FROM t1 ORDER BY b;
CREATE INDEX t1_b ON t1 (b);
SELECT count(*), avg(b) FROM t1 WHERE c LIKE '%ff%';
SELECT count(*), sum(t2.b) FROM t1 JOIN t2 ON t1.b = t2.a;
UPDATE t2 SET b = b + 1, c = c || ' and more' WHERE a % 3 = 0;
DELETE FROM t1 WHERE b % 5 = 0;
SELECT b % 100, count(*), max(c) FROM t1 GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 10;
SELECT count(DISTINCT substr(c, 1, 4)), min(c), max(c) FROM t2;
SELECT sum(length(x)) FROM (SELECT group_concat(c) AS x FROM t2 GROUP BY a % 50);
VACUUM;
PRAGMA integrity_check;
"""


def sqlite(holdfast, how, n):
    return command_run(holdfast, how, ["sqlite3", "-batch", ":memory:", SQLITE_SPEED.format(n=n)], 0)


def redis(holdfast, how, n_requests, tests="set,get,incr,lpush,lrange_100,hset,zadd,mset"):
    """redis-server under redis-benchmark: every request is answered, no connection is lost."""
    port = free_port()
    words = ["redis-server", "--port", str(port), "--save", "", "--appendonly", "no", "--daemonize", "no",
             "--dir", str(holdfast.folder), "--loglevel", "warning"]
    with start([*prefix_of(holdfast, how), *words], stdout=subprocess.DEVNULL,
                          env=environment(holdfast)) as server:
        try:
            wait_for_port(port)
            before = Footprint(server.pid)
            with Dumper(holdfast, server.pid, how) as dumper:
                started = time.monotonic()
                client = subprocess.run(["redis-benchmark", "-p", str(port), "-n", str(n_requests), "-c", "20", "-d", "64",
                                         "-r", "10000", "-t", tests, "--csv"], capture_output=True, text=True, timeout=600)
                seconds = time.monotonic() - started
            wait_for_no_others(holdfast.folder, {server.pid})
            info = subprocess.run(["redis-cli", "-p", str(port), "info", "stats"], capture_output=True, text=True,
                                  timeout=60).stdout
            after = settle(before, server.pid, "redis-server")
        finally:
            server.terminate()
            status = server.wait(timeout=60)
    errors = [line for line in (client.stdout + client.stderr).splitlines() if "rror" in line or "WARN" in line]
    expect(client.returncode == 0 and not errors, f"redis-benchmark: exit status {client.returncode}, {errors}")
    answers = [line.split(",")[0] for line in client.stdout.splitlines()]
    # Debian's redis-server is linked to jemalloc, which has no walker.
    walkable = "libjemalloc" not in after.files
    rejected = re.search(r"rejected_connections:(\d+)", info)[1]
    return Run((answers, status, rejected), len(answers) * n_requests / seconds,
               check_dumps(holdfast, dumper, walkable=walkable))


def settle(before, pid, what, within_s=10):
    """The footprint once clients are gone: no more descriptors than before, the same children and mapped
    files. Threads and heap are the program's own affair."""
    until = time.monotonic() + within_s
    before.maps = {key[2] for key in before.maps if len(key) > 2}
    while True:
        after = Footprint(pid)
        after.maps = {key[2] for key in after.maps if len(key) > 2}
        before.threads = after.threads
        # The connection that set it up may have been open before.
        more = collections.Counter(after.descriptors.values()) - collections.Counter(before.descriptors.values())
        after.descriptors = more or before.descriptors
        try:
            before.expect_same(after, what)
            return after
        except Failure:
            if time.monotonic() > until:
                raise
            time.sleep(0.1)


NGINX_CONFIG = """
daemon off;
user root;
worker_processes 1;
pid {prefix}/nginx.pid;
error_log {prefix}/error.log;
events {{ worker_connections 256; }}
http {{
	access_log off;
	client_body_temp_path {prefix}/body; proxy_temp_path {prefix}/proxy; fastcgi_temp_path {prefix}/fastcgi;
	uwsgi_temp_path {prefix}/uwsgi; scgi_temp_path {prefix}/scgi;
	gzip on; gzip_types *;
	server {{ listen 127.0.0.1:{port}; root {prefix}/html; }}
}}
"""


def worker_of(master):
    until = time.monotonic() + 20
    while not (children := read_proc(master, f"task/{master}/children").split()):
        expect(time.monotonic() < until, "nginx has no worker")
        time.sleep(0.02)
    return int(children[0])


def fetch(url):
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=20) as response:
        return response.read()


def nginx(holdfast, how, seconds):
    """nginx under wrk: the answers are right, no connection is lost."""
    port, number = free_port(), signal.SIGRTMIN + 4
    prefix = holdfast.folder / f"nginx-{how}"
    (prefix / "html").mkdir(parents=True)
    (prefix / "html" / "page.html").write_text("".join(f"<p>paragraph {i * i}</p>\n" for i in range(400)))
    config = prefix / "nginx.conf"
    config.write_text(NGINX_CONFIG.format(prefix=prefix, port=port))
    with start([*prefix_of(holdfast, how, "--on-signal", "RTMIN+4"), "nginx", "-p", prefix, "-c", config,
                           "-e", prefix / "error.log"], env=environment(holdfast)) as server:
        try:
            wait_for_port(port)
            worker = worker_of(server.pid)
            url = f"http://127.0.0.1:{port}/page.html"
            fetch(url)  # by now it is all set up
            before = Footprint(worker)
            with Dumper(holdfast, worker, how, number=number) as dumper:
                client = subprocess.run(["wrk", "-t", "1", "-c", "20", "-d", str(seconds), "-H", "Accept-Encoding: gzip",
                                         url], capture_output=True, text=True, timeout=600)
            wait_for_no_others(holdfast.folder, {server.pid, worker})
            settle(before, worker, "nginx")
        finally:
            server.send_signal(signal.SIGQUIT)
            status = server.wait(timeout=60)
    expect(client.returncode == 0, f"wrk: exit status {client.returncode}: {client.stderr}")
    expect("Socket errors" not in client.stdout and "Non-2xx" not in client.stdout, f"wrk: {client.stdout}")
    expect("worker process" not in (prefix / "error.log").read_text(), "a worker of nginx ended")
    rate = float(re.search(r"Requests/sec:\s*([\d.]+)", client.stdout)[1])
    return Run(status, rate, check_dumps(holdfast, dumper))
