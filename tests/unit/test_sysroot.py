"""Which files of a stage make a sysroot: asked for until no library is missing."""

from __future__ import annotations

import json
import re
from fnmatch import fnmatchcase
from pathlib import PurePosixPath

import pytest
from linked import Linked

from pytest_dockerbin import sysroot as sysroot_module
from pytest_dockerbin.artifact import Artifact
from pytest_dockerbin.errors import ArtifactError, EmptyExportError, SettingsError
from pytest_dockerbin.manifest import BuildRecord, FileRecord, Manifest
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.spec import BuildSpec
from pytest_dockerbin.sysroot import STAGE, Libraries, export_sysroot, find_stage

AMD64 = Platform.parse("linux/amd64")
ARM64 = Platform.parse("linux/arm64")
LOADER = "/lib64/ld-linux-x86-64.so.2"
RUNPATH = 29


def library(*needed, **given):
    return bytes(Linked(interpreter=None, needed=needed, **given))


@pytest.fixture
def program(tmp_path):
    def write(*needed, interpreter=LOADER, **given):
        path = tmp_path / "program"
        path.write_bytes(bytes(Linked(interpreter=interpreter, needed=needed, **given)))
        return path

    return write


class Stage:
    """A stage with files, and a BuildKit that knows nothing but COPY."""

    def __init__(self, folder, **files):
        self.folder, self.files, self.builds = folder, files, []

    def __call__(self, spec):
        self.builds.append(spec)
        tree = self.folder / f"tree-{len(self.builds)}"
        copied = {}
        for line in re.findall(r"^COPY --from=runtime (.*)$", spec.appended, re.MULTILINE):
            *sources, dest = json.loads(line)
            for source in sources:
                for name, content in self.files.items():
                    if matches(name, source):
                        copied[dest.strip("/") + "/" + PurePosixPath(name).name] = content
        if not copied:
            raise EmptyExportError.of_build("linux/amd64")
        for name, content in copied.items():
            (tree / name).parent.mkdir(parents=True, exist_ok=True)
            (tree / name).write_bytes(content)
        files = tuple(FileRecord(name=n, size=1, sha256="", mode=0o755) for n in sorted(copied))
        build = BuildRecord(seconds=1, steps=1, cached_steps=0, log_path=None, ref=None)
        manifest = Manifest(platform=AMD64, files=files, build=build)
        return Artifact(tree=tree, manifest=manifest, runner=lambda *_: None)


def matches(name, pattern):
    parts, wanted = name.split("/"), pattern.split("/")
    return len(parts) == len(wanted) and all(map(fnmatchcase, parts, wanted))


