"""What changes a digest of inputs, and what can't have one.

That these are the things that BuildKit's own key counts is tried in test_dockerignore_engine.py.
"""

from __future__ import annotations

import errno
import os
import shutil
import socket
import stat
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dockerbin import fingerprint
from pytest_dockerbin.dockerignore import IgnoreRules
from pytest_dockerbin.fingerprint import (
    CannotFingerprintError,
    fingerprint_folder,
    fingerprint_inputs,
    inputs_digest,
)
from pytest_dockerbin.spec import BuildSpec, Linked

LARGE = 300 * 1024


@pytest.fixture
def context(tmp_path):
    folder = tmp_path / "context"
    (folder / "sub").mkdir(parents=True)
    (folder / "Dockerfile").write_text("FROM scratch\nCOPY . /\n")
    (folder / "file").write_text("file")
    (folder / "sub" / "below").write_text("below")
    (folder / "large").write_bytes(bytes(LARGE))
    (folder / "link").symlink_to("file")
    return folder


def digest(context, **settings):
    return fingerprint_inputs(
        BuildSpec(**{"context": context, "dockerfile": context / "Dockerfile", **settings})
    )


def why_not(context, **settings):
    spec = BuildSpec(**{"context": context, "dockerfile": context / "Dockerfile", **settings})
    assert inputs_digest(spec) is None
    with pytest.raises(CannotFingerprintError) as raised:
        fingerprint_inputs(spec)
    return str(raised.value)


# -- what counts ----------------------------------------------------------------------------------


def test_equal_files_have_an_equal_digest_wherever_they_lie(context, tmp_path):
    copy = tmp_path / "elsewhere" / "deeper"
    shutil.copytree(context, copy, symlinks=True, copy_function=shutil.copyfile)
    assert digest(copy) == digest(context)
    assert inputs_digest(BuildSpec(context=copy, dockerfile=copy / "Dockerfile")) == digest(copy)


def retarget(context):
    (context / "link").unlink()
    (context / "link").symlink_to("large")


def swap(context):
    (context / "link").unlink()
    (context / "link").write_text("file")


def flip_a_late_bit(context):
    with (context / "large").open("r+b") as file:
        file.seek(LARGE - 1)
        file.write(b"x")


