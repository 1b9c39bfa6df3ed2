"""Rows S1 to S8, S10 and S11: what an export, a Dockerfile or another user may try."""

from __future__ import annotations

import ast
import base64
import csv
import hashlib
import html
import io
import os
import random
import re
import shutil
import stat
import subprocess
import tempfile
import time
from pathlib import Path
from urllib.parse import quote

import pytest
from rig import AMD64, PROCESSES, Strace, wait_until

import pytest_dockerbin
from pytest_dockerbin.build_settings import read_settings, spec_of
from pytest_dockerbin.buildx.caches import destinations, sources
from pytest_dockerbin.buildx.command import arguments
from pytest_dockerbin.entries import Entries
from pytest_dockerbin.errors import ArtifactError, SettingsError
from pytest_dockerbin.export import seal
from pytest_dockerbin.manifest import BuildRecord, Manifest
from pytest_dockerbin.settings import Limits

PACKAGE = Path(pytest_dockerbin.__file__).parent

# each may only be refused, or end inside the tree
CORPUS = {
    "absolute": {"link": {"link": "/etc/passwd"}},
    "absolute to the canary": {"link": {"link": "CANARY/file"}},
    "dots": {"link": {"link": "../../../canary/file"}},
    "dots beyond the root": {"link": {"link": "../" * 30 + "etc/passwd"}},
    "chain": {"a": {"link": "b"}, "b": {"link": "c"}, "c": {"link": "../../canary/file"}},
    "through a linked folder": {"dir": {"link": "../../canary"}, "x": {"link": "dir/file"}},
    "folder link up": {"up": {"link": ".."}, "x": {"link": "up/up/canary/file"}},
    "inside, then out": {"d/e": "x", "x": {"link": "d/../../../canary/file"}},
    "loop": {"a": {"link": "b"}, "b": {"link": "a"}},
    "itself": {"a": {"link": "a"}},
    "dangling": {"a": {"link": "nothing"}},
    "root": {"a": {"link": "."}, "b": {"link": "a/../../canary/file"}},
}


def make_tree(root, files, canary):
    for name, what in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(what, str):
            path.write_text(what)
        else:
            path.symlink_to(what["link"].replace("CANARY", str(canary)))


def random_tree(root, canary, chance):
    """Make links of every kind among a few files and folders."""
    names = ["a", "b", "c", "d", "e"]
    folders = [root]
    for _ in range(chance.randrange(1, 9)):
        path = chance.choice(folders) / chance.choice(names)
        if path.is_symlink() or path.exists():
            continue
        kind = chance.randrange(4)
        if kind == 0:
            path.mkdir()
            folders.append(path)
        elif kind == 1:
            path.write_text("x")
        else:
            parts = [chance.choice([*names, "..", "..", ".", "canary", "file"]) for _ in range(5)]
            absolute = chance.choice(["", "", "", f"{canary}/", "/"])
            path.symlink_to(absolute + "/".join(parts[: chance.randrange(1, 6)]))


def seal_all(conn, trees):
    """Seal every tree, store what is good and hand it out: in a process under strace."""
    conn.send(os.getpid())
    conn.recv()
    refused = 0
    record = BuildRecord(seconds=1.0, steps=1, cached_steps=0, log_path=None, ref=None)
    for number, tree in enumerate(trees):
        try:
            files = seal(tree, AMD64, verify="platform")
        except ArtifactError:
            refused += 1
            continue
        entries, key = Entries(tree.parent / "v1"), f"{number:064x}"
        entries.store(key, tree, Manifest(platform=AMD64, files=files, build=record))
        assert entries.fetch(key, tree.parent / "copy")
    conn.send(refused)


