from __future__ import annotations

import json
import os
from pathlib import Path

import elf as make
import pytest

from pytest_dockerbin.artifact import Artifact
from pytest_dockerbin.errors import ArtifactError, RunError
from pytest_dockerbin.export import seal
from pytest_dockerbin.manifest import BuildRecord, FileRecord, Manifest
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.runners.host import HostRunner

AMD64 = Platform.parse("linux/amd64")
RECORD = BuildRecord(
    seconds=1.5, steps=4, cached_steps=1, log_path=Path("/logs/x.log"), ref="d/d/r"
)


class Tree:
    """A folder that is filled, sealed and used as an `Artifact`."""

    def __init__(self, path):
        self.path = path
        path.mkdir()

    def put(self, name, data=b"", mode=0o644):
        file = self.path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(data)
        file.chmod(mode)

    def program(self, name, size=0):
        self.put(name, make.elf() + bytes(size), 0o755)

    def link(self, name, target):
        (self.path / name).parent.mkdir(parents=True, exist_ok=True)
        (self.path / name).symlink_to(target)

    def artifact(self, default_binary=None, platform=AMD64):
        files = seal(self.path, platform, verify="platform")
        return Artifact(
            tree=self.path,
            manifest=Manifest(platform=platform, files=files, build=RECORD),
            runner=lambda *_: HostRunner(name="native", timeout=30, timeout_factor=1),
            default_binary=default_binary,
        )


@pytest.fixture
def tree(tmp_path):
    return Tree(tmp_path / "tree")


def test_an_artifact_is_the_path_of_its_folder(tree):
    tree.put("etc/config", b"x")
    artifact = tree.artifact()
    assert os.fspath(artifact) == str(artifact) == str(tree.path)
    assert (artifact / "etc/config").read_text() == "x"
    assert Path(artifact) / "etc" / "config" == artifact / "etc" / "config"


def test_a_path_begins_at_the_root_of_the_tree(tree):
    tree.put("etc/config", b"x")
    tree.put("a/b/c")
    tree.link("deep", "a/b")
    artifact = tree.artifact()
    assert artifact / "/etc/config" == artifact / "//etc/config" == artifact / Path("/etc/config")
    assert not (artifact / "/etc/passwd").exists()
    assert artifact / "/" == artifact / "" == tree.path
    assert artifact / "../tree/etc" == tree.path / "../tree/etc"
    assert (artifact / "deep/../../etc/config").read_text() == "x"


@pytest.mark.parametrize("name", ["..", "/../etc/passwd", "etc/../../x", "deep/../../../x"])
def test_a_path_that_leaves_the_tree_is_an_error(tree, name):
    tree.put("a/b/c")
    tree.link("deep", "a/b")
    with pytest.raises(ValueError, match="is outside of the exported tree") as caught:
        tree.artifact() / name
    assert str(caught.value) == f"{name!r} is outside of the exported tree"


def test_a_name_of_another_type_is_an_error_that_says_so(tree):
    tree.program("hello")
    with pytest.raises(TypeError, match=r"^name: expected a path inside the tree as text, not 5$"):
        tree.artifact().binary(5)


def test_an_artifact_says_what_it_is(tree):
    tree.program("hello")
    artifact = tree.artifact()
    assert artifact.platform == AMD64
    assert artifact.build == RECORD
    assert [file.name for file in artifact.files] == ["hello"]
    assert list(artifact.binaries) == ["hello"]
    assert artifact == tree.artifact()


def test_programs_are_listed_without_libraries_scripts_and_links(tree):
    tree.program("bin/hello")
    tree.put("bin/script", b"#!/bin/sh\n", 0o755)
    tree.put("lib/lib.so", make.elf(kind=make.ET_DYN), 0o755)
    tree.put("doc/hello", make.elf(), 0o644)
    tree.link("bin/hi", "hello")
    binaries = tree.artifact().binaries
    assert list(binaries) == ["bin/hello"]
    with pytest.raises(TypeError):
        binaries["x"] = binaries["bin/hello"]


def test_the_only_program_is_the_binary(tree):
    tree.put("README")
    tree.program("bin/hello", size=10)
    binary = tree.artifact().binary()
    assert binary.path == tree.path / "bin" / "hello"
    assert binary.platform == AMD64
    assert binary.size == len(make.elf()) + 10
    assert os.fspath(binary) == str(binary) == str(tree.path / "bin/hello")
    assert binary.command("-v", Path("x")) == [str(tree.path / "bin/hello"), "-v", "x"]