CHANGES = {
    "content": lambda c: (c / "sub" / "below").write_text("BELOW"),
    "content of a large file": flip_a_late_bit,
    "length": lambda c: os.truncate(c / "large", LARGE - 1),
    "mode": lambda c: (c / "file").chmod(0o755),
    "setuid": lambda c: (c / "file").chmod(0o4644),
    "mode of a large file": lambda c: (c / "large").chmod(0o755),
    "mode of a folder": lambda c: (c / "sub").chmod(0o700),
    "new file": lambda c: (c / "new").touch(),
    "new folder": lambda c: (c / "new").mkdir(),
    "rename": lambda c: (c / "file").rename(c / "file2"),
    "move": lambda c: (c / "file").rename(c / "sub" / "file"),
    "removal": lambda c: (c / "large").unlink(),
    "link target": retarget,
    "file for a link": swap,
    "pipe": lambda c: os.mkfifo(c / "pipe"),
    "Dockerfile": lambda c: (c / "Dockerfile").write_text("FROM scratch\n"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_a_change_of_what_is_sent_changes_the_digest(change, context):
    before = digest(context)
    change(context)
    assert digest(context) != before


def test_times_and_hard_links_do_not_count(context):
    before = digest(context)
    os.utime(context / "file", (1, 1))
    os.utime(context / "sub", (1, 1))
    os.link(context / "large", context / "sub" / "large")
    (context / "large").unlink()
    (context / "sub" / "large").rename(context / "large")
    context.chmod(0o700)
    assert digest(context) == before


@pytest.mark.parametrize("name", ["__pycache__", "sub/__pycache__", ".pytest_cache"])
def test_what_each_session_writes_does_not_count(name, context):
    before = digest(context)
    (context / name).mkdir()
    (context / name / "written").touch()
    assert digest(context) == before


@pytest.mark.skipif(sys.platform != "linux", reason="os has extended attributes on Linux only")
def test_extended_attributes_count_but_for_the_system_s_own(context):
    seen = [digest(context)]
    for name, value in {"user.a": b"1", "user.b": b"", "user.c": b"2"}.items():
        os.setxattr(context / "file", name, value)
        seen.append(digest(context))
    os.setxattr(context / "sub", "user.a", b"1")
    seen.append(digest(context))
    assert len(set(seen)) == len(seen)


def test_a_socket_is_an_empty_file(context, monkeypatch):
    monkeypatch.chdir(context)  # a socket's whole path must be short
    with socket.socket(socket.AF_UNIX) as server:
        server.bind("new")
    mode = Path("new").stat().st_mode & 0o7777
    before = digest(context)
    Path("new").unlink()
    Path("new").touch()
    Path("new").chmod(mode)
    assert digest(context) == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root makes devices")
def test_devices_count_by_kind_and_number(context):
    seen = []
    for kind, minor in ((stat.S_IFCHR, 3), (stat.S_IFCHR, 5), (stat.S_IFBLK, 5)):
        os.mknod(context / "device", kind | 0o600, os.makedev(1, minor))
        seen.append(digest(context))
        (context / "device").unlink()
    assert len(set(seen)) == len(seen)


def test_a_file_system_without_extended_attributes_is_read_all_the_same(context, monkeypatch):
    def unsupported(_):
        raise OSError(errno.ENOTSUP, "not supported")

    before = digest(context)
    monkeypatch.setattr(os, "listxattr", unsupported, raising=False)
    assert digest(context) == before
    monkeypatch.setattr(fingerprint, "_HAS_ATTRIBUTES", False)
    assert digest(context) == before


def test_no_two_trees_read_alike(tmp_path):
    """What a file holds can't be taken for the record of another."""
    one, two = tmp_path / "one", tmp_path / "two"
    one.mkdir()
    two.mkdir()
    for folder in (one, two):
        (folder / "a").write_bytes(b"")
        (folder / "b").write_bytes(b"")
    (one / "a").write_bytes(fingerprint._record("f", 0o644, "b", b""))
    (one / "b").unlink()
    assert fingerprint_folder(one) != fingerprint_folder(two)


# -- .dockerignore --------------------------------------------------------------------------------


def test_what_is_excluded_does_not_count(context):
    (context / ".dockerignore").write_text("sub\nlarge\nDockerfile\n")
    before = digest(context)
    (context / "sub" / "below").write_text("other")
    (context / "sub" / "new").write_text("new")
    (context / "sub").chmod(0o700)
    (context / "large").unlink()
    assert digest(context) == before
    (context / "Dockerfile").write_text("FROM scratch\n")  # sent all the same, to be read
    assert digest(context) != before


def test_an_excluded_folder_is_sent_for_what_is_included_in_it(context):
    (context / ".dockerignore").write_text("sub\nempty\n!sub/deep/*.c\n")
    (context / "sub" / "deep").mkdir()
    (context / "empty").mkdir()
    without = digest(context)
    (context / "sub").chmod(0o700)
    (context / "empty").chmod(0o700)
    assert digest(context) == without
    (context / "sub" / "deep" / "main.c").touch()
    included = digest(context)
    assert included != without
    (context / "empty").chmod(0o755)
    (context / "sub" / "below").write_text("other")
    assert digest(context) == included
    (context / "sub").chmod(0o755)
    assert digest(context) != included


def test_the_file_beside_the_dockerfile_wins_even_if_it_is_empty(context, tmp_path):
    (context / ".dockerignore").write_text("file\n")
    dockerfile = tmp_path / "other.Dockerfile"
    dockerfile.write_text("FROM scratch\n")
    beside = tmp_path / "other.Dockerfile.dockerignore"

    def counts(name):
        before = digest(context, dockerfile=dockerfile)
        (context / name).write_text(before)
        return digest(context, dockerfile=dockerfile) != before

    assert not counts("file")
    beside.write_text("large\n")
    assert counts("file")
    assert not counts("large")
    beside.write_text("")
    assert counts("file")
    assert counts("large")


@pytest.mark.parametrize("text", ["[", "!", b"\xff"])
def test_patterns_that_buildkit_refuses_have_no_digest(text, context):
    (context / ".dockerignore").write_bytes(text if isinstance(text, bytes) else text.encode())
    assert ".dockerignore" in why_not(context)


@pytest.mark.parametrize(
    ("target", "applies"),
    [
        ("sub/patterns", True),
        ("./sub/../sub/patterns", True),
        ("via", True),
        ("../patterns", False),
        ("circle", False),
        ("nothing", False),
        ("sub", False),
    ],
)
def test_a_link_is_followed_as_far_as_the_context_goes(target, applies, context):
    (context / "sub" / "patterns").write_text("file")
    (context.parent / "patterns").write_text("file")
    (context / "via").symlink_to("sub/patterns")
    (context / "circle").symlink_to(".dockerignore")
    (context / ".dockerignore").symlink_to(target)
    before = digest(context)
    (context / "file").write_text("other")
    assert (digest(context) == before) is applies


def test_an_absolute_link_which_leads_elsewhere_in_buildkit_excludes_nothing(context):
    (context / "patterns").write_text("file")
    (context / ".dockerignore").symlink_to(context / "patterns")
    before = digest(context)
    (context / "file").write_text("other")
    assert digest(context) != before


# -- other contexts -------------------------------------------------------------------------------


def test_a_named_folder_counts_as_its_own_dockerignore_says(context, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    (context / ".dockerignore").write_text("a")
    (other / ".dockerignore").write_text("b")
    before = digest(context, build_contexts=(("other", str(other)),))
    (other / "b").touch()
    assert digest(context, build_contexts=(("other", str(other)),)) == before
    (other / "a").touch()
    after = digest(context, build_contexts=(("other", str(other)),))
    assert after != before
    assert digest(context, build_contexts=(("renamed", str(other)),)) != after
    shutil.rmtree(other)
    assert "can't be read" in why_not(context, build_contexts=(("other", str(other)),))


def test_an_oci_layout_counts_by_its_index(context, tmp_path):
    layout = tmp_path / "with:colon" / "layout"
    layout.mkdir(parents=True)
    (layout / "index.json").write_text("{}")

    def of(tag):
        return digest(context, build_contexts=(("base", f"oci-layout://{layout}{tag}"),))

    before = of(":v1")
    assert of(":v2") != before
    assert of("") != before
    assert of(f"@sha256:{'a' * 64}") != before
    (layout / "blob").write_text("the index names its digest")
    assert of(":v1") == before
    (layout / "index.json").write_text('{"manifests": []}')
    assert of(":v1") != before
    (layout / "index.json").unlink()
    assert "index.json" in why_not(context, build_contexts=(("base", f"oci-layout://{layout}:v1"),))


def test_an_image_counts_by_its_digest_and_without_one_can_change_unseen(context):
    pinned = f"docker-image://busybox@sha256:{'a' * 64}"
    assert digest(context, build_contexts=(("base", pinned),)) != digest(context)
    for where in ("docker-image://busybox:1", "https://example.com/x.git", "target://x"):
        assert where in why_not(context, build_contexts=(("base", where),))


# -- what can't be read ---------------------------------------------------------------------------


@contextmanager
def nobody():
    """Not root, to whom everything is readable."""
    if os.geteuid():
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@pytest.fixture
def open_context(context):
    """A context that everybody may enter, though pytest's own folders are closed."""
    descriptor = os.open(context, os.O_RDONLY)
    (context / "secret").write_text("secret")
    (context / "closed").mkdir()
    (context / "secret").chmod(0)
    (context / "closed").chmod(0)
    yield Path(f"/proc/self/fd/{descriptor}") if sys.platform == "linux" else context
    (context / "closed").chmod(0o700)
    os.close(descriptor)


@pytest.mark.parametrize("other", ["secret", "closed"])
def test_what_can_t_be_read_has_no_digest_unless_it_is_excluded(other, open_context):
    readable = "closed" if other == "secret" else "secret"
    with nobody():
        with pytest.raises(CannotFingerprintError, match=f"Permission denied.*{other}"):
            fingerprint_folder(open_context, IgnoreRules.parse(readable))
        fingerprint_folder(open_context, IgnoreRules.parse("secret\nclosed"))
        # an excluded folder that BuildKit looks into, and lets pass
        fingerprint_folder(open_context, IgnoreRules.parse("secret\nclosed\n!closed/x"))


def test_a_context_that_is_not_there_has_no_digest(context):
    assert "can't be read" in why_not(context / "nothing", dockerfile=context / "Dockerfile")


def test_a_dockerfile_outside_its_folder_has_no_digest(context, tmp_path):
    (tmp_path / "away").write_text("FROM scratch")
    (context / "Dockerfile").unlink()
    (context / "Dockerfile").symlink_to("../away")
    assert "Dockerfile" in why_not(context)


def test_each_dockerfile_inside_an_archive_is_another_build(context):
    archive = context.parent / "files.tar"
    archive.write_bytes(b"tar")
    names = ("Dockerfile", "Dockerfile.two")
    assert len({digest(archive, dockerfile=name) for name in names}) == len(names)


def test_an_archive_that_can_t_be_read_has_no_digest(context, monkeypatch):
    archive = context.parent / "files.tar"
    archive.write_bytes(b"tar")
    spec = BuildSpec(context=archive, dockerfile="Dockerfile")
    assert inputs_digest(spec) is not None
    archive.unlink()
    archive.symlink_to(archive)
    with pytest.raises(CannotFingerprintError, match=r"files.tar' can't be read: "):
        fingerprint_inputs(spec)


def test_a_link_is_followed_however_its_path_is_written(context):
    (context / "Dockerfile").rename(context / "real")
    (context / "here").symlink_to(".")
    (context / "Dockerfile").symlink_to("here/sub/../real")
    before = digest(context)
    (context / "real").write_text("FROM other\n")
    assert digest(context) != before
    assert digest(context, dockerfile=context / "real")


def test_a_file_that_shrinks_or_grows_while_it_is_read_has_no_digest(context, monkeypatch):
    real = os.fstat

    def wrong_size(descriptor):
        facts = list(real(descriptor))
        facts[6] += 1
        return os.stat_result(facts)

    monkeypatch.setattr(os, "fstat", wrong_size)
    assert "changed while it was read" in why_not(context)


def test_a_file_that_a_pipe_takes_the_place_of_has_no_digest_and_stops_nobody(context):
    os.mkfifo(context / "pipe")
    descriptor = os.open(context, os.O_RDONLY)
    try:
        with pytest.raises(CannotFingerprintError, match="changed"):
            fingerprint._file_record(descriptor, "pipe", "pipe", frozenset())
    finally:
        os.close(descriptor)


def test_a_folder_that_took_another_entry_s_place_has_no_digest(context):
    listed = SimpleNamespace(name="sub", is_file=lambda **_: False, is_symlink=lambda: False)
    walk = fingerprint._Walk(IgnoreRules.parse(""), frozenset(), frozenset())
    descriptor = os.open(context, os.O_RDONLY)
    try:
        with pytest.raises(CannotFingerprintError, match="'sub' is of a kind that can't be sent"):
            walk._send_entry(descriptor, listed, "sub")
    finally:
        os.close(descriptor)


def test_a_file_system_that_gives_little_at_once_is_read_to_the_end(context, monkeypatch):
    before = digest(context)
    real = os.read
    monkeypatch.setattr(os, "read", lambda descriptor, size: real(descriptor, min(size, 3)))
    assert digest(context) == before


def test_a_tree_too_deep_to_walk_has_no_digest(tmp_path):
    descriptor = os.open(tmp_path, os.O_RDONLY)
    for _ in range(fingerprint._DEEPEST + 2):
        os.mkdir("d", dir_fd=descriptor)
        below = os.open("d", os.O_RDONLY, dir_fd=descriptor)
        os.close(descriptor)
        descriptor = below
    os.close(descriptor)
    with pytest.raises(CannotFingerprintError, match="deep"):
        fingerprint_folder(tmp_path)
    subprocess.run(["rm", "-rf", tmp_path / "d"], check=True)


def test_no_descriptor_is_left_open(open_context):
    if not Path("/proc/self/fd").is_dir():
        pytest.skip("no /proc to see descriptors in")
    before = sorted(Path("/proc/self/fd").iterdir())
    with nobody():
        inputs_digest(BuildSpec(context=open_context, dockerfile=open_context / "Dockerfile"))
    fingerprint_folder(open_context)
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def test_a_dockerfile_that_can_t_be_read_has_no_digest(open_context):
    with nobody():
        assert "can't be read" in why_not(open_context, dockerfile=open_context / "secret")
        closed = open_context / "closed" / "Dockerfile"
        assert "can't be read" in why_not(open_context, dockerfile=closed)


# -- properties -----------------------------------------------------------------------------------

names = st.text(st.sampled_from("ab."), min_size=1, max_size=2).filter(
    lambda name: name not in (".", "..")
)
trees = st.recursive(
    st.binary(max_size=4), lambda below: st.dictionaries(names, below, max_size=3), max_leaves=8
).filter(lambda tree: isinstance(tree, dict))


def grow(folder, tree):
    folder.mkdir()
    for name, below in tree.items():
        if isinstance(below, dict):
            grow(folder / name, below)
        else:
            (folder / name).write_bytes(below)


@given(trees, trees)
def test_digests_are_equal_exactly_if_trees_are(tmp_path_factory, one, two):
    folder = tmp_path_factory.mktemp("trees")
    grow(folder / "one", one)
    grow(folder / "two", two)
    same = fingerprint_folder(folder / "one") == fingerprint_folder(folder / "two")
    assert same is (one == two)


def test_the_inputs_of_a_linked_target_count(context, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    other.joinpath("Dockerfile").write_text("FROM scratch\n")
    linked = BuildSpec(context=other, dockerfile=other / "Dockerfile")
    settings = {
        "build_contexts": (("base", "target:base"),),
        "linked": (Linked("base", linked),),
    }
    before = digest(context, **settings)
    other.joinpath("more").touch()
    assert digest(context, **settings) != before != digest(context)