@pytest.mark.fault("S1", "links out of the export: nothing outside opened or changed (strace)")
def test_no_link_leads_out_of_an_export(tmp_path, strace, trial, times):
    canary = tmp_path / "canary"
    canary.mkdir()
    (canary / "file").write_text("canary")
    (canary / "file").chmod(0o640)
    trees = []
    for number, files in enumerate(CORPUS.values()):
        trees.append(tmp_path / f"t{number}" / "tree")
        trees[-1].mkdir(parents=True)
        make_tree(trees[-1], files, canary)
    for number in range(times() * 10):
        trees.append(tmp_path / f"r{number}" / "tree")
        trees[-1].mkdir(parents=True)
        random_tree(trees[-1], canary, random.Random(number))
    ours, theirs = PROCESSES.Pipe()
    process = PROCESSES.Process(target=seal_all, args=(theirs, trees))
    process.start()
    pid = ours.recv()
    listing = tmp_path / "strace"
    calls = (
        "open,openat,openat2,chmod,fchmod,fchmodat,rename,renameat,renameat2,link,linkat,unlinkat"
    )
    tracer = Strace(pid, "-y", "-s", "4096", "-e", f"trace={calls}", "-o", str(listing))
    ours.send("go")
    refused = ours.recv()
    process.join()
    tracer.close()
    seen = [line for line in listing.read_text().splitlines() if "ENOENT" not in line]
    assert any("t0/tree" in line for line in seen), "strace saw nothing"
    assert len(CORPUS) <= refused < len(trees)
    inside = re.compile(rf"{re.escape(str(tmp_path))}/[tr]\d+/(tree|copy|v1)\b")
    trial.note(f"{refused} of {len(trees)} were refused; the others were stored and handed out")
    outside = [line for line in seen if str(tmp_path) in line and not inside.search(line)] + [
        line for line in seen if "/etc/" in line or "canary" in line
    ]
    for number in range(len(trees)):
        trial.hold(number >= len(outside), outside[:3])
    facts = (canary / "file").stat()
    trial.hold((stat.S_IMODE(facts.st_mode), (canary / "file").read_text()) == (0o640, "canary"))


@pytest.mark.fault("S1", "links out of the export: refused by a whole build, named")
@pytest.mark.parametrize("name", CORPUS)
def test_a_build_with_such_a_link_is_refused_by_name(bench, docker, trial, name):
    docker.plan(("tree", {**CORPUS[name], "real": "x"}))
    result = bench.run()
    trial.hold(result.get("error") == "ArtifactError", result)
    trial.hold(any(repr(link) in result.get("report", "") for link in CORPUS[name]), result)
    assert bench.entries() == []


SPECIAL = {
    "named pipe": {"fifo": True},
    "socket": {"socket": True},
    "character device": {"device": "c"},
    "block device": {"device": "b"},
}


@pytest.mark.fault("S2", "special files: refused, never opened, no hang")
def test_a_special_file_is_refused(bench, docker, trial):
    if os.geteuid() != 0:
        pytest.skip("only root can make devices")
    for number, (kind, made) in enumerate(SPECIAL.items()):
        for place in ("odd", "folder/odd"):
            bench.input(f"{number} {place}")
            docker.plan(("tree", {"real": "x", place: {**made, "mode": 0o666}}))
            began = time.monotonic()
            result = bench.run()
            trial.took(time.monotonic() - began)
            told = f"{place!r} is a {kind}" in result.get("report", "")
            trial.hold(result.get("error") == "ArtifactError" and told, result)
    trial.note_longest("a whole session with such a file", 1)


MODES = [0o4755, 0o2755, 0o6777, 0o1777, 0o000, 0o777, 0o666, 0o4644, 0o111, 0o7777]


@pytest.mark.fault("S3", "setuid, odd modes, attributes: none in store or session")
def test_modes_and_attributes_are_made_uniform(bench, docker, trial):
    capability = bytes.fromhex("0100000200200000000000000000000000000000").decode("latin-1")
    files = {f"m{mode:o}": {"text": "x", "mode": mode} for mode in MODES}
    files |= {f"d{mode:o}": {"dir": True, "mode": mode | 0o700} for mode in MODES}
    files["attribute"] = {"text": "x", "xattr": "user.evil"}
    if os.geteuid() == 0:
        files["capable"] = {
            "text": "x", "mode": 0o755, "xattr": "security.capability", "xattr_value": capability,
        }  # fmt: skip
    docker.plan(("tree", files))
    assert "files" in bench.run()
    assert bench.run()["source"] == "reused"
    for path in (*bench.cache.rglob("tree/**/*"), *bench.cache.rglob("tree")):
        mode = stat.S_IMODE(path.lstat().st_mode)
        trial.hold(mode in (0o755, 0o644), f"{path} has {mode:o}")
        trial.hold(os.listxattr(path) == [], f"{path} has {os.listxattr(path)}")


