from __future__ import annotations

import hashlib
import json
import subprocess
import tempfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dockerbin.build_settings import NamedPath
from pytest_dockerbin.manifest import FileRecord
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.shipment import (
    BakedAs,
    BuildName,
    Index,
    Shipped,
    platform_of,
    read_sums,
    write_sums,
)
from pytest_dockerbin.spec import Baked, BuildSpec

DIGEST = hashlib.sha256(b"text").hexdigest()
AWKWARD = ("plain", "two words", "back\\slash", "new\nline", "re\rturn", "all\\n\n\r", " *x", "ä")


# -- SHA256SUMS -----------------------------------------------------------------------------------


def test_sums_are_those_that_sha256sum_writes_and_checks(tmp_path):
    for name in AWKWARD:
        (tmp_path / name).write_bytes(b"text")
    text = write_sums(dict.fromkeys(AWKWARD, DIGEST))
    real = subprocess.run(
        ["sha256sum", *sorted(AWKWARD)], cwd=tmp_path, capture_output=True, check=True
    )
    if b"\\r" in real.stdout:  # before coreutils 9.0 it did not escape this sign
        assert text.encode() == real.stdout
    (tmp_path / "SHA256SUMS").write_bytes(text.encode())
    checked = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    subprocess.run(checked, cwd=tmp_path, check=True)


@given(st.sets(st.text(min_size=1).filter(lambda name: not name.startswith("./"))))
def test_sums_are_read_as_they_were_written(names):
    sums = dict.fromkeys(names, DIGEST)
    assert read_sums(write_sums(sums)) == sums


def test_sums_of_other_tools_are_read_too():
    text = f"{DIGEST.upper()} *./a/b\r\n\n{DIGEST}  c\n"
    assert read_sums(text) == {"a/b": DIGEST, "c": DIGEST}


@pytest.mark.parametrize("line", ["nonsense", DIGEST, f"{DIGEST} x", f"{DIGEST[1:]}  x"])
def test_a_line_that_is_no_sum_is_named(line):
    with pytest.raises(ValueError, match="line 2 is no checksum and name"):
        read_sums(f"{DIGEST}  good\n{line}\n")


# -- names of builds ------------------------------------------------------------------------------


def build_name(project=Path("/project"), **settings):
    context = settings.pop("context", project)
    dockerfile = settings.pop("dockerfile", context / "Dockerfile")
    return BuildName.of(BuildSpec(context=context, dockerfile=dockerfile, **settings), project)


def named(*args, **settings):
    return str(build_name(*args, **settings))


def test_a_build_s_name_is_the_same_wherever_the_project_lies():
    for project in (Path("/project"), Path("/home/me/checkout-2")):
        assert named(project) == "default"
        assert named(project, target="bin") == "bin"
        assert named(project, context=project / "cmd/server") == "cmd-server"
        assert named(project, dockerfile=project / "docker/b.Dockerfile") == "docker-b.Dockerfile"


def test_a_named_context_is_the_same_one_too():
    one, other = Path("/project"), Path("/home/me/checkout-2")
    names = {named(at, build_contexts=(("lib", str(at / "lib")),)) for at in (one, other)}
    assert len(names) == 1
    assert named(one, build_contexts=(("lib", str(one / "other")),)) not in names


def test_a_temporary_context_has_no_part_in_the_name():
    """It is another one each time."""
    temporary = Path(tempfile.gettempdir())
    one, other = (build_name(context=temporary / name, target="bin") for name in ("a", "b/c"))
    assert one == other == build_name(target="bin")
    beside = build_name(temporary / "checkout", context=temporary / "a", target="bin")
    assert beside == one


def test_a_context_outside_the_project_is_known_by_its_folder():
    for project in (Path("/home/me/project"), Path(tempfile.gettempdir(), "me/checkout-2/project")):
        one, other = (build_name(project, context=project.parent / at) for at in ("o1", "x/o2"))
        assert (str(one), str(other)) == ("o1", "o2")
        assert (one.words, other.words) == ("o1", "o2")


def test_builds_of_one_name_are_told_apart_by_what_it_stands_for():
    at = Path("/project")
    builds = [
        build_name(context=at / "server", target="bin"),
        build_name(context=at / "server-bin"),
        build_name(context=at / "server/bin"),
        build_name(target="server-bin"),
        build_name(baked=Baked((at / "docker-bake.hcl",), "server-bin")),
        build_name(baked=Baked((at / "server/docker-bake.hcl",), "bin")),
    ]
    assert {str(build) for build in builds} == {"server-bin"}
    assert [build.words for build in builds] == [
        "server --target bin",
        "server-bin",
        "server/bin",
        ". --target server-bin",
        "docker-bake.hcl server-bin",
        "server/docker-bake.hcl bin",
    ]
    files = [Baked((at / name,), "app") for name in ("a.hcl", "b.hcl")]
    assert len({build_name(baked=baked) for baked in files}) == 2


def test_a_bake_target_has_its_own_name():
    """Where its Dockerfile and stage are may be the same for several."""
    at = Path("/project")
    baked = Baked((at / "docker-bake.hcl",), "app-1")
    assert named(baked=baked, target="bin", dockerfile=at / "x.Dockerfile") == "app-1"
    baked = Baked((at / "docker/bake.json", at / "more.json"), "app-1")
    assert named(baked=baked) == "docker-app-1"