def test_the_binary_that_the_setting_names_is_the_default(tree):
    tree.program("one")
    tree.program("two")
    artifact = tree.artifact(default_binary="two")
    assert artifact.binary().path.name == "two"
    assert artifact.binary("one").path.name == "one"


def test_several_programs_are_an_error_that_lists_what_was_exported(tree):
    tree.program("a")
    tree.program("b")
    with pytest.raises(ArtifactError, match="does not hold exactly one executable") as caught:
        tree.artifact().binary()
    listing = ["  a (64 bytes, mode 755, program)", "  b (64 bytes, mode 755, program)"]
    assert caught.value.details.splitlines() == ["exported:", *listing]
    assert "dockerbin_binary" in caught.value.hint


def test_where_no_program_is_none_can_be_named(tree):
    """Only a script could be."""
    tree.put("README")
    tree.put("script", b"#!/bin/sh\n", 0o755)
    with pytest.raises(ArtifactError, match="holds no program") as caught:
        tree.artifact().binary()
    listing = ["  README (0 bytes, mode 644)", "  script (10 bytes, mode 755)"]
    assert caught.value.details.splitlines() == ["exported:", *listing]
    assert caught.value.hint.startswith("the last stage must hold one")


def test_a_name_that_was_not_exported_is_an_error_that_lists_what_was(tree):
    tree.program("hello")
    tree.link("hi", "hello")
    with pytest.raises(ArtifactError, match="has no executable 'bin/hello'") as caught:
        tree.artifact().binary("bin/hello")
    assert "  hi -> hello" in caught.value.details


@pytest.mark.parametrize("name", ["script", "/script"])
def test_a_script_can_be_named(tree, name):
    tree.put("script", b"#!/bin/sh\n", 0o755)
    tree.program("hello")
    assert tree.artifact().binary(name).path == tree.path / "script"


@pytest.mark.parametrize("name", ["README", "notes", "dir", "folder", "..", "."])
def test_what_can_t_be_executed_is_no_binary(tree, name):
    tree.program("hello")
    tree.put("README")
    tree.put("folder/x")
    tree.link("notes", "README")
    tree.link("dir", "folder")
    with pytest.raises(ArtifactError, match=f"has no executable '{name}'"):
        tree.artifact().binary(name)


@pytest.mark.parametrize("name", ["sh", "alias/sh", "again"])
def test_a_link_is_run_by_its_own_name_and_measured_by_what_it_leads_to(tree, name):
    """As busybox: what it is called decides what it does."""
    tree.program("bin/busybox", size=100)
    tree.link("bin/sh", "busybox")
    tree.link("sh", "bin/sh")
    tree.link("alias", "bin")
    tree.link("again", "alias/sh")
    artifact = tree.artifact()
    binary = artifact.binary(name)
    assert binary.path == tree.path / name
    assert binary.size == len(make.elf()) + 100
    assert binary.sha256 == artifact.binaries["bin/busybox"].sha256


def test_the_only_program_without_the_x_bit_is_named_among_scripts_and_links(tree):
    tree.put("tool", make.elf())
    tree.put("script", b"#!/bin/sh\n", 0o755)
    tree.link("notes", "script")
    with pytest.raises(ArtifactError, match="'tool'"):
        tree.artifact().binary()


def test_what_no_builder_returned_can_t_be_built_again(tree):
    tree.program("hello")
    with pytest.raises(ValueError, match="no builder returned"):
        tree.artifact().assert_reproducible()


# -- the digest -----------------------------------------------------------------------------------


def digest(tmp_path, name, fill):
    tree = Tree(tmp_path / name)
    tree.put("file", b"same")
    fill(tree)
    return tree.artifact().digest


def test_equal_trees_have_equal_digests(tmp_path):
    one, two = (digest(tmp_path, name, lambda tree: tree.program("x")) for name in "ab")
    assert one == two
    assert one.startswith("sha256:")
    assert len(one) == 71


def test_any_difference_changes_the_digest(tmp_path):
    digests = {
        digest(tmp_path, "0", lambda _: None),
        digest(tmp_path, "1", lambda tree: tree.put("other", b"same")),
        digest(tmp_path, "2", lambda tree: tree.put("other2", b"same")),
        digest(tmp_path, "3", lambda tree: tree.put("other", b"same", 0o755)),
        digest(tmp_path, "4", lambda tree: tree.put("other", b"more")),
        digest(tmp_path, "5", lambda tree: tree.link("other", "file")),
        digest(tmp_path, "6", lambda tree: tree.link("other", "./file")),
        digest(tmp_path, "7", lambda tree: tree.put("other", b"file", 0o755)),
    }
    assert len(digests) == 8