ENDLESS = {
    "bytes": ({"kind": "bytes", "most": 400 * 2**20}, {"size": 24 * 2**20}, 24 * 2**20),
    "files": ({"kind": "files", "most": 40_000, "pause": 0.0005}, {"files": 4000}, 4000),
}


@pytest.mark.fault("S4", "huge export: stopped while it is written, at most 1.25 times the cap")
@pytest.mark.parametrize("kind", ENDLESS)
def test_an_endless_export_is_stopped_while_it_is_written(bench, docker, disk, trial, kind):
    plan, limits, cap = ENDLESS[kind]
    bench.cache = disk("size=2g,nr_inodes=200k,mode=755").path / "cache"
    bench.run()
    bench.input("endless")
    docker.plan(("endless", plan))
    result = bench.run(limits=Limits(**limits))
    trial.hold(result.get("error") == "ArtifactError" and "too large" in result["report"], result)
    written = int((docker.bin / "written").read_text())
    trial.hold(cap < written <= 1.25 * cap, f"{written} written, the cap is {cap}")
    trial.hold(not bench.leftovers(), bench.leftovers())
    wait_until(lambda: not docker.living(), "docker has ended")
    docker.plan()
    bench.input("0")
    trial.hold(bench.run()["source"] == "reused", "another entry is lost")


@pytest.mark.fault("S4", "huge export: sparse file, deep path, refused after the export")
@pytest.mark.parametrize(
    "files",
    [{"s": {"text": "x", "sparse": 2**40}}, {"d/" * 100 + "f": "x"}],
    ids=["sparse", "deep"],
)
def test_a_sparse_or_deep_export_is_refused(bench, docker, trial, files):
    docker.plan(("tree", files))
    result = bench.run()
    trial.hold(result.get("error") == "ArtifactError" and "too large" in result["report"], result)
    trial.hold(not bench.leftovers() and not bench.entries(), bench.leftovers())


@pytest.mark.fault("S5", "tar tricks: no module unpacks an archive")
def test_no_module_unpacks_an_archive(trial):
    users = set()
    for path in PACKAGE.rglob("*.py"):
        tree = ast.parse(path.read_text())
        imported = set()
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                imported |= {alias.name for alias in node.names} | {getattr(node, "module", None)}
        used = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
        if imported & {"tarfile", "zipfile"}:
            users.add(path.name)
            trial.hold(not used & {"extract", "extractall"}, path)
        trial.hold("unpack_archive" not in used | imported, path)
    trial.hold(users == {"archive.py", "attestations.py"}, users)
    opened = re.findall(r"tarfile\.open\((.*)\)", (PACKAGE / "archive.py").read_text())
    trial.hold(set(opened) == {'fileobj=file, mode="w"'}, opened)


# -- options --------------------------------------------------------------------------------------


VALUE_FLAGS = {
    "--platform", "--output", "--file", "--provenance", "--sbom", "--builder", "--target",
    "--build-arg", "--build-context", "--secret", "--network", "--progress",
    "--metadata-file", "--ssh", "--label", "--add-host", "--ulimit", "--shm-size",
    "--cgroup-parent", "--no-cache-filter", "--cache-from", "--cache-to", "--attest",
}  # fmt: skip
BARE_FLAGS = {"--no-cache", "--pull"}


def parse_as_docker_does(words):
    """Read words as pflag does: flags before ``--``, then arguments; CSV in ``--output``."""
    assert words[0] == "build"  # docker's word "buildx" comes before it where docker is called
    flags, rest = [], words[1:]
    while rest:
        word = rest.pop(0)
        if word == "--":
            break
        assert word.startswith("--"), f"{word!r} is taken for the context"
        name, equals, value = word.partition("=")
        if name in BARE_FLAGS and not equals:
            flags.append((name, None))
            continue
        assert name in VALUE_FLAGS, f"{name!r} became an option"
        assert equals, f"{word!r} takes the next word for its value"
        flags.append((name, value))
    return flags, rest


ODD = [
    "-", "--", "=", ",", '"', "'", " ", "$(id)", "`id`", ";", "|", "&", "\\", "\t", "é", "\u2028",
    "--push", "type=registry", "mode=delete", "dest=/etc", "git@x:y", "https://x/y", "..", "~", "*",
    "\n", "\r", "\0", "\x1b[2J", "@", ":", "%s", "{}", "#",
]  # fmt: skip


