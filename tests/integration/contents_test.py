"""contents=all: every byte of every object is in the dump; without it none is.

Reads the file by docs/format.md alone.

usage: contents_test.py HOLDFAST TARGET
"""
import struct
import sys
import tempfile
import zlib

from harness import Failure, Holdfast, expect, run_target

CONTENT, OBJECT, TAIL_SIZE = 18, 8, 24


def lz4(data, size):
    """One LZ4 block."""
    out, i = bytearray(), 0

    def length(n):
        nonlocal i
        while n >= 15:
            byte = data[i]
            i += 1
            n += byte
            if byte != 255:
                break
        return n
    while i < len(data):
        token = data[i]
        i += 1
        n = length(token >> 4)
        out += data[i:i + n]
        i += n
        if i >= len(data):
            break
        back = data[i] | data[i + 1] << 8
        i += 2
        for _ in range(length(token & 15) + 4):
            out.append(out[-back])
    expect("decoded size", len(out), size) if len(out) != size else None
    return bytes(out)


def varint_at(data, i):
    """A number, and where the next one is."""
    value = shift = 0
    while True:
        byte = data[i]
        i += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value, i


def varints(data):
    i = 0
    while i < len(data):
        value, i = varint_at(data, i)
        yield value


def columns(path, section):
    """The columns of each block of a section."""
    data = path.read_bytes()
    at, end = struct.unpack_from("<I", data, 12)[0], len(data) - TAIL_SIZE
    while at < end:
        magic, kind, codec, n_columns, _, _, raw, stored, _, _, _ = struct.unpack_from("<IHBBQIIIIII", data, at)
        expect("block", hex(magic), "0x4b424648") if magic != 0x4b424648 else None
        body = data[at + 40:at + 40 + stored]
        at += 40 + stored
        if kind != section:
            continue
        body = {0: lambda: body, 1: lambda: zlib.decompress(body), 2: lambda: lz4(body, raw)}[codec]()
        sizes = struct.unpack_from(f"<{n_columns}I", body)
        begin, result = 4 * n_columns, []
        for size in sizes:
            result.append(body[begin:begin + size])
            begin += size
        yield result


def objects(path):
    result = []
    for address, usable, _ in columns(path, OBJECT):
        at = 0
        for step, size in zip(varints(address), varints(usable)):
            at += step
            result.append((at, size))
    return result


def contents(path):
    """object → bytes. An object may lie in several pieces, which follow each other."""
    result = {}
    for ids, offsets, pieces in columns(path, CONTENT):
        number = at = 0
        for step, offset in zip(varints(ids), varints(offsets)):
            number += step
            size, at = varint_at(pieces, at)
            before = result.setdefault(number, bytearray())
            if offset != len(before):
                raise Failure(f"object {number}: a piece at {offset} after {len(before)} bytes")
            before += pieces[at:at + size]
            at += size
    return result


def main(command, target):
    with tempfile.TemporaryDirectory(prefix="holdfast-test-") as folder:
        holdfast = Holdfast(command, folder)
        dumps = {}
        for mode in ("all", "none"):
            path = dumps[mode] = holdfast.folder / f"{mode}.hfd"
            run_target([command, "run", "--contents", mode, "--on-exit", "-o", path, "--", target, "return"], status=7)
            holdfast("verify", path)
            info = holdfast.json("info", path)
            expect(f"{mode}: contents", info["process"]["contents"], mode)
            expect(f"{mode}: a word about user data", any("user data" in w for w in info["warnings"]), mode == "all")
        expect("none: pieces", contents(dumps["none"]), {})
        found, pieces = objects(dumps["all"]), contents(dumps["all"])
        expect("objects with contents", len(pieces), len(found))
        # The target's nodes: a link to the one before, then zeroes. All but the oldest has one.
        place = {address: n for n, (address, _) in enumerate(found)}
        links = 0
        for number, data in pieces.items():
            if len(data) != found[number][1]:
                raise Failure(f"object {number}: {len(data)} bytes of {found[number][1]}")
            links += struct.unpack_from("<Q", data)[0] in place
            if any(data[8:64]):
                raise Failure(f"object {number}: {data}")
        expect("links", links, 19999)


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except Failure as failure:
        sys.exit(f"FAIL {failure}")