@pytest.fixture
def spec(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM debian AS runtime\nFROM scratch\n")
    return BuildSpec(
        context=tmp_path, dockerfile=tmp_path / "Dockerfile", sysroot_target="runtime", binary="x"
    )


def copied(sysroot):
    return {str(p.relative_to(sysroot.folder)) for p in sysroot.folder.rglob("*") if p.is_file()}


def test_libraries_of_libraries_are_asked_for_until_none_is_missing(tmp_path, program, spec):
    stage = Stage(
        tmp_path,
        **{
            LOADER: library(),
            "/usr/lib/x86_64-linux-gnu/libone.so.1": library("libtwo.so.2", "libc.so.6"),
            "/usr/lib/x86_64-linux-gnu/libtwo.so.2": library("libthree.so"),
            "/usr/local/lib/libthree.so": library(),
            "/lib/x86_64-linux-gnu/libc.so.6": library(),
            "/usr/lib/x86_64-linux-gnu/libnot.so.1": library(),
            "/etc/passwd": b"",
        },
    )
    sysroot = export_sysroot(stage, spec, program("libone.so.1"), AMD64, tree=tmp_path / "program")
    names = ("ld-linux-x86-64.so.2", "libone.so.1", "libtwo.so.2", "libthree.so", "libc.so.6")
    assert copied(sysroot) == {f"{folder}/{name}" for folder in ("lib", "lib64") for name in names}
    assert sysroot.loader == LOADER.lstrip("/")
    assert len(stage.builds) == 3
    assert {build.target for build in stage.builds} == {STAGE}
    assert {build.sysroot_target for build in stage.builds} == {None}


def test_a_local_library_wins_over_the_system_s(tmp_path, program, spec):
    stage = Stage(
        tmp_path,
        **{
            LOADER: library(),
            "/usr/lib/libx.so.1": library("libold.so"),
            "/usr/local/lib/libx.so.1": library("libnew.so"),
            "/usr/lib/libnew.so": library(),
        },
    )
    sysroot = export_sysroot(stage, spec, program("libx.so.1"), AMD64, tree=tmp_path / "program")
    assert b"libnew.so" in (sysroot.folder / "lib64" / "libx.so.1").read_bytes()


def test_the_program_s_own_folders_are_kept(tmp_path, program, spec):
    stage = Stage(tmp_path, **{LOADER: library(), "/opt/app/lib/libapp.so": library()})
    path = program("libapp.so", texts=((RUNPATH, "/opt/app/lib:$ORIGIN/../lib:relative"),))
    assert "opt/app/lib/libapp.so" in copied(
        export_sysroot(stage, spec, path, AMD64, tree=tmp_path / "program")
    )


def test_a_linker_script_with_a_library_s_name_does_no_harm(tmp_path, program, spec):
    stage = Stage(tmp_path, **{LOADER: library(), "/usr/lib/libc.so": b"GROUP ( /lib/libc.so.6 )"})
    assert "lib/libc.so" in copied(
        export_sysroot(stage, spec, program("libc.so"), AMD64, tree=tmp_path / "program")
    )


@pytest.mark.parametrize("files", [{}, {"/usr/lib/libc.so.6": library()}], ids=["none", "other"])
def test_a_stage_without_the_loader_is_named(tmp_path, program, spec, files):
    with pytest.raises(ArtifactError, match="stage 'runtime' has no /lib64/ld-linux"):
        export_sysroot(
            Stage(tmp_path, **files), spec, program("libc.so.6"), AMD64, tree=tmp_path / "program"
        )


def test_a_library_that_the_stage_lacks_is_named(tmp_path, program, spec):
    stage = Stage(tmp_path, **{LOADER: library(), "/lib/libone.so": library("libtwo.so.2")})
    needs = program("libone.so", "libapp.so")
    with pytest.raises(ArtifactError, match=r"'runtime' has no libapp.so, libtwo.so.2, which"):
        export_sysroot(stage, spec, needs, AMD64, tree=tmp_path / "none")
    exported = tmp_path / "exported" / "lib"
    exported.mkdir(parents=True)
    (exported / "libapp.so").touch()
    with pytest.raises(ArtifactError, match=r"'runtime' has no libtwo.so.2, which"):
        export_sysroot(stage, spec, needs, AMD64, tree=exported.parent)


def test_musl_s_loader_is_its_libraries(tmp_path, program, spec):
    loader = "/lib/ld-musl-x86_64.so.1"
    stage = Stage(tmp_path, **{loader: library()})
    needs = program("libc.musl-x86_64.so.1", "libm.so.6", interpreter=loader)
    assert export_sysroot(stage, spec, needs, AMD64, tree=tmp_path / "none")


def test_a_program_without_a_loader_needs_nothing(tmp_path, program, spec):
    stage = Stage(tmp_path)
    assert (
        export_sysroot(stage, spec, program(interpreter=None), AMD64, tree=tmp_path / "program")
        is None
    )
    assert stage.builds == []


HOSTILE = ["lib*.so", "lib[a].so", "a/b.so", "..", "", "$HOME.so", 'x"]\nRUN evil', "a b"]


@pytest.mark.parametrize("name", HOSTILE)
def test_what_a_program_says_becomes_no_instruction(program, name):
    libraries = Libraries.of(program(name, "libgood.so", texts=((RUNPATH, f"/{name}"),)), AMD64)
    assert libraries.names == ("libgood.so",)
    text = libraries.instructions("runtime", AMD64)
    assert re.fullmatch(
        r'FROM scratch AS \S+\n(COPY --from=runtime \[("[^"\\$*]+"(, )?)+\]\n)+', text
    )


@pytest.mark.parametrize("loader", ["/lib/$X.so", "lib/ld.so", "/lib/../ld.so", '/a"]\nRUN x'])
def test_a_loader_with_a_strange_name_is_not_looked_for(program, loader):
    assert Libraries.of(program(interpreter=loader), AMD64) is None


def test_every_part_of_a_source_is_a_pattern_since_a_missing_folder_is_an_error():
    text = Libraries(interpreter="/lib/ld-linux-aarch64.so.1").instructions("0", ARM64)
    sources = [json.loads(line) for line in re.findall(r"\[.*\]", text)]
    assert sources
    for *paths, dest in sources:
        assert dest == "/lib/"
        assert all(re.search(r"\[\w\]", part) for path in paths for part in path.split("/")[1:])


@pytest.mark.parametrize("stage", ["runtime", "RUNTIME", "build", "0", "1"])
def test_a_stage_is_found_by_name_and_number(stage):
    find_stage(
        "# FROM x AS comment\nfrom --platform=$BUILDPLATFORM a as Build\n\tFROM b AS runtime\n",
        stage,
    )


@pytest.mark.parametrize("stage", ["comment", "2", "debian"])
def test_a_stage_that_is_not_there_is_named(stage):
    dockerfile = "# FROM x AS comment\nFROM debian AS build\nFROM scratch\n"
    with pytest.raises(SettingsError, match=f"sysroot_target: unknown stage '{stage}'"):
        find_stage(dockerfile, stage)


@pytest.mark.parametrize(
    ("dockerfile", "known"),
    [("FROM debian\nFROM scratch\n", "0, 1"), ("# FROM debian\n", "none")],
)
def test_stages_without_names_are_known_by_their_numbers(dockerfile, known):
    with pytest.raises(SettingsError) as caught:
        find_stage(dockerfile, "nope")
    assert str(caught.value) == f"sysroot_target: unknown stage 'nope'; known: {known}"


def test_a_chain_of_libraries_is_followed_so_far_and_no_further(
    tmp_path, program, spec, monkeypatch
):
    monkeypatch.setattr(sysroot_module, "_MOST_ROUNDS", 2)
    files = {f"/lib/lib{n}.so": library(f"lib{n + 1}.so") for n in range(5)}
    stage = Stage(tmp_path, **{LOADER: library(), **files})
    with pytest.raises(ArtifactError, match=r"'runtime' has no lib2.so, which"):
        export_sysroot(stage, spec, program("lib0.so"), AMD64, tree=tmp_path / "program")
    assert len(stage.builds) == 2
