"""Compares a database with the manifest of the target that was dumped, object by object.

usage: compare.py MANIFEST DATABASE [--extra N] [--naive] [--churning]

Exact in both directions: objects, usable sizes, edges, roots with their names, labels, and which
objects are leaked. --extra bounds the objects that the manifest does not know (libc's own).
--naive also works out the graph's figures anew. --churning: threads allocated during the dump.
"""
import argparse
import collections
import pathlib
import re
import sqlite3
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "targets"))
import naive
from manifest import Manifest

SHOWN = 10


class Comparison:
    def __init__(self, manifest, db):
        self.manifest, self.db = manifest, db
        self.id_of, self.addr_of, self.reachable = {}, {}, {}
        for obj, addr, reachable in db.execute("SELECT id, addr, reachable FROM object"):
            self.id_of[addr] = obj
            self.addr_of[obj] = addr
            self.reachable[addr] = reachable
        self.n_problems = 0

    def check(self, what, problems):
        problems = list(problems)
        self.n_problems += len(problems)
        print(f"{'ok  ' if not problems else 'FAIL'} {what}" + (f": {len(problems)} problems" if problems else ""))
        for problem in problems[:SHOWN]:
            print(f"     {problem}")

    def objects(self):
        usable = dict(self.db.execute("SELECT addr, usable FROM object"))
        for addr, size in self.manifest.objects.items():
            if addr not in usable:
                yield f"object {addr:#x} of {size} bytes is missing"
            elif usable[addr] != size:
                yield f"object {addr:#x}: usable is {usable[addr]}, not {size}"

    def extra_objects(self, limit):
        extra = [row for row in self.db.execute("SELECT addr, usable, reachable FROM object")
                 if row[0] not in self.manifest.objects]
        for addr, size, reachable in extra[:SHOWN if limit > 100 else None]:
            print(f"     not in the manifest: {addr:#x}, {size} bytes, {'reachable' if reachable else 'unreachable'}")
        if len(extra) > limit:
            yield f"{len(extra)} objects that the manifest does not know, more than {limit}"

    def freed(self):
        return (f"freed chunk {addr:#x} is reported" for addr in self.manifest.freed
                if addr in self.id_of and addr not in self.manifest.objects)

    def edges(self):
        expected = set(self.manifest.edges)
        found = {(self.addr_of[src], src_offset, self.addr_of[dst], dst_offset) for src, src_offset, dst, dst_offset in
                 self.db.execute("SELECT src_id, src_offset, dst_id, dst_offset FROM edge")
                 if self.addr_of[src] in self.manifest.objects}
        unknown = set() if self.manifest.opaque else found - expected
        for word, edges in (("is missing", expected - found), ("is not in the manifest", unknown)):
            for src, offset, dst, dst_offset in edges:
                yield f"edge {src:#x}+{offset} → {dst:#x}+{dst_offset} {word}"

    def roots(self):
        found = {}
        for kind, name, addr, obj, offset in self.db.execute("SELECT kind, name, addr, object_id, offset FROM root"):
            found[kind, addr, self.addr_of[obj], offset] = name
        for root in self.manifest.roots:
            key = root.kind, root.addr, root.object, root.offset
            if key not in found:
                others = [k for k in found if k[1] == root.addr]
                yield f"{root} is missing; at its address: {others}"
            elif root.kind not in ("mapping", "stack") and not names(found[key], root.name):
                yield f"{root} is called {found[key]}"

    def leaks(self):
        for addr in self.manifest.objects:
            if addr in self.reachable and self.reachable[addr] == (addr in self.manifest.leaked):
                yield f"object {addr:#x} is {'leaked' if addr in self.manifest.leaked else 'reachable'}, not so in the database"

    def leaks_while_churning(self):
        """Leaks are leaks but for what threads in the middle of malloc leave about: new objects hold
        stale links of free lists, registers hold chunk headers, which lie in the object before."""
        usable = dict(self.db.execute("SELECT id, usable FROM object"))
        out = collections.defaultdict(list)
        for src, dst in self.db.execute("SELECT src_id, dst_id FROM edge"):
            if self.addr_of[src] in self.manifest.objects:
                out[src].append(dst)
        reached = {obj for obj, offset, in self.db.execute("SELECT object_id, offset FROM root")
                   if offset != usable[obj] - 8}
        todo = list(reached)
        while todo:
            new = [dst for dst in out[todo.pop()] if dst not in reached]
            reached.update(new)
            todo += new
        for addr in self.manifest.objects:
            if (self.id_of.get(addr) in reached) == (addr in self.manifest.leaked):
                yield f"object {addr:#x} is {'leaked' if addr in self.manifest.leaked else 'reachable'}, not so in the database"

    def labels(self):
        labels = dict(self.db.execute("SELECT addr, label FROM object WHERE label IS NOT NULL"))
        for addr in labels.keys() | self.manifest.labels.keys():
            if labels.get(addr) != self.manifest.labels.get(addr):
                yield f"object {addr:#x}: label {labels.get(addr)}, not {self.manifest.labels.get(addr)}"

    def no_edge_twice(self):
        words = collections.Counter(self.db.execute("SELECT src_id, src_offset FROM edge"))
        return (f"word {word} is {n} edges" for word, n in words.items() if n > 1)


def names(text, variable):
    """Is it that variable's name, or that of a part of it? (s_ring.0 is the symbol of a static; C++
    names may come as the linker has them.)"""
    mangled = rf"_ZL?{len(variable)}{variable}(B\w+)?$"
    text = re.sub(r"^.*\(\)::", "", text or "")  # debug information says of which function a static is
    return text and re.match(rf"{re.escape(variable)}(\.\d+)?($|[^\w])|{mangled}", text)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("manifest")
    parser.add_argument("database")
    parser.add_argument("--extra", type=int, default=16)
    parser.add_argument("--naive", action="store_true")
    parser.add_argument("--churning", action="store_true")
    args = parser.parse_args()
    manifest = Manifest(args.manifest)
    db = sqlite3.connect(f"file:{args.database}?mode=ro", uri=True)
    comparison = Comparison(manifest, db)
    compare(comparison, args.extra, args.naive, args.churning)
    return comparison.n_problems


def compare(c, extra, with_naive, churning):
    manifest = c.manifest
    c.check(f"{len(manifest.objects)} objects and their sizes", c.objects())
    c.check("nothing but them and libc's own", c.extra_objects(extra))
    if not churning:
        c.check(f"{len(manifest.freed)} freed chunks are no objects", c.freed())
    c.check(f"{len(manifest.edges)} edges, and no others from these objects", c.edges())
    c.check("no word is two edges", c.no_edge_twice())
    c.check(f"{len(manifest.roots)} roots and their names", c.roots())
    c.check(f"{len(manifest.leaked)} leaked objects, and no others", c.leaks_while_churning() if churning else c.leaks())
    c.check(f"{len(manifest.labels)} labels", c.labels())
    if with_naive:
        c.check("depth, dominators, retained and held sizes", naive.compare(c.db))


if __name__ == "__main__":
    sys.exit(1 if main() else 0)
