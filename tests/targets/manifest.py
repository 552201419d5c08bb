"""Reads the manifest that a target wrote of its own heap; grammar: README.md beside this file."""
import collections

Root = collections.namedtuple("Root", "kind name addr object offset")


class Manifest:
    def __init__(self, path):
        self.objects = {}  # address → usable size
        self.edges = []  # (source, offset, destination, offset)
        self.roots = []
        self.leaked = set()
        self.freed = set()
        self.labels = {}
        self.counters = {}
        self.opaque = False  # the objects have further edges
        with open(path, encoding="ascii") as lines:
            for line in lines:
                self._add(line.split())
        if not self.objects:
            raise ValueError(f"{path}: a manifest without objects")

    def _add(self, words):
        match words:
            case ["edge", src, offset, dst, dst_offset]:
                self.edges.append((int(src, 16), int(offset), int(dst, 16), int(dst_offset)))
            case ["object", addr, usable]:
                addr = int(addr, 16)
                if addr in self.objects:
                    raise ValueError(f"object {addr:#x} is there twice")
                self.objects[addr] = int(usable)
            case ["leaked", addr]:
                self.leaked.add(int(addr, 16))
            case ["freed", addr]:
                addr = int(addr, 16)
                self.freed.add(addr)
                self.objects.pop(addr, None)
                self.leaked.discard(addr)
            case ["root", kind, name, addr, obj, offset]:
                self.roots.append(Root(kind, name, int(addr, 16), int(obj, 16), int(offset)))
            case ["label", addr, text]:
                self.labels[int(addr, 16)] = text
            case ["opaque"]:
                self.opaque = True
            case ["counter", name, value]:
                self.counters[name] = int(value)
            case _:
                raise ValueError(f"not a manifest line: {words}")
