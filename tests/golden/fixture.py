#!/usr/bin/env python3
"""Makes a small database for the tests of the reports: tests/golden/fixture.py SCHEMA_DIR OUT [NAME].

The heap is drawn by hand below; what the analyzer would compute (dominators, holders, sums,
summaries) is worked out here in the plainest way, so that it can serve as an oracle as well.

NAME: `sessions` (default): a table of sessions, each with a list, a long list of its own, words
that spoil dominance, leaks. `grown`, `more`: the same after more sessions came. `partial`: the same with
findings that make it partial. `spoilt`: with words that leave the largest holders next to nothing. `indexed`: with a second way to every session.
`empty`: no objects. `hollow`, `rootless`: partial without objects, without roots. `shaped`: lists and search trees, see shaped(). `threaded`: see there. `alike`: `sited` with more sites of one line. `sited`: sessions with allocation sites. `sampled`: with those of some. `orphan`: with those of all, and without the profile that has their names. `typed`: sessions with types; `typed_grown`: with more of them,
and a leak. `usable`: sessions as a dump has them that does not tell what was asked for. `other`: sessions of another program.
`one`: one leaked object.
"""
import math
import os
import sqlite3
import sys

KIND_ORDER = {"global": 0, "static": 0, "tls": 1, "registered": 2, "stack": 3, "mapping": 4, "register": 5}