def fields_of(value):
    return next(csv.reader(io.StringIO(value, newline=""), strict=True))


def attested(spec):
    """Return the fields of both attestations; what was not asked for is disabled."""
    asked = {kind: list(map("=".join, pairs)) for kind, pairs in spec.attests}
    kinds = ("provenance", "sbom")
    return [[f"type={kind}", *asked.get(kind, ["disabled=true"])] for kind in kinds]


def values_of(flags, flag):
    return [value for name, value in flags if name == flag]


@pytest.mark.fault("S6", "option and CSV injection: values round-trip, none becomes an option")
def test_no_value_becomes_an_option(tmp_path, trial, times):
    context = tmp_path / "context"
    context.mkdir()
    (context / "Dockerfile").touch()
    refused = taken = 0
    for number in range(times() * 10):
        chance = random.Random(number)
        word = "".join(
            chance.choice([*ODD, "a", "B", "7", "_"]) for _ in range(chance.randrange(1, 6))
        )
        given = {
            "build_args": {chance.choice([word, "NAME"]): word},
            "target": chance.choice([word, "stage"]),
            "builder": chance.choice([word, "mine"]),
            "build_contexts": {"base": f"docker-image://{word}"},
            "network": chance.choice([word, "none"]),
            "secrets": {chance.choice([word, "token"]): f"file:/keys/{word}"},
            "ssh": {chance.choice([word, "default"]): f"/agents/{word}"},
            "labels": {chance.choice([word, "label"]): word},
            "add_hosts": {chance.choice([word, "host"]): chance.choice([word, "::1"])},
            "ulimits": {chance.choice([word, "nofile"]): chance.choice([word, 1])},
            "shm_size": word,
            "cgroup_parent": word,
            "no_cache_filter": [word],
            "cache_from": [{"type": "registry", "ref": word}],
            "cache_to": [{"type": "local", "dest": f"/caches/{word}"}],
            "provenance": {"mode": word},
        }
        read = {}
        for name in chance.sample(sorted(given), 6):
            try:
                read |= read_settings({name: given[name]}, base=context, where="here")
            except SettingsError:
                refused += 1
        taken += len(read)
        dest = f"/out/{word}".replace("\0", "")
        spec = spec_of({**read, "context": context})
        flags, rest = parse_as_docker_does(arguments(spec, AMD64, str(spec.dockerfile), dest=dest))
        told = dict(flags)
        fields = fields_of(told["--output"])
        held = fields[:2] == ["type=local", f"dest={dest}"] and rest == [str(context)]
        held &= len(fields) == 2 + bool(spec.attests)
        for flag, pairs, sign in (
            ("--build-arg", spec.build_args, "="),
            ("--build-context", spec.build_contexts, "="),
            ("--label", spec.labels, "="),
            ("--ulimit", spec.ulimits, "="),
            ("--ssh", spec.ssh, "="),
            ("--add-host", spec.add_hosts, ":"),
        ):
            held &= values_of(flags, flag) == [f"{k}{sign}{v}" for k, v in pairs]
        for flag, lists in (
            ("--secret", [[f"id={name}", f"src={at[5:]}"] for name, at in spec.secrets]),
            ("--cache-to", destinations(spec.cache_to, AMD64)),
            ("--cache-from", sources(spec.cache_from, AMD64)),
            ("--attest", attested(spec)),
        ):
            held &= list(map(fields_of, values_of(flags, flag))) == list(lists)
        for flag, value in (
            ("--target", spec.target),
            ("--builder", spec.builder),
            ("--shm-size", spec.shm_size),
            ("--cgroup-parent", spec.cgroup_parent),
        ):
            held &= told.get(flag) == value
        held &= values_of(flags, "--no-cache-filter") == list(spec.no_cache_filter)
        held &= not any("\0" in value for _, value in flags if value)
        trial.hold(held, f"{word!r}: {flags} {rest}")
    trial.note(f"each in a folder's name and in 6 settings: {taken} were taken, {refused} refused")


