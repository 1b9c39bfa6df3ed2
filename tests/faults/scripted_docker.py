"""A docker client that does what a plan says: copied to ``bin/docker`` by `rig.Docker`.

Beside it lie ``plan.json`` and ``calls.jsonl``. The plan has a list of actions for each build, by
its number, and ``default`` for the others. Every call is recorded when it begins and, if nobody
ends it before, when it ends. Only the standard library: it is started with ``python -I -S``.
"""

# pathlib would triple its start
# ruff: noqa: PTH100, PTH101, PTH103, PTH105, PTH109, PTH110, PTH115, PTH118, PTH119, PTH120, PTH123, PTH208, PTH211
import base64
import csv
import errno
import fcntl
import hashlib
import itertools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ARGUMENTS = sys.argv[1:]


def record(**entry):
    line = json.dumps({"pid": os.getpid(), "at": time.time(), **entry}) + "\n"
    with open(f"{HERE}/calls.jsonl", "ab+", buffering=0) as calls:
        fcntl.flock(calls, fcntl.LOCK_EX)
        calls.seek(0)
        before = calls.read()
        torn = before[-1:] not in (b"", b"\n")  # whoever wrote last was killed meanwhile
        calls.write(b"\n" * torn + line.encode(errors="backslashreplace"))
    return before.count(b'"build": true')


def say(text):
    sys.stdout.write(text)
    sys.stdout.flush()


def value_of(flag):
    found = [word.partition("=")[2] for word in ARGUMENTS if word.startswith(f"--{flag}=")]
    return found[0] if found else ""


def destination():
    """Read ``--output`` as buildx does: one line of CSV."""
    fields = next(csv.reader([value_of("output")], strict=True))
    return dict(field.partition("=")[::2] for field in fields)["dest"]


def value_of_secret(name):
    """Return a secret's value as buildx finds it: in a variable of its own, or in a file."""
    for word in ARGUMENTS:
        if word.startswith("--secret="):
            fields = next(csv.reader([word.partition("=")[2]], strict=True))
            told = dict(field.partition("=")[::2] for field in fields)
            if told["id"] == name:
                if "env" in told:
                    return os.environb[told["env"].encode()]
                with open(told["src"], "rb") as file:
                    return file.read()
    raise LookupError(name)


def event(**entries):
    say(json.dumps(entries) + "\n")


# -- actions: each is called with its plan's value -------------------------------------------------


