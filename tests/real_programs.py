#!/usr/bin/env python3
"""Who holds the memory of programs that nobody here wrote, and what it is: real_programs.py HOLDFAST FOLDER [NAME…]

Redis (built with MALLOC=libc), vim, nginx, haproxy and sqlite3 are built in FOLDER from Debian's source packages, with
debug information; python3 and a second sqlite3 are the machine's own (types of the former need python3.11-dbg). Each is
filled, dumped from outside, and

- its report must name what is known to hold at least 85 % of its heap (where that is known). Where that retains less than
  half of what it holds, the words that reach in from outside are shown;
- of the bytes that are reachable as many must have a type as is written here; guesses are told apart;
- some object of each type that is named here must have a path that reads as the source says (docs/types.md has where).

Not part of the test suites: it downloads sources and builds for some minutes. Debian 12, root or
not; needs build-essential and redis-tools. FOLDER is kept: a second run builds nothing.
"""
import json
import os
import pathlib
import re
import socket
import sqlite3 as sqlite
import subprocess
import sys
import time

LEAST_PERCENT = 85
MIRROR = "http://deb.debian.org/debian"
KEYRING = "/usr/share/keyrings/debian-archive-keyring.gpg"
failures = 0


def sh(command, cwd):
    done = subprocess.run(command, shell=True, cwd=cwd, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode:
        sys.exit(f"{command}: exit status {done.returncode}\n{done.stdout[-2000:]}")


def source(folder, package, pattern):
    """The unpacked source package, by apt with lists of its own."""
    found = sorted(folder.glob(pattern))
    if not found:
        apt = folder / "apt"
        (apt / "lists" / "partial").mkdir(parents=True, exist_ok=True)
        (apt / "sources.list").write_text(f"deb-src [signed-by={KEYRING}] {MIRROR} bookworm main\n")
        options = (f"-o Dir::State::Lists={apt}/lists -o Dir::Etc::SourceList={apt}/sources.list "
                   f"-o Dir::Etc::SourceParts=/dev/null -o Dir::Cache={apt}")
        sh(f"apt-get {options} update && apt-get {options} source --download-only {package}", folder)
        sh(f"tar xf {package}_*.orig.tar.*", folder)
        found = sorted(folder.glob(pattern))
    return found[-1]


def build_redis(folder):
    tree = source(folder, "redis", "redis-[0-9]*")
    if not (tree / "src" / "redis-server").exists():
        sh("make -j2 MALLOC=libc OPTIMIZATION=-O2 REDIS_CFLAGS=-g", tree)
    return tree / "src" / "redis-server"


def build_vim(folder):
    tree = source(folder, "vim", "vim-[0-9]*")
    if not (tree / "src" / "vim").exists():
        sh("CFLAGS='-g -O2' ./configure --enable-gui=no --without-x --disable-nls --disable-acl && make -j2", tree)
    return tree / "src" / "vim"


def build_nginx(folder):
    tree = source(folder, "nginx", "nginx-[0-9]*")
    if not (tree / "objs" / "nginx").exists():
        sh("./configure --with-cc-opt='-g -O2' --without-http_rewrite_module --without-http_gzip_module && make -j2", tree)
    return tree / "objs" / "nginx"


def build_haproxy(folder):
    tree = source(folder, "haproxy", "haproxy-[0-9]*")
    if not (tree / "haproxy").exists():
        sh("make -j2 TARGET=linux-glibc USE_OPENSSL= USE_LUA= USE_PCRE= DEBUG_CFLAGS=-g", tree)
    return tree / "haproxy"


def build_sqlite3(folder):
    tree = source(folder, "sqlite3", "sqlite3-[0-9]*")
    if not (tree / "sqlite3").exists():
        sh("./configure --enable-static --disable-shared --disable-readline CFLAGS='-g -O2' && make -j2 sqlite3", tree)
    return tree / "sqlite3"


connections = []  # to the servers, open until the end


def connect(port, n, request):
    for _ in range(n):
        connection = socket.create_connection(("127.0.0.1", port))
        connection.sendall(request)
        connections.append(connection)
    time.sleep(0.5)


def listens(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


def until(what, condition, process):
    for _ in range(600):
        if condition():
            return
        if process.poll() is not None:
            sys.exit(f"{what}: ended with {process.returncode}")
        time.sleep(0.1)
    sys.exit(f"{what}: not ready after a minute")


def answers(command):
    return subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=False).stdout


def redis(folder):
    port = "7391"
    server = subprocess.Popen([build_redis(folder), "--port", port, "--save", "", "--dir", folder],
                              stdout=subprocess.DEVNULL)
    until("redis", lambda: "PONG" in answers(["redis-cli", "-p", port, "ping"]), server)
    subprocess.run(["redis-benchmark", "-p", port, "-t", "set,lpush,hset", "-n", "100000", "-r", "100000", "-d", "200",
                    "-q"], stdout=subprocess.DEVNULL, check=True)
    used = int(re.search(r"used_memory:(\d+)", answers(["redis-cli", "-p", port, "info", "memory"])).group(1))
    return server, f"INFO memory: used_memory {used / 2**20:.1f} MiB"


def vim(folder):
    text = folder / "huge.txt"
    text.write_text("".join(f"line {i} of a huge buffer, with some text in it\n" for i in range(400000)))
    line = f"{build_vim(folder)} -u NONE -n -c 'set ul=-1' -c '%s/huge/HUGE/' -c 'call writefile([], \"{folder}/vim.ready\")' {text}"
    (folder / "vim.ready").unlink(missing_ok=True)
    terminal = subprocess.Popen(["script", "-qec", "exec " + line, "/dev/null"], stdin=subprocess.PIPE,
                                stdout=subprocess.DEVNULL)
    until("vim", (folder / "vim.ready").exists, terminal)
    return terminal, "a buffer of 400,000 lines"


def python3(_):
    program = ("import time\nd = {i: 'v%d' % i * 5 for i in range(200000)}\nl = [[i, str(i)] for i in range(200000)]\n"
               "print('ready', flush=True)\ntime.sleep(600)")
    process = subprocess.Popen(["/usr/bin/python3", "-c", program], stdout=subprocess.PIPE, text=True,
                               env={**os.environ, "PYTHONMALLOC": "malloc"})
    process.stdout.readline()
    return process, "a dict and a list of 200,000"


NGINX = """daemon off; master_process off; worker_processes 1; error_log error.log; pid nginx.pid;
events { worker_connections 512; }
http { access_log off; keepalive_timeout 600; client_body_temp_path t; proxy_temp_path t; fastcgi_temp_path t; uwsgi_temp_path t;
 scgi_temp_path t;
 upstream back { server 127.0.0.1:7999; keepalive 16; }
 server { listen 127.0.0.1:7788; root html; location / { } location /api { proxy_pass http://back; } }
 server { listen 127.0.0.1:7789; server_name a b c; location /y { alias html; } } }
"""
HAPROXY = """global
    maxconn 200
defaults
    mode http
    timeout connect 5s
    timeout client 600s
    timeout server 600s
frontend front
    bind 127.0.0.1:7790
    acl is_api path_beg /api
    http-request set-header X-Seen yes
    use_backend api if is_api
    default_backend web
backend web
    server w1 127.0.0.1:7791
    server w2 127.0.0.1:7792
backend api
    stick-table type ip size 10k expire 30m store conn_cur
    http-request track-sc0 src
    server a1 127.0.0.1:7793
"""


def nginx(folder):
    home = folder / "nginx"
    (home / "logs").mkdir(parents=True, exist_ok=True)
    (home / "nginx.conf").write_text(NGINX)
    server = subprocess.Popen([build_nginx(folder), "-p", home, "-c", "nginx.conf"])
    until("nginx", lambda: listens(7788), server)
    connect(7788, 100, b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
    connect(7788, 50, b"GET / HTTP/1.1\r\nHost: a\r\nX-Long: " + b"y" * 300)
    return server, "150 connections, 50 of them with half a request"


def haproxy(folder):
    (folder / "haproxy.cfg").write_text(HAPROXY)
    server = subprocess.Popen([build_haproxy(folder), "-f", folder / "haproxy.cfg"], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    until("haproxy", lambda: listens(7790), server)
    connect(7790, 60, b"GET /api/x HTTP/1.1\r\nHost: a\r\nX-Long: " + b"y" * 300 + b"\r\n")
    return server, "60 connections"


def sqlite3_built(folder):
    return sqlite3(folder, build_sqlite3(folder))


def sqlite3(_, program="sqlite3"):
    process = subprocess.Popen([program, ":memory:"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    process.stdin.write("CREATE TABLE t(a, b); INSERT INTO t WITH RECURSIVE c(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM c "
                        "WHERE i < 300000) SELECT i, hex(randomblob(40)) FROM c; SELECT 'ready';\n")
    process.stdin.flush()
    process.stdout.readline()
    return process, "300,000 rows in memory"


# Name: how it is started; what the path of the first suspect must read like; the least percentage of reachable bytes with
# a type; and types with what the path of one of their objects must be.
PROGRAMS = {
    "redis": (redis, r"^server\.db\b.*dict", 4, {
        "struct dictEntry *[]": r"server\.db\[0\]\.dict->ht_table\[0\]",
        "struct dictEntry": r"server\.db\[0\]\.dict->ht_table\[0\]\[\d+\](->next)*",
        "struct aeFileEvent[]": r"server\.el->events",
        "struct client": r"lctx\.lua_client",
        "struct list": r"server\.aof_manifest->history_aof_list"}),
    "vim": (vim, r"\bb_ml\.ml_mfp\b|memfile", 95, {
        "struct file_buffer": r"buf_hashtab\.ht_smallarray\[\d+\]\.hi_key",
        "struct memfile": r"buf_hashtab\..*->b_ml\.ml_mfp",
        "unsigned char[]": r"buf_hashtab\..*->b_ml\.ml_mfp->mf_hash\.mht_buckets\[\d+\].*->bh_data",
        "struct nr_trans": r"buf_hashtab\..*->b_ml\.ml_mfp->mf_trans\.mht_buckets\[\d+\].*",
        "struct ml_chunksize[]": r"buf_hashtab\..*->b_ml\.ml_chunksize"}),
    "nginx": (nginx, None, 60, {
        "struct ngx_connection_s[]": r"ngx_cycle->\{struct ngx_cycle_s\}\.(free_)?connections",
        "struct ngx_event_s[]": r"ngx_cycle->\{struct ngx_cycle_s\}\.write_events",
        "struct epoll_event[]": r"event_list",
        "unsigned char[]": r".*->\{struct ngx_buf_s\}\.pos",
        "struct ngx_pool_s": r"ngx_cycle->.*d\.next"}),
    "haproxy": (haproxy, None, 60, {
        "struct fdtab[]": r"fdtab",
        "char[]": r"sink_list\.[np](->.*)?->ctx\.ring->buf\.area",
        "struct server": r"servers_list\.[np](->.*)?",
        "struct pool_head": r"pool_head_buffer",
        "struct stktable": r"stktable_by_name\.b\[0\]"}),
    "python3": (python3, r"^_PyRuntime\b", 98, {
        "struct _dictkeysobject": r"_PyRuntime\._main_interpreter\.modules->ma_keys",
        "PyDictObject": r"_PyRuntime\._main_interpreter\.modules->ma_keys->dk_entries\[\d+\]\.me_value->md_dict",
        "PyListObject": r"_PyRuntime\..*->md_dict->ma_keys->dk_entries\[\d+\]\.me_value",
        "struct _object *[]": r"_PyRuntime\..*->md_dict->ma_keys->dk_entries\[\d+\]\.me_value->ob_item",
        "PyUnicodeObject": r"_PyRuntime\..*->md_dict->ma_keys->dk_entries\[\d+\]\.me_value->ma_keys->dk_entries\[\d+\]\.me_value"}),
    "sqlite3_built": (sqlite3_built, r"^globalDb\b.*apHash", 95, {
        "struct sqlite3": r"globalDb",
        "struct Btree": r"globalDb->aDbStatic\[0\]\.pBt",
        "struct _ht[]": r"globalDb->aFunc\.ht",
        "struct HashElem": r"globalDb->aDbStatic\[0\]\.pSchema->tblHash\.first",
        "struct Pager": r"globalDb->.*->pPager"}),
    # no debug information, and no static data of its own: the object is the page cache's table
    "sqlite3": (sqlite3, r"->\[\*\]$", 0, {}),
}


def pid_of(process, name):
    """The program itself where `script` runs it."""
    children = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    return int(children[0]) if name == "vim" else process.pid


def look(holdfast, folder, name):
    global failures
    start, wanted, least, paths = PROGRAMS[name]
    process, note = start(folder)
    dump = folder / f"{name}.hfd"
    for old in (dump, folder / f"{name}.hfdb"):
        old.unlink(missing_ok=True)
    subprocess.run([holdfast, "dump", str(pid_of(process, name)), "-o", dump], check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    process.kill()
    process.wait()
    sys.stdout.flush()
    report = json.loads(subprocess.run([holdfast, "report", dump, "--json"], stdout=subprocess.PIPE, check=True,
                                       stderr=subprocess.DEVNULL).stdout)
    first = report["suspects"][0]
    root = json.loads(answers([holdfast, "top", dump, "--by", "root", "-n", "1", "--json"]))["rows"][0]
    share = 100 * root["held_size"] / report["live_size"]
    ok = not wanted or (share >= LEAST_PERCENT and re.search(wanted, first["path"]))
    failures += not ok
    print(f"{'ok  ' if ok else 'FAIL'} {name}: {report['live_size'] / 2**20:.1f} MiB live; {note}\n"
          f"     root {root['name']} holds {share:.1f} %\n"
          f"     {first['path']}  holds {first['share']:.1f} %, "
          f"retains {100 * first['retained_size'] / report['live_size']:.1f} %")
    if first["retained_size"] < first["held_size"] / 2:
        largest = json.loads(answers([holdfast, "top", dump, "--sort", "held", "-n", "1", "--json"]))["rows"][0]["addr"]
        who = json.loads(answers([holdfast, "who", dump, first["point_addr"] or first["addr"] or largest, "--json"]))
        for word in who.get("also_holds", [])[:3]:
            print(f"     also reached from {word['from']} ({word['bytes']} bytes)")


def path_of(db, object_id):
    """As `who` prints it, runs not joined."""
    steps = []
    while True:
        holder, root = db.execute("SELECT holder_id, holder_root_id FROM object WHERE id = ?", (object_id,)).fetchone()
        if not holder:
            name = db.execute("SELECT name FROM root WHERE id = ?", (root,)).fetchone()
            return (name[0] if name else "(leaked)") + "".join(reversed(steps))
        field, offset = db.execute(
            "SELECT n.field, n.src_offset FROM edge_named n LEFT JOIN edge e ON e.src_id = n.src_id AND "
            "e.src_offset = n.src_offset LEFT JOIN field f ON f.id = e.field_id WHERE n.src_id = ? AND n.dst_id = ? "
            "ORDER BY coalesce(f.pointer, 1) DESC, n.src_offset LIMIT 1", (holder, object_id)).fetchone()
        field = field or f"[+{offset}]"
        if field[0] != "(":
            steps.append(field if field[0] == "[" and field[1] != "+" else "->" + field)
        object_id = holder


def look_at_types(folder, name, least, paths):
    global failures
    db = sqlite.connect(folder / f"{name}.hfdb")
    total, typed, guessed, objects, n = db.execute(
        "SELECT sum(o.size), sum(iif(o.type_id, o.size, 0)), sum(iif(o.type_id AND n.confidence = 'guess', o.size, 0)), "
        "count(*), count(o.type_id) FROM object o LEFT JOIN origin n ON n.id = o.origin_id WHERE o.reachable").fetchone()
    share = 100 * typed / total
    failures += share < least
    print(f"{'ok  ' if share >= least else 'FAIL'} {name}: {share:.1f} % of {total} reachable bytes have a type, "
          f"{100 * guessed / total:.1f} % by a guess; {100 * n / objects:.1f} % of {objects} objects")
    for type_name, wanted in paths.items():
        found, last = None, "there is none"
        for row in db.execute("SELECT o.id, o.addr FROM object o JOIN type t ON t.id = o.type_id WHERE t.name = ? AND o.reachable "
                              "ORDER BY o.held_size DESC LIMIT 3000", (type_name,)):
            last = path_of(db, row[0])
            if re.fullmatch(wanted, last):
                found = f"{row[1]:#x}  {last}"
                break
        failures += not found
        print(f"     {found}  ({type_name})" if found else f"FAIL {type_name}: {last}, not {wanted}")


def main(holdfast, folder, *names):
    folder = pathlib.Path(folder).resolve()
    folder.mkdir(parents=True, exist_ok=True)
    for name in names or PROGRAMS:
        look(os.path.abspath(holdfast), folder, name)
        look_at_types(folder, name, *PROGRAMS[name][2:])
    return 1 if failures else 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