# -- beside the tree ------------------------------------------------------------------------------


def test_the_facts_of_an_export_are_kept_as_json(tree):
    tree.program("hello")
    tree.link("hi", "hello")
    manifest = tree.artifact().manifest
    assert Manifest.from_json(json.loads(json.dumps(manifest.to_json()))) == manifest
    without = Manifest(
        platform=AMD64,
        files=(),
        build=BuildRecord(seconds=0.0, steps=0, cached_steps=0, log_path=None, ref=None),
    )
    assert Manifest.from_json(json.loads(json.dumps(without.to_json()))) == without


def test_what_is_no_manifest_is_an_error():
    with pytest.raises(KeyError):
        Manifest.from_json({})
    with pytest.raises(TypeError):
        FileRecord(name="x", colour="red")


def test_an_export_is_copied_whole(tree, tmp_path):
    tree.program("bin/hello")
    tree.link("hi", "bin/hello")
    copy = tree.artifact().export(tmp_path / "copy")
    assert copy == tmp_path / "copy"
    assert (copy / "hi").readlink() == Path("bin/hello")
    assert (copy / "bin/hello").stat().st_mode & 0o777 == 0o755
    with pytest.raises(FileExistsError):
        tree.artifact().export(copy)


# -- running --------------------------------------------------------------------------------------

PRINT = b'#!/bin/sh\nfor name in "$@"; do eval "echo \\"$name=\\${$name-unset}\\""; done\n'


@pytest.fixture
def script(tree):
    tree.put("script", PRINT, 0o755)
    return tree.artifact(default_binary="script").binary()


def test_a_program_is_run_with_its_arguments(script):
    result = script.run("HOME")
    assert (result.returncode, result.stdout) == (0, "HOME=unset\n")
    assert result.args == (str(script), "HOME")


def test_the_environment_is_closed(script, monkeypatch):
    for name in ("QEMU_LD_PREFIX", "LD_LIBRARY_PATH", "SECRET", "LANG", "TZ", "TERM"):
        monkeypatch.setenv(name, "/mine")
    names = ("QEMU_LD_PREFIX", "LD_LIBRARY_PATH", "SECRET", "LANG", "TZ", "TERM")
    assert script.run(*names).stdout.splitlines() == [
        "QEMU_LD_PREFIX=unset",
        "LD_LIBRARY_PATH=unset",
        "SECRET=unset",
        "LANG=C.UTF-8",
        "TZ=UTC",
        "TERM=dumb",
    ]


def test_variables_are_handed_down_when_asked_for(script, monkeypatch):
    monkeypatch.setenv("HTTP_PROXY", "p")
    monkeypatch.setenv("TZ", "CET")
    monkeypatch.delenv("NOT_SET", raising=False)
    result = script.run(
        "HTTP_PROXY", "TZ", "A", "NOT_SET",
        pass_env=("HTTP_PROXY", "TZ", "NOT_SET"), env={"A": "1", "TZ": "JST"},
    )  # fmt: skip
    assert result.stdout == "HTTP_PROXY=p\nTZ=JST\nA=1\nNOT_SET=unset\n"


def test_a_failure_is_an_error_only_when_checked(tree):
    tree.put("fails", b"#!/bin/sh\nexit 3\n", 0o755)
    binary = tree.artifact().binary("fails")
    assert binary.run().returncode == 3
    with pytest.raises(RunError, match=r"^fails for linux/amd64 ended with exit code 3 \(native\)"):
        binary.run(check=True)


def test_a_program_without_the_x_bit_is_told(tree):
    tree.put("bin/hello", make.elf())
    tree.put("README", b"text")
    for name in (None, "bin/hello"):
        with pytest.raises(ArtifactError) as caught:
            tree.artifact().binary(name)
        assert caught.value.summary == (
            "the export for linux/amd64 has a program that is not executable: "
            "'bin/hello' has mode 644"
        )
        assert caught.value.hint == "COPY --chmod=755, or RUN chmod +x bin/hello"
        assert "README (4 bytes, mode 644)" in caught.value.details
    with pytest.raises(ArtifactError, match="has no executable 'README'"):
        tree.artifact().binary("README")
