"""Objects that variables of frames hold are named by thread, function and variable.

usage: frames_test.py HOLDFAST TARGET
"""
import os
import shutil
import subprocess
import sys
import tempfile

from harness import Failure, Holdfast, expect

# The path of each object that the target names; its type.
WANTED = {
    "buf": ("thread worker-{0} › handle_request() › buf", "char[]"),
    "body": ("thread worker-{0} › serve() › local.body", "char[]"),
    "token": ("thread worker-{0} › parse() › token", "char[]"),
    "chain": ("thread worker-{0} › serve() › chain", "struct request"),
    "chain_body": ("thread worker-{0} › serve() › chain->body", "char[]"),
}


def dump(holdfast, target):
    """What the target says, and a dump of it while it waits."""
    with subprocess.Popen([target], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout.readline() != "ready\n":
            raise Failure(f"{target} does not get ready")
        lines = [process.stdout.readline().split() for _ in range(4 * len(WANTED))]
        path = holdfast.folder / (os.path.basename(target) + ".hfd")
        holdfast("dump", process.pid, "-o", path)
        process.stdin.write("\n")
        process.stdin.close()
        expect("exit status", process.wait(timeout=60), 0)
    return path, [(int(thread), what, int(address, 16)) for thread, what, address in lines]


def check_names(holdfast, path, said):
    for thread, what, address in said:
        answer = holdfast.json("who", path, hex(address))
        want, kind = WANTED[what]
        expect(f"{what} of thread {thread}", (answer["path"]["text"], answer["object"]["type"]),
               (want.format(thread), kind))


def check_frames(holdfast, path):
    db = holdfast.load(path)
    functions = [row[0] for row in db.execute(
        "SELECT function FROM frame JOIN thread ON thread.id = thread_id WHERE name = 'worker-2' ORDER BY depth")]
    at = functions.index("wait_for_end")
    expect("frames", functions[at:at + 6], ["wait_for_end", "read_more", "parse", "handle_request", "serve", "run"])
    row = db.execute("""SELECT v.name, f.function, t.name FROM variable v JOIN frame f ON f.id = v.frame_id
                        JOIN thread t ON t.id = v.thread_id WHERE v.name LIKE '%worker-2 › handle_request() › buf'""")
    expect("variable and frame", row.fetchall(),
           [("thread worker-2 › handle_request() › buf", "handle_request", "worker-2")])


def check_stripped(holdfast, target, folder):
    """Without debug information a frame is a place in a file; the objects are held all the same."""
    stripped = os.path.join(folder, "stripped_target")
    shutil.copy(target, stripped)
    subprocess.run(["strip", stripped], check=True)
    path, said = dump(holdfast, stripped)
    for thread, what, address in said:
        answer = holdfast.json("who", path, hex(address))
        if not answer["path"]["text"].startswith((f"thread worker-{thread} › ", "stack of", "r", "_IO")):
            raise Failure(f"{what} of thread {thread}: {answer['path']['text']}")
    names = [row[0] for row in holdfast.load(path).execute("SELECT name FROM variable WHERE frame_id IS NOT NULL")]
    expect("frames of the stripped program", any("stripped_target+0x" in name for name in names), True)


def main(command, target):
    with tempfile.TemporaryDirectory() as folder:
        holdfast = Holdfast(command, folder)
        path, said = dump(holdfast, target)
        check_names(holdfast, path, said)
        check_frames(holdfast, path)
        check_stripped(holdfast, target, folder)


if __name__ == "__main__":
    try:
        sys.exit(main(*sys.argv[1:]))
    except Failure as failure:
        sys.exit(str(failure))