def test_a_bake_target_s_inputs_are_what_was_said_beside_its_file():
    """What the file says is not known where bake can't be asked."""
    at = Path("/project")

    def name(*beside, project=at, **settings):
        baked = Baked((project / "docker-bake.hcl",), "app", beside)
        return named(project, baked=baked, **settings)

    one = name(("build_args", (("A", "1"),)))
    assert name(build_args=(("FROM_THE_FILE", "1"),)) == "app"
    assert one.startswith("app-")
    assert one not in (name(("build_args", (("A", "2"),))), name(("network", "none")), "app")
    there = at / "b.Dockerfile"
    for said in (
        lambda at: ("build_contexts", (("lib", str(at / "lib")),)),
        lambda at: ("dockerfile", NamedPath("b.Dockerfile", at / "b.Dockerfile")),
    ):
        other = Path("/home/me/checkout-2")
        assert name(said(at)) == name(said(other), project=other) != "app"
    assert name(("dockerfile", NamedPath("b.Dockerfile", there))) != name(
        ("dockerfile", "FROM a\n")
    )


def test_what_decides_the_files_is_in_the_name_and_all_else_is_not():
    plain = named(target="bin")
    assert named(target="bin", no_cache=True, pull=True, builder="b", binary="x") == plain
    assert named(target="bin", verify=False, sysroot_target="base") == plain
    others = [
        named(target="bin", build_args=(("A", "1"),)),
        named(target="bin", build_args=(("A", "2"),)),
        named(target="bin", network="none"),
        named(target="bin", build_contexts=(("a", "/project/a"),)),
    ]
    assert len({plain, *others}) == 5
    assert all(other.startswith("bin-") for other in others)
    assert named(target="bin", exporter="oci") == "bin-oci"
    assert build_name(exporter="tar") == BuildName("default-tar", "", ". --output type=tar")


# -- dockerbin.json -------------------------------------------------------------------------------


def part(folder="linux_amd64", **changes):
    files = (
        FileRecord(name="bin/hello", size=4, sha256=DIGEST, mode=0o755),
        FileRecord(name="bin/hi", size=0, sha256=DIGEST, mode=0o777, link="hello"),
    )
    given = {
        "build": BuildName("bin", "", ". --target bin"),
        "label": "project/ --target bin",
        "target": "bin",
        "platform": Platform.parse("linux/amd64"),
        "folder": folder,
        "passed": 3,
        "skipped": 1,
        "files": files,
    }
    return Shipped(**(given | changes))


def test_the_index_is_read_as_it_was_written():
    arm = Platform.parse("linux/arm/v7")
    baked = BakedAs("docker/bake.hcl", "app", ("all", "app"))
    index = Index((part(), part("server/linux_arm_v7", platform=arm, target=None, bake=baked)))
    assert Index.read(index.write()) == index


def test_the_index_is_what_the_documentation_says():
    data = json.loads(Index((part(),)).write())
    assert data == {
        "schema": 1,
        "platforms": [
            {
                "platform": "linux/amd64",
                "folder": "linux_amd64",
                "build": {
                    "name": "bin",
                    "inputs": "",
                    "words": ". --target bin",
                    "label": "project/ --target bin",
                    "target": "bin",
                    "bake": None,
                },
                "tests": {"passed": 3, "skipped": 1},
            }
        ],
        "files": [
            {
                "name": "linux_amd64/bin/hello",
                "platform": "linux/amd64",
                "size": 4,
                "sha256": DIGEST,
                "mode": "0755",
                "link": None,
            },
            {
                "name": "linux_amd64/bin/hi",
                "platform": "linux/amd64",
                "size": 0,
                "sha256": DIGEST,
                "mode": "0777",
                "link": "hello",
            },
        ],
    }


def test_links_have_no_sum():
    """``sha256sum`` would follow them."""
    assert Index((part(),)).sums() == {"linux_amd64/bin/hello": DIGEST}


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "7",
        '{"schema": 2}',
        '{"schema": 1, "platforms": [7], "files": []}',
        "[" * 9999,
    ],
)
def test_another_json_file_is_no_index(text):
    with pytest.raises(ValueError, match=r"what --dockerbin-output writes|schema 2"):
        Index.read(text)


@pytest.mark.parametrize("folder", ["/etc", "../other", "a/../../b", "", "."])
def test_an_index_that_leads_out_of_its_folder_is_none(folder):
    data = json.loads(Index((part(),)).write())
    data["platforms"][0]["folder"] = folder
    with pytest.raises(ValueError, match="is outside"):
        Index.read(json.dumps(data))


@pytest.mark.parametrize("name", ["\x1b[31mred", "a b", "", 7])
def test_a_bake_target_s_name_can_be_an_id_of_a_test(name):
    baked = BakedAs("docker-bake.hcl", "app", ("app",))
    data = json.loads(Index((part(bake=baked),)).write())
    data["platforms"][0]["build"]["bake"]["asked"] = [name]
    with pytest.raises(ValueError, match=r"name is none|not what --dockerbin-output writes"):
        Index.read(json.dumps(data))


@pytest.mark.parametrize("text", ["linux/amd64", "linux/arm/v7", "windows/amd64", "linux/amd64/v3"])
def test_a_platform_is_known_by_its_folder(text):
    platform = Platform.parse(text)
    assert platform_of(platform.slug) == platform


@pytest.mark.parametrize("name", ["bin", "linux", "amd64", "linux_x86_64", "Linux_amd64", ".git"])
def test_other_folders_are_of_no_platform(name):
    assert platform_of(name) is None


def test_an_index_of_an_unknown_platform_is_told_in_one_line():
    text = Index((part(),)).write().replace('"linux/amd64"', '"linux/no such"')
    with pytest.raises(ValueError, match=r"platform .*'linux/no such'"):
        Index.read(text)