@pytest.mark.fault("S6", "option and CSV injection: folder names, as the docker client gets them")
@pytest.mark.parametrize(
    "name", ["a,mode=delete", 'a"b', "-rf", "--push", "a b", 'a,b"c,type=tar', "$HOME", "a=b"]
)
def test_a_folder_s_name_stays_a_name(bench, docker, trial, name):
    bench.cache = bench.folder / name / "cache"
    bench.cache.parent.mkdir()
    odd = bench.folder / f"ctx{name}"
    bench.context.rename(odd)
    bench.context = odd
    result = bench.run()
    trial.hold(result.get("files") == bench.expected(), result)
    trial.hold(docker.builds()[0]["argv"][-2:] == ["--", str(odd)], docker.builds()[0]["argv"])


SECRETS_SUITE = """
import hashlib
import pathlib
import pytest
import pytest_dockerbin

@pytest.fixture(scope="session")
def token():
    return pytest_dockerbin.Secret(pathlib.Path(TOKENS, "value").read_text())

@pytest.fixture(scope="session")
def secrets(token):
    return {"env": "env:CANARY", "file": f"file:{TOKENS}/file", "value": token}

@pytest.fixture(scope="session")
def dockerbin_defaults(dockerbin_defaults, secrets):
    return {**dockerbin_defaults, "secrets": secrets}

def arrived(artifact):
    return {file.name: (artifact / file.name).read_text() for file in artifact.files}

def test_fixture(dockerbin):
    assert arrived(dockerbin) == DIGESTS

def test_call(dockerbin_build, secrets, token):
    assert arrived(dockerbin_build(".", secrets=secrets, build_args={"N": 1})) == DIGESTS

def test_compared(secrets, token):
    assert secrets == {"value": pytest_dockerbin.Secret("other")}
"""

# what makes pytest say more, or say it elsewhere
TELLING = [
    (), ("--showlocals",), ("--showlocals", "--full-trace"), ("-vv", "-rA"), ("--tb=native",),
    ("-o", "junit_logging=all", "--log-level=DEBUG"), ("--tb=line", "-q"), ("--setup-show", "-v"),
]  # fmt: skip
KINDS = ("env", "file", "value")
FORMS = ("raw", "base64", "url")
LEAKS = ("output", "output", "name", "error", "warning", "text")


def canaries(number, chance):
    """Return a value of each kind: of any length, also of several lines and with odd signs."""
    odd = ["", "/+?&=", "ü%", "\"'\\", "x" * 90]
    values = {
        kind: f"canary-{kind}-{number}-{chance.randbytes(9).hex()}{chance.choice(odd)}"
        for kind in KINDS
    }
    values["file"] += chance.choice(["", "\n", f"\n  canary-line-{chance.randbytes(9).hex()}\n"])
    return values


def traces(values):
    """Return what must be found nowhere: the values, their lines and forms."""
    for value in values.values():
        yield from filter(None, map(str.strip, value.splitlines()))
        yield base64.b64encode(value.encode()).decode()
        yield quote(value, safe="")