def tree(files):
    """Write files of any kind, with their final mode at once, as BuildKit's exporter does."""
    root = destination()
    os.makedirs(root, exist_ok=True)
    os.umask(0)
    for name, facts in files.items():
        path = os.path.join(root, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        put(path, {"text": facts} if isinstance(facts, str) else facts, root)


def put(path, facts, root):
    mode = facts.get("mode", 0o644)
    if "link" in facts:
        os.symlink(facts["link"], path)
        return
    if "dir" in facts:
        os.makedirs(path, exist_ok=True)
    elif "hard" in facts:
        os.link(os.path.join(root, facts["hard"]), path)
    elif "fifo" in facts:
        os.mkfifo(path)
    elif "device" in facts:
        kind = {"c": 0o020000, "b": 0o060000}[facts["device"]]
        os.mknod(path, mode | kind, os.makedev(1, 3))
    elif "socket" in facts:
        os.chdir(os.path.dirname(path))  # its path may have 107 bytes only
        socket.socket(socket.AF_UNIX).bind(os.path.basename(path))
    else:
        data = base64.b64decode(facts["bytes"]) if "bytes" in facts else facts["text"].encode()
        with open(path, "wb") as file:
            os.fchmod(file.fileno(), mode)
            file.write(data)
            if "sparse" in facts:
                file.truncate(facts["sparse"])
    if "xattr" in facts:
        os.setxattr(path, facts["xattr"], facts.get("xattr_value", "x").encode("latin-1"))
    os.chmod(path, mode)


def derived(count):
    """Write files whose content follows from the context's file ``input``, read at this moment."""
    with open(os.path.join(ARGUMENTS[-1], "input"), "rb") as file:
        given = file.read()
    tree({f"f{n:02}": derived_text(given, n) for n in range(count)})


def derived_text(given, number):
    line = hashlib.sha256(given + b"%d" % number).hexdigest()
    return f"{line}\n" * 400


def log(lines):
    event(
        vertexes=[
            {"digest": "sha256:1", "name": "[1/1] RUN make", "started": "2026-01-01T00:00:00Z"}
        ]
    )
    for line in lines:
        data = base64.b64encode(f"{line}\n".encode("utf-8", "surrogateescape")).decode()
        event(logs=[{"vertex": "sha256:1", "data": data}])


def leak(how):
    """Print a secret: as a step's output in pieces, or wherever else text comes from a build."""
    from urllib.parse import quote  # noqa: PLC0415 (most builds do without)

    value = value_of_secret(how["id"])
    encoded = base64.b64encode(value)
    forms = {"raw": value, "base64": encoded, "url": quote(value, safe="").encode()}
    if how["where"] == "output":
        data = b"it is " + forms[how["form"]] + b"!\n"
        places = sorted({0, len(data), *(cut % len(data) for cut in how["cuts"])})
        log([])
        for begin, end in itertools.pairwise(places):
            piece = base64.b64encode(data[begin:end]).decode()
            event(logs=[{"vertex": "sha256:1", "data": piece}])
        return
    text = forms[how["form"]].decode()
    if how["where"] == "name":
        event(vertexes=[{"digest": how["id"], "name": f"[x 1/1] RUN {text}", "started": "now"}])
    elif how["where"] == "error":
        event(vertexes=[{"digest": "sha256:1", "name": "[1/1] RUN x", "error": f"process {text}"}])
    elif how["where"] == "warning":
        event(warnings=[{"short": base64.b64encode(text.encode()).decode()}])
    else:
        bar = "-" * 20
        say(f"Dockerfile:1\n{bar}\n   1 | >>> RUN {text}\n{bar}\nERROR: failed: {text}\n")


def arrived(names):
    """Export a digest of each secret."""
    tree({name: hashlib.sha256(value_of_secret(name)).hexdigest() for name in names})


def look_at_commands(needles):
    """Record every process whose command line holds one of these texts."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as file:
                words = file.read().decode(errors="replace")
        except OSError:  # it has ended
            continue
        if any(needle in words for needle in needles):
            found.append(words.replace("\0", " "))
    record(looked=True, commands=found)


def failed_step(error):
    event(vertexes=[{"digest": "sha256:1", "name": "[1/1] RUN make", "error": error}])


def endless(how):
    """Write until somebody ends it, or there is far more than anybody allows."""
    root = destination()
    os.makedirs(root, exist_ok=True)
    if how["kind"] == "bytes":
        with open(os.path.join(root, "big"), "wb", buffering=0) as file:
            for number in range(how["most"] // 65536):
                note_progress(65536 * (number + 1))
                file.write(bytes(65536))
                time.sleep(how.get("pause", 0.002))
    else:
        for number in range(how["most"]):
            note_progress(number + 1 + number // 100 + 1)  # folders count as files do
            os.makedirs(f"{root}/{number // 100}", exist_ok=True)
            open(f"{root}/{number // 100}/{number}", "wb").close()
            time.sleep(how.get("pause", 0.0002))


def note_progress(number):
    """Note how much there is after the next write: this process may be ended during it."""
    descriptor = os.open(f"{HERE}/written", os.O_WRONLY | os.O_CREAT, 0o600)
    os.pwrite(descriptor, b"%020d" % number, 0)
    os.close(descriptor)


def wait_for(path):
    while not os.path.exists(path):
        time.sleep(0.01)


def touch(path):
    open(path, "a").close()


def chatter(seconds):
    """Print a line now and then, so that nobody thinks it hangs."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        log(["still busy"])
        time.sleep(0.1)


def flood(lines):
    for number in range(lines):
        say(f"line {number} of very many\n")


def child(how):
    """Leave a process behind: in this process group, or with a session of its own."""
    kept = None if how.get("keeps_stdout") else subprocess.DEVNULL
    process = subprocess.Popen(
        [sys.executable, "-IS", "-c", f"import time; time.sleep({how['seconds']})"],
        stdin=subprocess.DEVNULL, stdout=kept, stderr=kept,
        start_new_session=how.get("escapes", False),
    )  # fmt: skip
    record(child=process.pid)


def ignore_term(_):
    signal.signal(signal.SIGTERM, signal.SIG_IGN)


def die(number):
    os.kill(os.getpid(), number)


def close_stdout(_):
    null = os.open(os.devnull, os.O_WRONLY)
    os.dup2(null, 1)
    os.dup2(null, 2)


def edit(change):
    """Change a file of the context, as a person at an editor does: put another in its place."""
    aside = os.path.join(ARGUMENTS[-1], "..", f".edited-{os.getpid()}")
    with open(aside, "w", encoding="utf-8") as file:
        file.write(change["text"])
    os.replace(aside, os.path.join(ARGUMENTS[-1], change["file"]))


def end(code):
    record(ended=True, code=code)
    sys.exit(code)


ACTIONS = {
    "tree": tree, "derived": derived, "log": log, "failed_step": failed_step, "print": say,
    "sleep": time.sleep, "wait_for": wait_for, "touch": touch, "chatter": chatter, "flood": flood,
    "child": child, "ignore_term": ignore_term, "die": die, "close_stdout": close_stdout,
    "endless": endless, "edit": edit, "exit": end, "leak": leak, "arrived": arrived,
    "look_at_commands": look_at_commands,
    "remove": lambda _: shutil.rmtree(destination(), ignore_errors=True),
}  # fmt: skip


def open_descriptors():
    listed = []
    for name in os.listdir("/proc/self/fd"):
        try:
            listed.append([int(name), os.readlink(f"/proc/self/fd/{name}")])
        except OSError:  # the listing's own
            continue
    return listed


def main():
    is_build = ARGUMENTS[:2] == ["buildx", "build"]
    number = record(
        build=is_build,
        argv=ARGUMENTS,
        cwd=os.getcwd(),
        group=os.getpgrp(),
        env=dict(os.environ),
        fds=open_descriptors(),
    )
    if not is_build:
        say("Platforms: linux/amd64, linux/arm64\n" if "inspect" in ARGUMENTS else "docker 0\n")
        end(0)
    with open(f"{HERE}/plan.json", encoding="utf-8") as file:
        plan = json.load(file)
    try:
        for action, value in plan["builds"].get(str(number), plan["default"]):
            ACTIONS[action](value)
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        # BuildKit's client says no more either
        say("ERROR: failed to build: failed to solve: error from receiver: context canceled\n")
        end(1)
    end(0)


if __name__ == "__main__":
    main()