class Heap:
    def __init__(self):
        self.next = 0x555555770010
        self.objects = []  # [addr, size, usable, label]
        self.edges = {}  # (src, offset) -> (dst, dst_offset)
        self.variables = []  # dicts
        self.roots = []  # dicts
        self.suspects = []  # variable, point, path; none: those of sessions()

    def alloc(self, size, label=None, gap=0):
        usable = max(24, (size + 8 + 15) // 16 * 16 - 8)
        self.objects.append([self.next, size, usable, label])
        self.next += usable + 8 + gap
        return len(self.objects)  # its id

    def point(self, src, offset, dst, dst_offset=0):
        self.edges[(src, offset)] = (dst, dst_offset)

    def variable(self, kind, name, addr, size, module=None, thread=None):
        self.variables.append(
            dict(kind=kind, name=name, addr=addr, size=size, module=module, thread=thread))
        return len(self.variables)

    def root(self, variable, word, obj, offset=0):
        v = self.variables[variable - 1]
        addr = None if v["kind"] == "register" else v["addr"] + word
        self.roots.append(dict(variable=variable, addr=addr, object=obj, offset=offset, **{
            k: v[k] for k in ("kind", "name", "module", "thread")}))


def sessions(n_sessions, spoilt=False, leak=0, indexed=False):
    h = Heap()
    h.variable("global", "g_sessions", 0x555555760100, 8, module=1)
    h.variable("static", "cache", 0x555555760140, 64, module=1)
    h.variable("tls", "worker_buffer", 0x7ffff7d8a6e0, 8, module=1, thread=2)
    h.variable("stack", "stack", 0x7fffffffe000, 0x800, thread=1)
    h.variable("register", "rbx", None, 8, thread=2)
    table = h.alloc(40, "session table")
    buckets = h.alloc(8 * 64)
    h.root(1, 0, table)
    h.point(table, 16, buckets)
    for i in range(n_sessions):
        session = h.alloc(64)
        h.point(buckets, 8 * i, session)
        node = session
        for _ in range(4):
            new = h.alloc(48)
            h.point(node, 8, new)
            node = new
        payload = h.alloc(1000)
        h.point(session, 24, payload)
        h.point(session, 32, table)  # back to its table
        if i == 3:
            middle = payload
    # A list with a head in `cache`, 300 links of 32 bytes with 200 bytes each.
    head = node = h.alloc(32)
    for _ in range(299):
        data = h.alloc(200)
        new = h.alloc(32)
        h.point(node, 0, new)
        h.point(node, 8, data)
        node = new
    h.root(2, 0x10, head)
    tail = node
    # Stray words: into the middle of a payload and into the list.
    h.root(4, 0x28, middle, 504)
    h.root(5, 0, tail)
    buffer = h.alloc(4096)
    h.root(3, 0, buffer)
    if spoilt:
        h.root(4, 0x30, buckets, 16)
        h.point(buffer, 64, head)
    if indexed:
        for i in range(n_sessions):
            h.point(buffer, 8 * i, h.edges[(buckets, 8 * i)][0])
    # Leaks: a lone block, a chain of three, and a ring of two.
    h.alloc(2000)
    first = h.alloc(100)
    second = h.alloc(100)
    third = h.alloc(100)
    h.point(first, 0, second)
    h.point(second, 0, third)
    a = h.alloc(24)
    b = h.alloc(24, gap=4096)
    h.point(a, 0, b)
    h.point(b, 0, a)
    h.alloc(16)
    if leak:
        h.alloc(leak)
    return h


def shaped():
    """g_queue: its head, a word at the same offset as a list's links, and 50 of these. g_jobs: a list of 60, of which one
    in the middle holds half. g_tree: a search tree of 60, with a value each. g_conf: an array with most of what it holds, but not nearly all. g_map: another of 40 as a container has it,
    with words to its first and its last node beside that to the topmost one."""
    h = Heap()
    for i, (name, size) in enumerate((("g_queue", 8), ("g_jobs", 8), ("g_tree", 8), ("g_map", 48), ("g_conf", 8))):
        h.variable("global", name, 0x555555760100 + 64 * i, size, module=1)

    def chain(above, n, size):
        nodes = [h.alloc(size) for _ in range(n)]
        for src, dst in zip([above] + nodes, nodes):
            if src:
                h.point(src, 0, dst)
        return nodes

    queue = h.alloc(112)
    h.root(1, 0, queue)
    chain(queue, 50, 80)
    jobs = chain(None, 60, 48)
    h.root(2, 0, jobs[0])
    h.point(jobs[20], 16, h.alloc(5000))

    def search_tree(keys, value_size):
        nodes = {}
        for key in keys:
            node = h.alloc(40)
            at = next(iter(nodes), None)
            while at is not None:
                offset = 0 if key < at else 8
                below = next((k for k, n in nodes.items() if h.edges.get((nodes[at], offset), (0,))[0] == n), None)
                if below is None:
                    h.point(nodes[at], offset, node)
                at = below
            nodes[key] = node
            h.point(node, 24, h.alloc(value_size))
        return nodes

    # Most of it on the left side.
    tree = search_tree([54] + [i * 23 % 54 for i in range(54)] + [55 + i for i in range(5)], 300)
    h.root(3, 0, tree[54])
    nodes = search_tree([20] + [i * 13 % 40 for i in range(40) if i * 13 % 40 != 20], 500)
    for word, key in ((16, 20), (24, 0), (32, 39)):
        h.root(4, word, nodes[key])
    conf, hosts = h.alloc(200), h.alloc(240)
    h.root(5, 0, conf)
    h.point(conf, 8, hosts)
    h.point(conf, 16, h.alloc(2000))
    for i in range(30):
        h.point(hosts, 8 * i, h.alloc(200))
    h.suspects = [(5, hosts, "g_conf->[+8]"), (3, tree[54], "g_tree"), (4, nodes[20], "g_map"), (2, jobs[0], "g_jobs [chain ->[+0] ×60]"),
                  (1, queue, "g_queue->[+0] [chain ->[+0] ×50]")]
    return h


def rootless():
    """A dump that was cut before its roots."""
    h = Heap()
    a, b, _ = h.alloc(100), h.alloc(200), h.alloc(300)
    h.point(a, 0, b)
    return h


def threaded():
    """g_index: an array of 20 nodes, each of which points to the next one, too; a buffer of worker_buffer's points to the
    first one by accident."""
    h = Heap()
    h.variable("global", "g_index", 0x555555760100, 8, module=1)
    h.variable("tls", "worker_buffer", 0x7ffff7d8a6e0, 8, module=1, thread=2)
    index, buffer = h.alloc(160), h.alloc(512)
    h.root(1, 0, index)
    h.root(2, 0, buffer)
    nodes = [h.alloc(100) for _ in range(20)]
    for i, node in enumerate(nodes):
        h.point(index, 8 * i, node)
        h.point(node, 0, nodes[i + 1] if i < 19 else index)
    h.point(buffer, 64, nodes[0])
    h.suspects = [(1, index, "g_index")]
    return h


def analyse(h):
    """Reachability, parents, dominators, holders and their sums, plainly."""
    n = len(h.objects)
    out = [[] for _ in range(n + 1)]
    for (src, offset), (dst, _) in sorted(h.edges.items()):
        out[src].append(dst)

    def reach(starts, without=0):
        seen = set(s for s in starts if s != without)
        todo = list(seen)
        while todo:
            for d in out[todo.pop()]:
                if d != without and d not in seen:
                    seen.add(d)
                    todo.append(d)
        return seen

    root_ids = sorted(range(1, len(h.roots) + 1),
                      key=lambda r: (KIND_ORDER[h.roots[r - 1]["kind"]], r))
    starts = [h.roots[r - 1]["object"] for r in root_ids]
    live = reach(starts)
    # Heads of leaks: what no other unreachable object reaches; of a ring, its first.
    heads = []
    covered = set()
    dead = [o for o in range(1, n + 1) if o not in live]
    for o in dead:
        if not any(o in reach([p]) and p not in reach([o]) for p in dead if p != o) and o not in covered:
            heads.append(o)
            covered |= reach([o])

    def tree(starts_with_roots):
        """Breadth first: (parent, root, depth) of every object."""
        result = {}
        todo = []
        for r, o in starts_with_roots:
            if o not in result:
                result[o] = (None, r, 1)
                todo.append(o)
        for o in todo:
            for d in out[o]:
                if d not in result:
                    result[d] = (o, result[o][1], result[o][2] + 1)
                    todo.append(d)
        return result

    shortest = tree([(r, h.roots[r - 1]["object"]) for r in range(1, len(h.roots) + 1)])
    best = {}
    for rank in sorted(set(KIND_ORDER[r["kind"]] for r in h.roots)):
        # Better roots first: what they reach is taken before worse ones look.
        part = [(r, h.roots[r - 1]["object"]) for r in root_ids
                if KIND_ORDER[h.roots[r - 1]["kind"]] == rank]
        for o, got in tree(part).items():
            best.setdefault(o, got)
    for o, got in tree([(None, o) for o in heads]).items():
        best.setdefault(o, got)

    everything = starts + heads
    dominated = {o: (live if o in live else covered) - reach(everything, o) - {o}
                 for o in range(1, n + 1)}
    idom = {}
    for o in range(1, n + 1):
        above = [d for d in range(1, n + 1) if o in dominated[d]]
        idom[o] = min(above, key=lambda d: len(dominated[d]), default=None)

    def sums(parent):
        size = {o: h.objects[o - 1][1] for o in range(1, n + 1)}
        count = {o: 1 for o in range(1, n + 1)}
        depth = {}
        for o in range(1, n + 1):
            d, p = 0, parent(o)
            while p:
                d, p = d + 1, parent(p)
            depth[o] = d
        for o in sorted(size, key=lambda o: -depth[o]):
            if parent(o):
                size[parent(o)] += size[o]
                count[parent(o)] += count[o]
        return size, count

    retained = sums(lambda o: idom[o])
    held = sums(lambda o: best[o][0])
    return dict(live=live, heads=heads, shortest=shortest, best=best, idom=idom, retained=retained,
                held=held, out=out, reach=reach, starts=starts)


def insert(db, table, **row):
    names = ", ".join(row)
    db.execute(f"INSERT INTO {table} ({names}) VALUES ({', '.join('?' * len(row))})", list(row.values()))


def summaries(db, h, a):
    size = {o: h.objects[o - 1][1] for o in range(1, len(h.objects) + 1)}
    dead = [o for o in size if o not in a["live"]]
    for table, figures in (("stat_top_retained", a["retained"][0]), ("stat_top_held", a["held"][0]),
                           ("stat_top_size", {o: row[1] for o, row in enumerate(h.objects, 1)})):
        order = sorted(size, key=lambda o: (-figures[o], o))
        db.executemany(f"INSERT INTO {table} VALUES (?, ?)", enumerate(order, 1))
    groups = {}
    for o in dead:
        groups.setdefault(size[o], []).append(o)
    for s, members in sorted(groups.items()):
        own = [o for o in members if o in a["heads"]]
        insert(db, "stat_leak", object_size=s, count=len(members), size=s * len(members),
               head_count=len(own), held_size=sum(a["held"][0][o] for o in own))
    order = sorted(a["heads"], key=lambda o: (-a["held"][0][o], o))
    db.executemany("INSERT INTO stat_leak_head VALUES (?, ?)", enumerate(order, 1))
    live = sum(size.values())
    usable = sum(o[2] for o in h.objects)
    for category, name, resident, size in (
            ("live objects", "glibc 2.36", usable, usable),
            ("allocator free", "glibc 2.36", 36864, 40960),
            ("allocator metadata", "glibc 2.36", 4096, 4096), ("stacks", "", 16384, 8 << 20),
            ("file mappings", "", 1 << 20, 3 << 20)):
        insert(db, "stat_memory", category=category, name=name, resident=resident,
               resident_min=resident, size=size)
    if not h.roots:
        return live
    held, retained = a["held"], a["retained"]

    def suspect(variable, start, point, hops, path):
        insert(db, "stat_suspect", basis="held", variable_id=variable, held_size=held[0][start],
               held_count=held[1][start], retained_size=retained[0][start],
               retained_count=retained[1][start], point_id=point, point_held_size=held[0][point],
               point_retained_size=retained[0][point], point_children=len(set(a["out"][point])),
               hops=hops, path=path)

    for variable, point, path in h.suspects:
        words = [r for r, root in enumerate(h.roots, 1) if root["variable"] == variable]
        first = [o for o in range(1, len(h.objects) + 1) if a["best"][o][0] is None and a["best"][o][1] in words]
        row = dict(held_size=sum(held[0][o] for o in first), held_count=sum(held[1][o] for o in first))
        insert(db, "stat_suspect", basis="held", variable_id=variable, **row,
               **{k.replace("held", "retained"): v for k, v in row.items()}, point_id=point, point_held_size=held[0][point],
               point_retained_size=retained[0][point], point_children=len([o for o in a["best"] if a["best"][o][0] == point]),
               hops=path.count("->"), path=path)
    if h.suspects:
        return live
    if not h.roots:
        return live
    head = h.roots[1]["object"]
    suspect(2, head, head, 1, "cache[+0x10] [chain ->[+0] ×300]")
    suspect(1, 1, 2, 2, "g_sessions->[+16]")
    payloads = [o for o in range(1, len(h.objects) + 1) if h.objects[o - 1][1] == 1000]
    insert(db, "stat_suspect", basis="group", object_id=payloads[0], held_size=1000 * len(payloads),
           held_count=len(payloads), retained_size=1000 * len(payloads), retained_count=len(payloads),
           point_children=len(payloads), hops=0, path="char[] allocated at load_avatar")
    return live


def root_columns(root):
    return dict(kind=root["kind"], name=root["name"], addr=root["addr"], object_id=root["object"],
                offset=root["offset"], module_id=root["module"], thread_id=root["thread"],
                variable_id=root["variable"])


def build(schema_dir, path, h, partial, which):
    if os.path.exists(path):
        os.unlink(path)
    db = sqlite3.connect(path)
    for name in sorted(os.listdir(schema_dir)):
        if name.endswith(".sql"):
            with open(os.path.join(schema_dir, name), encoding="utf-8") as script:
                db.executescript(script.read())
    many = lambda table, names, rows: [insert(db, table, **dict(zip(names.split(), r))) for r in rows]
    many("module", "id path build_id base size bias", [
        (1, "/usr/bin/server", "0123456789abcdef0123456789abcdef01234567", 0x555555554000, 0x210000, 0x555555554000),
        (2, "/lib/x86_64-linux-gnu/libc.so.6", None, 0x7ffff7d90000, 0x1d0000, 0x7ffff7d90000)])
    many("thread", "id tid name stack_start stack_size pc sp tp registers caller crashed", [
        (1, 4711, "server", 0x7fffffffe000, 0x800, 0x7ffff7e50000, 0x7fffffffe000, 0x7ffff7d8a740, 1, 1, 0),
        (2, 4712, "worker-1", 0x7ffff7588000, 0x400, 0x7ffff7e50000, 0x7ffff7588000, 0x7ffff7589740, 1, 0, 0)])
    heap_size = (h.next - 0x555555770000 + 0x2000) & ~0xfff
    many("mapping", "id start size perms path kind rss file_offset", [m + (0,) for m in [
        (1, 0x555555554000, 0x210000, "rw-p", "/usr/bin/server", "module", 0x40000),
        (2, 0x555555770000, heap_size, "rw-p", "[heap]", "heap", heap_size),
        (3, 0x7ffff6d8a000, 0x800000, "rw-p", "", "stack", 0x2000),
        (4, 0x7ffff7d90000, 0x1d0000, "r-xp", "/lib/x86_64-linux-gnu/libc.so.6", "module", 0x100000),
        (5, 0x7ffff8000000, 0x100000, "rw-s", "/dev/shm/ring", "shared", 0x1000),
        (6, 0x7ffffffde000, 0x21000, "rw-p", "[stack]", "stack", 0x2000)]])
    a = analyse(h)
    usable = sum(o[2] for o in h.objects)
    retained, held = a["retained"], a["held"]
    dead = [o for o in range(1, len(h.objects) + 1) if o not in a["live"]]
    leak_size = sum(h.objects[o - 1][1] for o in dead)
    insert(db, "arena", id=1, allocator="glibc 2.36", kind="main", addr=0x7ffff7f62c60, size=heap_size,
           live_bytes=usable, live_count=len(h.objects), free_bytes=40960, free_count=12,
           metadata_bytes=4096, retained_size=sum(o[1] for o in h.objects), leak_bytes=leak_size,
           leak_count=len(dead), live_size=sum(o[1] for o in h.objects))
    # What goes with a variable of several words, although with none of them alone.
    gone_with = {v: a["live"] - a["reach"]([root["object"] for root in h.roots if root["variable"] != v])
                 for v in range(1, len(h.variables) + 1)}
    for o, (addr, size, use, label) in enumerate(h.objects, 1):
        near = a["shortest"].get(o)
        best = a["best"][o]
        step = lambda to: None if to is None else to - o
        parent, root = near[:2] if near else (None, None)
        idom, (holder, holder_root) = a["idom"][o], best[:2]
        insert(db, "object", id=o, addr=addr, size=size, usable_extra=use - size, arena_id=1,
               depth=near and near[2] - 1, root_id=root, parent_step=step(parent),
               idom_step=0 if idom and idom == parent else step(idom),
               idom_variable_id=None if idom else next((v for v in gone_with if o in gone_with[v]), None),
               retained_extra=retained[0][o] - size, retained_count=retained[1][o],
               holder_step=None if holder == parent else step(holder) or 0,
               holder_root_other=None if holder_root == root else holder_root,
               held_extra=held[0][o] - size, held_count=held[1][o], label=label)
    for v, variable in enumerate(h.variables, 1):
        words = [(r, root) for r, root in enumerate(h.roots, 1) if root["variable"] == v]
        direct = sorted(set(root["object"] for _, root in words))
        own = [o for o in range(1, len(h.objects) + 1)
               if a["best"][o][0] is None and a["best"][o][1] in [r for r, _ in words]]
        gone = gone_with[v]
        insert(db, "variable", id=v, kind=variable["kind"], name=variable["name"],
               module_id=variable["module"], thread_id=variable["thread"], addr=variable["addr"],
               size=variable["size"], word_count=len(words), direct_count=len(direct),
               direct_size=sum(h.objects[o - 1][1] for o in direct),
               retained_size=sum(h.objects[o - 1][1] for o in gone), retained_count=len(gone),
               held_size=sum(held[0][o] for o in own), held_count=sum(held[1][o] for o in own))
    for r, root in enumerate(h.roots, 1):
        insert(db, "root", id=r, **root_columns(root))
    db.executemany("INSERT INTO edge VALUES (?, ?, ?, ?, NULL)",
                   [(s, o, d, do) for (s, o), (d, do) in sorted(h.edges.items())])
    insert(db, "counter", name="glibc main arena live bytes", expected=usable, found=usable, must_match=1)
    live = summaries(db, h, a)
    if partial:
        insert(db, "finding", severity="partial", addr=0x7ffff0000030,
               text="arena 0x7ffff0000030: its top chunk has a bad size; 1.2 MiB were not walked")
        insert(db, "counter", name="glibc arena 2 system bytes", expected=4096, found=2048, must_match=1)
    insert(db, "finding", severity="info", text="thread 4712 was inside malloc")
    meta = dict(program="server", exe="/usr/bin/client" if which == "other" else "/usr/bin/server", pid=4711, time=1795212903, hostname="db7",
                trigger="signal SIGUSR2", partial=int(partial), live_size=live,
                object_count=len(h.objects), leak_size=leak_size, leak_count=len(dead),
                live_usable=usable, sizes_requested=int(which != "usable"), format_version="holdfast 1.0")
    db.executemany("INSERT INTO meta VALUES (?, ?)", sorted(meta.items()))
    db.commit()
    db.close()


# By the size of the objects: id, name, fields (offset, name, stride).
TYPES = {
    40: (1, "struct session_table", [(16, "buckets", None)]),
    512: (2, "struct session *[]", [(0, "[]", 8)]),
    64: (3, "struct session", [(8, "items", None), (24, "avatar", None), (32, "table", None)]),
    48: (4, "std::_List_node<struct item>", [(8, "next", None)]),
}


def add_types(path):
    """What DWARF adds: objects of the sizes above have types, the others have none."""
    db = sqlite3.connect(path)
    insert(db, "type", id=5, name="struct session_table *", size=8, kind="pointer", origin="dwarf")
    db.execute("UPDATE variable SET type_id = 5 WHERE name = 'g_sessions'")
    field_id = 0
    for size, (number, name, fields) in TYPES.items():
        insert(db, "type", id=number, name=name, size=size, kind="struct", origin="dwarf")
        db.execute("UPDATE object SET type_id = ?, origin_id = 10 WHERE size = ?", (number, size))
        for offset, field, stride in fields:
            field_id += 1
            insert(db, "field", id=field_id, type_id=number, offset=offset, name=field, pointer=1, stride=stride)
            db.execute("UPDATE edge SET field_id = ? WHERE (src_offset = ? OR ?) AND src_id IN (SELECT id FROM object "
                       "WHERE type_id = ?)", (field_id, offset, stride is not None, number))
    db.execute("INSERT INTO stat_type SELECT coalesce(type_id, 0), count(*), sum(size), sum(size), sum(NOT reachable), "
               "sum(iif(reachable, 0, size)) FROM object GROUP BY 1")
    db.commit()
    db.close()


# By the size of the objects: id, frames innermost first, the one that names the site.
SITES = {
    1000: (3, [("malloc", None, 0), ("load_avatar", "/src/server/user.c", 88), ("load_user", "/src/server/user.c", 120),
               ("session_open", "/src/server/session.c", 41), ("handle_login", "/src/server/login.c", 230),
               ("serve", "/src/server/main.c", 77), ("start_thread", None, 0)], 1),
    64: (1, [("calloc", None, 0), ("session_open", "/src/server/session.c", 38), ("handle_login", "/src/server/login.c", 230),
             ("serve", "/src/server/main.c", 77)], 1),
    48: (2, [("operator new", None, 0), ("std::vector<Item, std::allocator<Item> >::_M_realloc_insert", "/usr/include/c++/12/bits/vector.tcc", 440),
             ("Basket::add", "/src/server/basket.cc", 17), (None, None, 0), ("serve", "/src/server/main.c", 77)], 2),
    16: (7, [("libplugin.so+0x1234", None, 0)], 0),
}


# More, of the line of site 2.
ALIKE_SITES = {size: (number, [("operator new", None, 0), *inner, *SITES[48][1][2:]], 1 + len(inner)) for size, number, inner in (
    (512, 4, [("std::__new_allocator<std::_List_node<std::string> >::allocate", None, 0), ("std::list<std::string>::push_back", None, 0)]),
    (40, 5, [("std::vector<Item, std::allocator<Item> >::reserve", None, 0)]),
    (200, 6, [("std::vector<Item, std::allocator<Item> >::reserve", None, 0)]))}


def add_sites(path, sampled):
    """What a heap profile adds: every object of the sizes above has a site, or every third one has."""
    db = sqlite3.connect(path)
    period = 512 if sampled else 1
    weight = lambda size: 1 / -math.expm1(-size / period) if sampled else 1
    objects = db.execute("SELECT id, size, reachable, retained_size, held_size, holder_id FROM object ORDER BY id").fetchall()
    known = [o for o in objects if o[1] in SITES and (not sampled or o[0] % 3 == 0)]
    db.execute("DELETE FROM stat_leak")
    for o in known:
        db.execute("UPDATE object SET site_id = ?, age = ?, alloc_tid = 4712 WHERE id = ?", (SITES[o[1]][0], o[0] * 7, o[0]))
    for size, (site, frames, naming) in SITES.items():
        own = [o for o in known if o[1] == size]
        function, file, line = frames[naming]
        insert(db, "site", id=site, function=function, file=file, line=line or None, module_id=1, depth=naming,
               live_bytes=round(sum(o[1] * weight(o[1]) for o in own)), live_count=round(sum(weight(o[1]) for o in own)),
               total_bytes=size * 2000, total_count=2000)
        for depth, (function, file, line) in enumerate(frames):
            insert(db, "site_frame", site_id=site, depth=depth, function=function, file=file, line=line or None,
                   module_id=1, pc=0x555555555000 + 16 * depth)
        if sampled:
            insert(db, "stat_estimate", site_id=site, samples=len(own), count=min(
                round(sum(weight(o[1]) for o in own)), sum(o[1] == size for o in objects)), size=min(
                round(sum(o[1] * weight(o[1]) for o in own)), sum(o[1] for o in objects if o[1] == size)))
    groups = {}
    for o in objects:
        groups.setdefault(SITES[o[1]][0] if o in known else 0, []).append(o)
    for site, own in groups.items():
        leaked = [o for o in own if not o[2]]
        insert(db, "stat_site", id=site, count=len(own), size=sum(o[1] for o in own), retained_size=sum(o[1] for o in own),
               leak_count=len(leaked), leak_size=sum(o[1] for o in leaked), oldest=max(o[0] for o in own) * 7 if site else None)
    leaks = {}
    for o in objects:
        if not o[2]:
            leaks.setdefault((SITES[o[1]][0], None) if o in known else (None, o[1]), []).append(o)
    for (site, size), own in leaks.items():
        heads = [o for o in own if o[5] is None]
        insert(db, "stat_leak", site_id=site, object_size=size, count=len(own), size=sum(o[1] for o in own),
               head_count=len(heads), held_size=sum(o[4] for o in heads),
               est_count=min(sum(not o[2] for o in objects), round(sum(weight(o[1]) if site else 1 for o in own))),
               est_size=round(sum(o[1] * (weight(o[1]) if site else 1) for o in own)),
               youngest=min(o[0] for o in own) * 7 if site else None, oldest=max(o[0] for o in own) * 7 if site else None)
    db.executemany("INSERT INTO meta VALUES (?, ?)", dict(
        sites=1, profile="server.hfp.pb.gz", profile_maker="Holdfast", profile_tied=1, profile_sampled=int(sampled),
        profile_period=period, profile_samples=10000).items())
    db.commit()
    db.close()


def main():
    schema_dir, path = sys.argv[1:3]
    name = sys.argv[3] if len(sys.argv) > 3 else "sessions"
    drawn = {"empty": Heap, "hollow": Heap, "rootless": rootless, "shaped": shaped, "threaded": threaded}.get(name)
    h = drawn() if drawn else sessions({"grown": 24, "more": 40, "typed_grown": 24}.get(name, 16), name == "spoilt",
                                                3000 if name == "typed_grown" else 0, name == "indexed")
    if name == "one":
        h = Heap()
        h.alloc(100)
    if name == "usable":
        for o in h.objects:
            o[1] = o[2]
    build(schema_dir, path, h, name in ("partial", "hollow", "rootless"), name)
    if name == "alike":
        SITES.update(ALIKE_SITES)
        name = "sited"
    if name == "threaded":
        db = sqlite3.connect(path)
        insert(db, "type", id=1, name="char[]", size=1, kind="array", origin="dwarf")
        insert(db, "field", id=1, type_id=1, offset=0, name="[]", pointer=0, stride=1)
        db.execute("UPDATE edge SET field_id = 1 WHERE src_id = 2")
        db.commit()
        db.close()
    if name in ("sited", "sampled", "orphan"):
        add_sites(path, name == "sampled")
    if name == "orphan":
        db = sqlite3.connect(path)
        db.executescript("DELETE FROM site; DELETE FROM site_frame; DELETE FROM meta WHERE key GLOB 'profile*' OR key = 'sites'; "
                         "INSERT INTO meta VALUES ('profile_missing', 'server.hfp.pb.gz')")
        db.close()
    if name.startswith("typed"):
        add_types(path)


main()
