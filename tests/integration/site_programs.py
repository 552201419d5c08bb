"""Programs run as ever with the recorder in front of them: the same output, status and no message.

site_programs.py LIBRARY
"""
import os
import shutil
import subprocess
import sys
import tempfile
import time

PYTHON = """
import hashlib, json, os, re, subprocess, sys, threading
def work(n):
    d = {str(i): [i] * (i % 17) for i in range(n)}
    return len(json.dumps(d))
t = [threading.Thread(target=work, args=(3000,)) for _ in range(4)]
[x.start() for x in t]; [x.join() for x in t]
print(work(20000), hashlib.sha256(b"x" * 1000000).hexdigest())
print(subprocess.run(["sh", "-c", "echo child"], capture_output=True).stdout)
pid = os.fork()
if not pid:
    work(5000); os._exit(0)
print(os.waitpid(pid, 0)[1])
def deep(n):
    return deep(n - 1) if n else 0
try:
    deep(10**5)
except RecursionError:
    print("deep")
"""
SQL = """
create table t(a integer primary key, b text, c real);
with recursive n(x) as (select 1 union all select x+1 from n where x<30000)
insert into t select x, hex(x*x), x/3.0 from n;
create index i on t(b);
select count(*), sum(length(b)), max(c) from t where b like '%5%';
select group_concat(b) from (select b from t order by b limit 5);
"""
COMMANDS = [
    ("python3", ["/usr/bin/python3", "-c", PYTHON], None),
    ("sqlite3", ["sqlite3", ":memory:"], SQL),
    ("sh", ["sh", "-c", "for i in 1 2 3; do ls / | sort | md5sum; done"], None),
]


def run(command, text, env):
    out = subprocess.run(command, input=text, env=env, capture_output=True, text=True, timeout=120)
    return out.returncode, out.stdout, out.stderr


def redis(env):
    """What a redis-server answers, and its status on SHUTDOWN."""
    with tempfile.TemporaryDirectory() as folder:
        socket = os.path.join(folder, "s")
        server = subprocess.Popen(["redis-server", "--port", "0", "--unixsocket", socket, "--dir", folder],
                                  env=env, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        for _ in range(200):
            if os.path.exists(socket):
                break
            time.sleep(0.05)
        cli = ["redis-cli", "-s", socket]
        script = "".join(f"set key{i} {'v' * (i % 300)}\nlpush list{i % 7} {i}\n" for i in range(3000))
        script += "dbsize\nllen list3\nstrlen key299\nbgsave\ndel list3\ndbsize\n"
        out = subprocess.run(cli, input=script, capture_output=True, text=True, timeout=60).stdout
        time.sleep(0.3)
        subprocess.run(cli + ["shutdown", "nosave"], capture_output=True, timeout=60)
        return server.wait(timeout=60), out, server.stderr.read()


def main(library):
    bad = 0
    for name, command, text in COMMANDS + [("redis", None, None)]:
        tool = "redis-server" if name == "redis" else command[0]
        if not shutil.which(tool) or (name == "redis" and not shutil.which("redis-cli")):
            print(f"{name}: not here, left out")
            continue
        ask = redis if name == "redis" else lambda env: run(command, text, env)
        plain = ask(dict(os.environ))
        for sample in "0", "512K", "16K", "1":
            got = ask(dict(os.environ, LD_PRELOAD=library, HOLDFAST=f"signal=off,sample={sample}"))
            same = got == plain
            bad += not same
            print(f"{name} sample={sample}: {'same' if same else f'{got} instead of {plain}'[:2000]}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