@pytest.mark.fault("S7", "secrets in cache, .pytest_cache, output, JUnit, reports, commands")
def test_a_secret_is_written_nowhere(bench, project, docker, trial, times):
    tokens = bench.folder / "tokens"
    tokens.mkdir()
    reports = bench.folder / "reports"
    names = [f"report.{kind}" for kind in ("html", "md", "json", "svg")]
    args = [
        "-n2", "-p", "cacheprovider", "--dockerbin-cache=reuse", "--dockerbin-no-cache",
        f"--junitxml={reports / 'junit.xml'}",
        *(f"--dockerbin-report={reports / name}" for name in names),
        # pytest-html with the plugin that it needs
        "-p", "metadata", "-p", "html", f"--html={reports / 'pytest.html'}",
    ]  # fmt: skip
    written = {*names, "junit.xml", "pytest.html", "summary.md"}
    replaced = 0
    for number in range(times(10)):
        chance = random.Random(number)
        values = canaries(number, chance)
        for kind in ("file", "value"):
            (tokens / kind).write_text(values[kind])
        digests = {kind: hashlib.sha256(values[kind].encode()).hexdigest() for kind in KINDS}
        suite = SECRETS_SUITE.replace("DIGESTS", repr(digests))
        project.tests(suite.replace("TOKENS", repr(str(tokens))))
        hidden = list(traces(values))
        fails = number % 2
        leaks = [
            {"id": kind, "form": form, "where": chance.choice(LEAKS),
             "cuts": [chance.randrange(200) for _ in range(chance.randrange(6))]}
            for kind in KINDS for form in FORMS
        ]  # fmt: skip
        chance.shuffle(leaks)
        ending = [("failed_step", "exit code: 1"), ("exit", 1)] if fails else [("arrived", KINDS)]
        docker.forget()
        docker.plan(
            ("look_at_commands", hidden), ("log", []), *(("leak", how) for how in leaks), *ending
        )
        telling = TELLING[number // 2 % len(TELLING)]
        shutil.rmtree(reports, ignore_errors=True)
        reports.mkdir()
        env = {"GITHUB_STEP_SUMMARY": str(reports / "summary.md"), "CANARY": values["env"]}
        _, said = project.run(*args, *telling, **env)
        outcomes = (reports / "junit.xml").read_text()
        kept = [bench.cache, bench.tmp, project.folder / ".pytest_cache", reports]
        files = [path for folder in kept for path in folder.rglob("*") if path.is_file()]
        texts = {str(path): path.read_text(errors="replace") for path in files}
        texts |= {f"{path}, unescaped": html.unescape(texts[path]) for path in texts}
        texts |= {"stdout": said, "names": "\n".join(texts)}
        texts["docker's arguments"] = "\n".join(
            word for call in docker.calls() for word in call.get("argv", ())
        )
        hits = {where for where, text in texts.items() if any(map(text.count, hidden))}
        commands = [call["commands"] for call in docker.calls() if "commands" in call]
        # and that there was something to be found: each build's log and outcome, pytest's cache
        logs = [text for where, text in texts.items() if where.endswith(".log")]
        outcome = 'failures="2" ' if fails else 'errors="0" failures="1" skipped="0"'
        problems = {
            f"in {sorted(hits)}": hits,
            f"on command lines: {commands}": commands != [[], []],
            f"other outcomes: {said}": outcome not in outcomes,
            f"logs: {logs}": len(logs) != 2 or not all("***" in text for text in logs),
            "pytest wrote no cache": not any("lastfailed" in where for where in texts),
            "reports are missing": not written <= {path.name for path in reports.iterdir()},
        }
        told = [problem for problem, found in problems.items() if found]
        trial.hold(not told, f"run {number} {telling}: {told}")
        replaced += sum(text.count("***") for text in logs)
    trial.note(
        f"{replaced} times *** in logs; {', '.join(sorted(written))} are looked through, too"
    )


# -- other users ----------------------------------------------------------------------------------


VICTIM, ATTACKER = 12345, 54321

LAYOUTS = [
    "foreign folder", "link to a foreign folder", "link to an own folder", "group may write",
    "all may write", "sticky", "all may write above", "group may write above",
]  # fmt: skip


def layout(kind, folder, poison):
    """Let the attacker prepare a cache folder with a stored result in it; return its path."""
    owner = ATTACKER if "foreign" in kind else VICTIM
    place = {"link to a foreign folder": "evil", "link to an own folder": "mine"}.get(kind, "cache")
    above = folder / "shared" if kind.endswith("above") else folder
    above.mkdir(exist_ok=True)
    root = above / place
    shutil.copytree(poison, root, symlinks=True)
    for path in (root, *root.rglob("*")):
        os.lchown(path, owner, owner)
    modes = {"group may write": 0o770, "all may write": 0o777, "sticky": 0o1777}
    root.chmod(modes.get(kind, 0o700))
    if kind == "group may write":
        os.chown(root, VICTIM, ATTACKER)
    if kind.endswith("above"):
        os.chown(above, 0, ATTACKER)
        above.chmod(0o777 if kind.startswith("all") else 0o775)
    if place != "cache":
        (folder / "cache").symlink_to(place)
        return folder / "cache"
    return root


@pytest.fixture
def as_victim(bench, docker):
    """Begin a command that is run by another user; docker and a temporary folder are theirs too."""
    # Python may lie in a folder that only root may look into. What can read all files and still
    # does not take what is in them proves the more.
    ids = (f"--reuid={VICTIM}", f"--regid={VICTIM}", "--clear-groups")
    command = ["setpriv", *ids, "--inh-caps=+dac_read_search", "--ambient-caps=+dac_read_search"]
    if os.geteuid() != 0 or subprocess.run([*command, "true"], check=False).returncode:
        missing = pytest.fail if os.environ.get("CI") else pytest.skip
        missing("only root can be two users")
    os.chown(bench.tmp, VICTIM, VICTIM)
    # access(2), by which docker is looked for, takes no account of capabilities
    with tempfile.TemporaryDirectory() as reachable:
        Path(reachable).chmod(0o755)
        docker.move(Path(reachable) / "bin")
        yield command
        docker.kill()


GETS_GOOD = """
def test_it(dockerbin): assert (dockerbin / "program").read_text() == "good"
"""


@pytest.fixture
def poison(bench, project, docker, as_victim):
    """A cache folder with a stored result of the project that is whole, and evil."""
    project.tests(GETS_GOOD)
    docker.plan(("tree", {"program": "evil"}))
    folder = bench.folder / "poison"
    folder.mkdir(mode=0o700)
    os.chown(folder, VICTIM, VICTIM)
    bench.cache = folder
    code, said = project.run("--dockerbin-cache=reuse", before=as_victim)
    assert code == 1, said
    assert "'evil' == 'good'" in said, said
    docker.plan(("tree", {"program": "good"}))
    return folder


@pytest.mark.fault("S8", "poisoned cache folder, two users: refused, nothing of it read")
def test_a_cache_folder_that_others_can_fill_is_not_used(bench, project, poison, as_victim, trial):
    for number, kind in enumerate(LAYOUTS):
        folder = bench.folder / f"layout{number}"
        folder.mkdir()
        bench.cache = layout(kind, folder, poison)
        code, said = project.run("--dockerbin-cache=reuse", before=as_victim)
        used = "1 passed, 1 warning" in said and "the cache folder" in said
        trial.hold(code == 0 and used, f"{kind}: {said}")
    # and that there was something to be feared: in the user's own folder only the permissions help
    bench.cache = layout("own", bench.folder, poison)
    code, said = project.run("--dockerbin-cache=reuse", before=as_victim)
    assert code == 1, said
    assert "'evil' == 'good'" in said, said


@pytest.mark.fault("S8", "two users on one cache folder, in turn and at once: both pass")
def test_two_users_do_not_share_a_cache_folder(bench, project, docker, as_victim, trial, times):
    project.tests(GETS_GOOD)
    docker.plan(("tree", {"program": "good"}))
    users = {"root": (), "victim": as_victim}
    for turn in range(times(100)):
        shared = bench.folder / f"shared{turn}"
        shared.mkdir()
        shared.chmod(0o1777)
        bench.cache = shared / "cache"
        docker.forget()
        runs = [project.start("--dockerbin-cache=reuse", before=user) for user in users.values()]
        ended = [project.end(run) for run in runs]
        passed = all(code == 0 and "1 passed" in said for code, said in ended)
        warned = [said.count("belongs to user") for _, said in ended]
        trial.hold(passed and sorted(warned) == [0, 1], ended)
        owner = "root" if bench.cache.lstat().st_uid == 0 else "victim"
        other = next(user for user in users if user != owner)
        before = facts_of(bench.cache)
        for user, builds, warnings in ((other, 1, 1), (owner, 0, 0)):
            docker.forget()
            code, said = project.run("--dockerbin-cache=reuse", before=users[user])
            told = said.count("belongs to user")
            right = code == 0 and (len(docker.builds()), told) == (builds, warnings)
            trial.hold(right, f"{user}: {len(docker.builds())} builds: {said}")
            if user == other:
                trial.hold(facts_of(bench.cache) == before, "another user changed the folder")


def facts_of(folder):
    return {path: (path.lstat().st_mode, path.lstat().st_uid) for path in folder.rglob("*")}


# -- the log --------------------------------------------------------------------------------------


PAYLOADS = [
    "::error file=x::pwned", "::set-output name=a::b", "::add-mask::x", "::stop-commands::x",
    "\r::warning::x", "  ::debug::x", "\x1b]52;c;cm0gLXJm\x07", "\x1b]0;title\x07", "\x1b[2J",
    "\x1b[31mred\x1b[0m", "\x1bP+q\x1b\\", "\x9b2J", "\x1b]8;;http://x\x07x\x1b]8;;\x07",
    "\x07\x07",
    "##[error]x", "##vso[task.setvariable variable=a]b", "<script>alert(1)</script>",
    "\x1b[?1049h", "a\u2028::error::x", "a\x85::error::x", "a\x0b::error::x", "a\x0c::error::x",
]  # fmt: skip


# of a CI service's commands, those that the plugin says itself; data may follow only where a
# service looks for none
OWN = re.compile(
    r"::stop-commands::\w{16,}$|::endgroup::$"
    r"|::group::log of the build of context/ for linux/amd64$"
    r"|::error (file=Dockerfile,line=1,)?title=build of context/ for linux/amd64::"
)


def harmful(said):
    """Return the lines that would drive a terminal or a CI service."""
    lines = re.split("[\r\n\x0b\x0c\x85\u2028\u2029]", said)
    commands = [line for line in lines if re.search(r"^\s*::|##\[|##vso\[", line)]
    begins = [line for line in commands if not OWN.match(line)]
    without_colours = re.sub(r"\x1b\[[0-9;]*m", "", said)
    escapes = [
        line for line in lines if re.search(r"[\x1b\x9b\x07]", line) and "\x1b" in without_colours
    ]
    return begins + escapes


PLACES = {
    "log": lambda bad: [("log", [bad, f"x\n{bad}"]), ("print", FAILED), ("exit", 1)],
    "error": lambda bad: [("print", f"{FAILED}{bad}\n{bad}\n"), ("exit", 1)],
    "excerpt": lambda bad: [("print", EXCERPT.format(bad)), ("print", FAILED), ("exit", 1)],
    # of at most 255 bytes
    "file name": lambda bad: [("tree", {bad[:110].replace("/", "_"): {"fifo": True}})],
    "end of a file name": lambda bad: [("tree", {bad[-110:].replace("/", "_"): {"fifo": True}})],
    "middle of a file name": lambda bad: [("tree", {bad[110:-110].replace("/", "_"): {"fifo": 1}})],
}
FAILED = "ERROR: failed to solve: no\n"
EXCERPT = f"Dockerfile:1\n{'-' * 20}\n{{0}}\n   1 | >>> {{0}}\n{'-' * 20}\n"


@pytest.mark.fault("S10", "log injection: 22 payloads in a failed build's output, and in reports")
@pytest.mark.parametrize("place", PLACES)
def test_no_line_of_a_session_drives_the_terminal_or_the_ci(project, docker, trial, place):
    project.tests("def test_it(dockerbin): pass")
    docker.plan(*PLACES[place]("\n".join(PAYLOADS)))
    reports = [project.bench.folder / name for name in ("report.html", "report.md", "report.svg")]
    summary = project.bench.folder / "summary.md"
    args = [f"--dockerbin-report={path}" for path in reports]
    env = {"GITHUB_ACTIONS": "true", "CI": "true", "GITHUB_STEP_SUMMARY": str(summary)}
    _, said = project.run(*args, **env)
    assert "1 error" in said, said
    assert "file name" not in place or "control characters" in said, said
    for number in range(len(PAYLOADS)):
        trial.hold(number >= len(harmful(said)), harmful(said))
    for path in (*reports, summary):
        text = path.read_text()
        if path.suffix == ".md":  # where nothing is a tag
            text = re.sub(r"(?<!`)(`+)(?!`).+?(?<!`)\1(?!`)", "", text)
        # the payload's, raw; the HTML report has a script of its own
        trial.hold("<script>alert" not in text, path)
        trial.hold(not re.search(r"[\x00-\x08\x0b-\x1f\x7f\x80-\x9f]", text), path)


@pytest.mark.fault("S11", "no --allow, no security.insecure in docker's arguments")
def test_docker_is_never_allowed_anything(bench, docker, trial):
    bench.run()
    for call in docker.builds():
        words = " ".join(call["argv"])
        trial.hold("--allow" not in words and "security.insecure" not in words, words)
    for path in PACKAGE.rglob("*.py"):
        trial.hold(
            "--allow" not in path.read_text() and "security.insecure" not in path.read_text(), path
        )
