"""Builds 1000 random containers, says what each refers to, and is dumped by a signal.

usage: PYTHONMALLOC=malloc python3 python_target.py REPORT [SEED]

The report is JSON: a list of {kind, id, size, referents: [id…], tables: [{addr, skip, end}…]} with
what gc.get_referents gives (and the keys of dicts) and where CPython 3.11 keeps it: in the size bytes from id on, and in
tables that it allocates, whose words at addr + skip … addr + end belong to the container.
"""
import collections
import ctypes
import gc
import json
import os
import random
import signal
import sys

N_CONTAINERS = 1000


class Instance:
    pass


class Slotted:
    __slots__ = ("first", "second", "third")


def word(addr):
    return ctypes.c_uint64.from_address(addr).value


def byte(addr):
    return ctypes.c_uint8.from_address(addr).value


# Layouts of CPython 3.11: Include/cpython/{listobject,dictobject}.h, Include/internal/pycore_dict.h,
# pycore_object.h.
LIST_ITEMS, DICT_KEYS, DICT_VALUES, INSTANCE_VALUES = 24, 32, 40, -32
KEYS_HEADER, KEYS_INDEX_BYTES_LOG, KEYS_KIND, KEYS_N_ENTRIES = 32, 9, 10, 24


def keys_table(addr):
    """The entries of a PyDictKeysObject: {hash, key, value}, or {key, value} if all keys are str."""
    skip = KEYS_HEADER + (1 << byte(addr + KEYS_INDEX_BYTES_LOG))
    entry = 24 if byte(addr + KEYS_KIND) == 0 else 16
    return {"addr": addr, "skip": skip, "end": skip + entry * word(addr + KEYS_N_ENTRIES)}


def values_table(addr, n):
    return {"addr": addr, "skip": 0, "end": 8 * n}


def tables(obj):
    if type(obj) is list and obj:
        return [values_table(word(id(obj) + LIST_ITEMS), len(obj))]
    if type(obj) is dict and obj:
        found = [keys_table(word(id(obj) + DICT_KEYS))]
        if word(id(obj) + DICT_VALUES):
            found.append(values_table(word(id(obj) + DICT_VALUES), len(obj)))
        return found
    if type(obj) is Instance and word(id(obj) + INSTANCE_VALUES):
        return [values_table(word(id(obj) + INSTANCE_VALUES), 3)]
    return []


def referents(obj):
    """gc.get_referents leaves the keys out where all are str, since they can be in no cycle."""
    return {id(r) for r in gc.get_referents(obj)} | ({id(k) for k in obj} if type(obj) is dict else set())


def own_size(obj):
    """Without its tables; what follows may be left over from another object."""
    return type(obj).__basicsize__ + (8 * len(obj) if type(obj) is tuple else 0)


def some(rng, pool, n):
    return [rng.choice(pool) for _ in range(n)]


def new_container(rng, pool):
    kind = rng.choice(["list", "tuple", "dict", "int_dict", "instance", "slotted"])
    members = some(rng, pool, rng.randrange(1, 20))
    if kind == "list":
        return list(members)
    if kind == "tuple":
        return tuple(members)
    if kind == "dict":
        return {f"key {i} of {rng.random()}": m for i, m in enumerate(members)}
    if kind == "int_dict":
        return {1000 + i: m for i, m in enumerate(members)}
    obj = Instance() if kind == "instance" else Slotted()
    for name, member in zip(("first", "second", "third"), members):
        setattr(obj, name, member)
    return obj


def main(report, seed="1"):
    if sys.version_info[:2] != (3, 11):
        sys.exit(f"the layouts here are those of CPython 3.11, this is {sys.version}")
    rng = random.Random(int(seed))
    gc.disable()
    pool = [bytes(rng.randrange(10, 400)) for _ in range(200)] + [rng.random() for _ in range(200)]
    containers = []
    for _ in range(N_CONTAINERS):
        containers.append(new_container(rng, pool))
        if rng.random() < 0.3:
            pool.append(containers[-1])
    rows = [{"kind": type(c).__name__, "id": id(c), "size": own_size(c),
             "referents": sorted(referents(c)),
             "tables": tables(c)} for c in containers]
    with open(report, "w", encoding="ascii") as out:
        json.dump(rows, out)
    kinds = collections.Counter(row["kind"] for row in rows)
    print(dict(sorted(kinds.items())), flush=True)
    os.kill(os.getpid(), signal.SIGUSR2)
    assert sorted(referents(containers[0])) == rows[0]["referents"]


if __name__ == "__main__":
    main(*sys.argv[1:])
