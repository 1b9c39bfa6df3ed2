"""What the real engine is sent, and what makes it run a COPY again: what digests rest on."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, note, settings
from hypothesis import strategies as st

from pytest_dockerbin.dockerignore import IgnoreRules, InvalidPatternError
from pytest_dockerbin.fingerprint import fingerprint_folder, inputs_digest
from pytest_dockerbin.spec import BuildSpec

pytestmark = pytest.mark.engine


def build(folder, context, dockerfile, *arguments):
    """Run a build; its files are in ``folder / "out"`` then."""
    shutil.rmtree(folder / "out", ignore_errors=True)
    return subprocess.run(
        [
            "docker",
            "buildx",
            "build",
            "--progress=plain",
            "--provenance=false",
            f"--output=type=local,dest={folder / 'out'}",
            f"--file={dockerfile}",
            *arguments,
            context,
        ],
        capture_output=True,
        text=True,
        check=False,
    )


# -- .dockerignore --------------------------------------------------------------------------------


def sent(folder, cases):
    """Return what the engine is sent of each case's tree: as many named contexts of one build."""
    (folder / "empty").mkdir()
    contexts = []
    for number, (tree, text) in enumerate(cases):
        context = folder / f"c{number}"
        contexts.append(context)
        for name in tree:
            (context / name).parent.mkdir(parents=True, exist_ok=True)
            (context / name).write_text(name)
        (context / ".dockerignore").write_text(text)
    dockerfile = folder / "Dockerfile"
    dockerfile.write_text(
        "FROM scratch\n" + "".join(f"COPY --from={c.name} . /{c.name}/\n" for c in contexts)
    )
    named = [f"--build-context={context.name}={context}" for context in contexts]
    run = build(folder, folder / "empty", dockerfile, *named)
    assert run.returncode == 0, run.stderr
    return [listing(folder / "out" / context.name) for context in contexts]


def listing(folder):
    return sorted(f"{path.relative_to(folder)}{'/' * path.is_dir()}" for path in folder.rglob("*"))


def expected(tree, text):
    rules = IgnoreRules.parse(text)
    files = [name for name in [*tree, ".dockerignore"] if not rules.excludes(name)]
    folders = {folder for name in tree for folder in above(name)}
    kept = {folder for folder in folders if not rules.excludes(folder)}
    for path in [*files, *kept]:
        kept |= above(path)
    return sorted([*files, *(f"{folder}/" for folder in kept)])


def above(path):
    parts = path.split("/")
    return {"/".join(parts[:depth]) for depth in range(1, len(parts))}


def readable(text):
    try:
        IgnoreRules.parse(text)
    except InvalidPatternError:
        return False
    return True


def is_tree(names):
    """No name is a folder of another."""
    return not any(folder in names for name in names for folder in above(name))


names = st.text(st.sampled_from("ab1.x|{}[]^! "), min_size=1, max_size=3).filter(
    lambda name: name not in (".", "..")
)
trees = (
    st.lists(st.lists(names, min_size=1, max_size=4).map("/".join), max_size=12, unique=True)
    .map(lambda files: [*files, "a/a/a", "a/b/x", "ab/x", "b/a/b"])
    .map(lambda files: list(dict.fromkeys(files)))
    .filter(is_tree)
)
parts = st.sampled_from(
    ["*", "**", "?", "a", "b", "ab", "x", "[ab]", "[^a]", "a*", "*b", "**a", ".."]
) | st.text("ab*?[]^-\\|{}(.+$1d ", min_size=1, max_size=4)
lines = st.tuples(st.sampled_from(["", "", "!"]), st.lists(parts, min_size=1, max_size=4)).map(
    lambda line: line[0] + "/".join(line[1])
)
files = st.lists(lines.filter(readable), min_size=1, max_size=5).map("\n".join)


@settings(
    max_examples=25,  # of eight cases each; about a second
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
@given(st.lists(st.tuples(trees, files), min_size=8, max_size=8))
def test_any_patterns_leave_out_what_the_engine_is_not_sent(cases):
    with tempfile.TemporaryDirectory() as folder:
        seen = sent(Path(folder), cases)
    for (tree, text), got in zip(cases, seen, strict=True):
        note(f"{text!r} of {tree}")
        assert got == expected(tree, text)


# as in tests/unit/test_dockerignore.py, which says what comes of each
SURPRISES = [
    "a|b*",
    "x{2}*",
    "^c*r",
    r"a\d",
    r"a\Dx*",
    r"q\x41",
    r"q\x{41}",
    r"\145",
    "*[[:digit:]]",
    r"\Ae*",
    r"a\b*",
    r"a[^\D]",
    r"a[\D]",
    "[a*b]",
    "/ e",
    "e /",
    "*\n!lit/*",
    "*\n!lit/*/**",
    "*\n!p/*/r",
    "**/x\n!d",
    "d\n!d/x\nd",
]
TREE = ["axx", "zzb", "bq", "cxr", "^cxr", "xx", "x{2}", "xxk", "a1", "ad", "d/x", "d/y"]
TREE += ["lit/a/b", "lit/c", "qA", "a|b", "k/aa/z", "e", "a-b", "[a/b]", "p/q/r"]


def test_the_surprises_are_the_engine_s_own(tmp_path):
    cases = [(TREE, text) for text in SURPRISES]
    assert dict(zip(SURPRISES, sent(tmp_path, cases), strict=True)) == {
        text: expected(TREE, text) for text in SURPRISES
    }


@pytest.mark.parametrize("text", ["!", "!/", "[z-a]", "a[^", r"\yub", "x*{9}", "x{3,2}*", "a\tb"])
def test_what_is_refused_here_is_refused_there(text, tmp_path):
    assert not readable(text)
    (tmp_path / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (tmp_path / ".dockerignore").write_text(text)
    run = build(tmp_path, tmp_path, tmp_path / "Dockerfile")
    assert (
        "syntax error in pattern" in run.stderr
        or "illegal" in run.stderr
        or ("non-printable" in run.stderr)
    )


# -- which .dockerignore --------------------------------------------------------------------------


def project(folder):
    """A context in which every ignore file will name a.txt."""
    context = folder / "context"
    context.mkdir()
    (context / "a.txt").write_text("a")
    (context / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (context / "patterns").write_text("a.txt\n")
    (folder / "outside").write_text("a.txt\n")
    return context


def plain(context):
    (context / ".dockerignore").write_text("a.txt\n")


def named_after_the_dockerfile(context):
    (context / "Dockerfile.dockerignore").write_text("a.txt\n")


def empty_beside_the_dockerfile(context):
    plain(context)
    (context / "Dockerfile.dockerignore").write_text("")


def linked(context):
    (context / ".dockerignore").symlink_to("patterns")


def linked_outside(context):
    (context / ".dockerignore").symlink_to("../outside")


def linked_outside_absolutely(context):
    (context / ".dockerignore").symlink_to(context.parent / "outside")


def dangling(context):
    (context / ".dockerignore").symlink_to("nothing")


def a_folder(context):
    (context / ".dockerignore").mkdir()


@pytest.mark.parametrize(
    "arrange",
    [
        plain,
        named_after_the_dockerfile,
        empty_beside_the_dockerfile,
        linked,
        linked_outside,
        linked_outside_absolutely,
        dangling,
        a_folder,
    ],
)
def test_a_file_counts_exactly_if_the_engine_is_sent_it(arrange, tmp_path):
    context = project(tmp_path)
    arrange(context)
    spec = BuildSpec(context=context, dockerfile=context / "Dockerfile")
    assert build(tmp_path, context, spec.dockerfile).returncode == 0
    before = inputs_digest(spec)
    (context / "a.txt").write_text("b")
    assert before is not None
    assert (inputs_digest(spec) != before) is (tmp_path / "out" / "a.txt").exists()


# -- what counts ----------------------------------------------------------------------------------


def touch(context):
    os.utime(context / "file", (1, 1))


def own(context):
    os.chown(context / "file", 12345, 12345)


def root_mode(context):
    context.chmod(0o700)


def link_hard(context):
    (context / "copy").unlink()
    os.link(context / "file", context / "copy")


def owned_link(context):
    os.lchown(context / "link", 12345, 12345)


def content(context):
    (context / "folder" / "below").write_text("other")


def mode(context):
    (context / "file").chmod(0o600)


def setuid(context):
    (context / "file").chmod(0o4644)


def folder_mode(context):
    (context / "folder").chmod(0o700)


def link_target(context):
    (context / "link").unlink()
    (context / "link").symlink_to("copy")


def name(context):
    (context / "file").rename(context / "other")


def empty_folder(context):
    (context / "empty").mkdir()


def attribute(context):
    os.setxattr(context / "file", "user.dockerbin", b"1")


def folder_attribute(context):
    os.setxattr(context / "folder", "user.dockerbin", b"1")


def capability(context):
    # VFS_CAP_REVISION_2 with CAP_CHOWN
    data = bytes.fromhex("0100000201000000000000000000000000000000")
    os.setxattr(context / "file", "security.capability", data)


def pipe(context):
    os.mkfifo(context / "pipe")


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root gives files away")
needs_linux = pytest.mark.skipif(sys.platform != "linux", reason="no extended attributes in os")


@pytest.mark.parametrize(
    "change",
    [
        touch,
        pytest.param(own, marks=needs_root),
        pytest.param(owned_link, marks=needs_root),
        root_mode,
        link_hard,
        content,
        mode,
        setuid,
        folder_mode,
        link_target,
        name,
        empty_folder,
        pytest.param(attribute, marks=needs_linux),
        pytest.param(folder_attribute, marks=needs_linux),
        pytest.param(capability, marks=[needs_linux, needs_root]),
        pipe,
    ],
)
def test_a_digest_changes_exactly_if_the_engine_copies_again(change, tmp_path):
    """In a context that it has not seen: it may overlook a change in one that it has."""
    # contexts of one name are one to BuildKit, and what a run before has built is cached
    unique = os.urandom(8).hex()
    first, second = tmp_path / f"first-{unique}", tmp_path / f"second-{unique}"
    first.mkdir()
    (first / "file").write_text(unique)
    shutil.copy(first / "file", first / "copy")
    (first / "folder").mkdir()
    (first / "folder" / "below").write_text("below")
    (first / "link").symlink_to("file")
    shutil.copytree(first, second, symlinks=True)
    change(second)
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("FROM scratch\nCOPY . /\n")
    assert "CACHED" not in build(tmp_path, first, dockerfile).stderr
    again = build(tmp_path, second, dockerfile)
    assert again.returncode == 0
    same = fingerprint_folder(first) == fingerprint_folder(second)
    assert same is ("CACHED" in again.stderr)


def test_a_socket_is_sent_as_an_empty_file_of_its_mode(tmp_path, monkeypatch):
    context = tmp_path / "context"
    context.mkdir()
    monkeypatch.chdir(context)  # a socket's whole path must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("socket")
        Path("socket").chmod(0o640)
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("FROM scratch\nCOPY . /\n")
    assert build(tmp_path, context, dockerfile).returncode == 0
    assert fingerprint_folder(tmp_path / "out") == fingerprint_folder(context)
    assert (tmp_path / "out" / "socket").is_file()
