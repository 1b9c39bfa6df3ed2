"""Targets as ``docker buildx bake --print`` tells them, and the builds that they are."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_dockerbin.bake_target import PROBE, BakeTargets
from pytest_dockerbin.errors import SettingsError
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.spec import Linked


@pytest.fixture
def folder(tmp_path):
    """The bake file's folder, with a Dockerfile and further folders."""
    tmp_path.joinpath("Dockerfile").write_text("FROM scratch\n")
    for name in ("app", "shared"):
        tmp_path.joinpath(name).mkdir()
        tmp_path.joinpath(name, "Dockerfile").write_text("FROM scratch\n")
    return tmp_path


def targets(folder, group=("app",), **definitions):
    printed = {
        "group": {"default": {"targets": list(group)}},
        "target": {"app": {}, **definitions},
    }
    return BakeTargets.of((folder / "docker-bake.hcl",), printed)


def spec(folder, beside=(), **body):
    return targets(folder, app=body).spec("app", dict(beside))


@pytest.mark.parametrize(
    ("key", "value", "setting", "expected"),
    [
        ("args", {"B": "2", "A": "1 $x", "N": None}, "build_args", (("A", "1 $x"), ("B", "2"))),
        ("labels", {"a": "b"}, "labels", (("a", "b"),)),
        ("target", "bin", "target", "bin"),
        ("network", "none", "network", "none"),
        ("no-cache", True, "no_cache", True),
        ("no-cache-filter", ["bin"], "no_cache_filter", ("bin",)),
        ("pull", True, "pull", True),
        ("pull", False, "pull", False),
        ("shm-size", "128MiB", "shm_size", "128MiB"),
        ("ulimits", ["nofile=1:2", "nproc=5"], "ulimits", (("nofile", "1:2"), ("nproc", "5"))),
        ("extra-hosts", {"a": "1.2.3.4,::1"}, "add_hosts", (("a", "1.2.3.4"), ("a", "::1"))),
        ("secret", ["id=a,env=A"], "secrets", (("a", "env:A"),)),
        ("secret", ["type=env,id=a,src=A"], "secrets", (("a", "env:A"),)),
        ("secret", [{"id": "a", "env": "A"}], "secrets", (("a", "env:A"),)),
        ("secret", [{"id": "SET"}], "secrets", (("SET", "env:SET"),)),
        ("ssh", ["default"], "ssh", (("default", ""),)),
        ("ssh", [{"id": "default"}], "ssh", (("default", ""),)),
        ("cache-from", ["user/app"], "cache_from", ((("ref", "user/app"), ("type", "registry")),)),
        ("cache-from", [{"type": "gha", "token": "t"}], "cache_from", ((("type", "gha"),),)),
        ("attest", ["type=sbom"], "attests", (("sbom", ()),)),
        ("attest", [{"type": "sbom", "disabled": "true"}], "attests", ()),
        (
            "attest",
            [{"type": "provenance", "mode": "max"}],
            "attests",
            (("provenance", (("mode", "max"),)),),
        ),
        (
            "contexts",
            {"i": "docker-image://alpine", "u": "https://host/a.git"},
            "build_contexts",
            (("i", "docker-image://alpine"), ("u", "https://host/a.git")),
        ),
    ],
)
def test_a_key_is_the_build_setting_of_its_meaning(
    folder, monkeypatch, key, value, setting, expected
):
    monkeypatch.setenv("SET", "x")
    assert getattr(spec(folder, **{key: value}), setting) == expected


@pytest.mark.parametrize(
    ("key", "value", "setting", "expected"),
    [
        ("context", "app", "context", "{}/app"),
        ("context", "cwd://app", "context", "{}/app"),
        ("contexts", {"x": "shared"}, "build_contexts", (("x", "{}/shared"),)),
        ("contexts", {"x": "cwd://shared"}, "build_contexts", (("x", "{}/shared"),)),
        ("secret", ["type=file,id=a,src=./x"], "secrets", (("a", "file:{}/x"),)),
        ("secret", [{"id": "unset"}], "secrets", (("unset", "file:{}/unset"),)),
        ("ssh", ["k=key"], "ssh", (("k", "{}/key"),)),
        ("ssh", [{"id": "k", "paths": ["key"]}], "ssh", (("k", "{}/key"),)),
        (
            "cache-from",
            ["type=local,src=c"],
            "cache_from",
            ((("src", "{}/c"), ("type", "local")),),
        ),
        (
            "cache-to",
            [{"type": "local", "dest": "c"}],
            "cache_to",
            ((("dest", "{}/c"), ("type", "local")),),
        ),
    ],
)
def test_paths_are_relative_to_the_bake_file(folder, key, value, setting, expected):
    def at(value):
        if isinstance(value, tuple):
            return tuple(map(at, value))
        return value.replace("{}", str(folder))

    found = getattr(spec(folder, **{key: value}), setting)
    assert (str(found) if isinstance(found, Path) else found) == at(expected)


def test_a_target_that_says_nothing_is_the_folder_of_its_file(folder):
    built = spec(folder)
    assert (built.context, built.dockerfile) == (folder, folder / "Dockerfile")
    assert built.label() == "docker-bake.hcl app"


@pytest.mark.parametrize(
    ("context", "dockerfile", "expected"),
    [
        ("app", "Dockerfile", "app/Dockerfile"),
        ("app", "../shared/Dockerfile", "shared/Dockerfile"),
        ("app", "cwd://Dockerfile", "Dockerfile"),
    ],
)
def test_a_dockerfile_is_relative_to_the_context(folder, context, dockerfile, expected):
    built = spec(folder, context=context, dockerfile=dockerfile)
    assert built.dockerfile == folder / expected


def test_a_dockerfile_of_a_context_that_is_far_away_is_in_it(folder):
    built = spec(folder, context="https://host/a.git", dockerfile="sub/Dockerfile")
    assert built.dockerfile == "sub/Dockerfile"


def test_another_context_beside_has_its_dockerfile_in_it(folder):
    built = spec(folder, {"context": folder / "app"}, dockerfile="Dockerfile")
    assert built.dockerfile == folder / "app" / "Dockerfile"


def test_a_dockerfile_s_text_wins_and_is_left_as_it_is(folder):
    text = "FROM scratch\n  COPY a /"
    built = spec(folder, **{"dockerfile": "Dockerfile", "dockerfile-inline": text})
    assert built.dockerfile_text == f"{text}\n"


def test_what_is_said_beside_is_above_the_file_s(folder):
    beside = {"build_args": (("B", "beside"), ("C", "c")), "pull": True, "binary": "x"}
    built = spec(folder, beside, args={"A": "a", "B": "b"}, pull=False, network="none")
    assert built.build_args == (("A", "a"), ("B", "beside"), ("C", "c"))
    assert (built.pull, built.network, built.binary) == (True, "none", "x")


@pytest.mark.parametrize("escaped", [True, False])
def test_what_newer_versions_escape_when_they_print_is_as_it_was(folder, escaped):
    """buildx 0.13 prints values as they are."""
    body = {
        "args": {"A": "$${a} $$b %%{c}"},
        "dockerfile-inline": "FROM x\nRUN $${a}",
        "labels": {PROBE: "$${" if escaped else "${"},
    }
    built = spec(folder, **body)
    assert built.build_args == (("A", "${a} $$b %{c}" if escaped else "$${a} $$b %%{c}"),)
    assert built.dockerfile_text == f"FROM x\nRUN {'${a}' if escaped else '$${a}'}\n"
    assert built.labels == ()


@pytest.mark.parametrize(
    "ours",
    [
        {"output": ["type=tar,dest=x"]},
        {"tags": ["a:b"]},
        {"call": "check"},
        {"description": "what it is"},
        {"annotations": ["a=b"]},
        {"platforms": ["linux/arm64"]},
    ],
)
def test_what_changes_no_exported_file_is_passed_over(folder, ours):
    assert spec(folder, **ours) == spec(folder)


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"entitlements": ["security.insecure"]}, "entitlements: no build gets privileges"),
        ({"entitlements": ["network.host"]}, "entitlements: no build gets privileges"),
        ({"policy": ["x"]}, "the key 'policy' could change what is built, and is not supported"),
        ({"ssh": ["a=b,c"]}, "ssh: 'a' has several keys"),
        ({"secret": ["env=A"]}, "secret: one has no id"),
        ({"contexts": {"x": "nowhere"}}, "a folder (there is no '*')"),
        ({"contexts": {"x": "target:none"}}, "contexts: bake knows no target 'none'"),
        ({"shm-size": "large"}, "shm_size='large': expected a size"),
    ],
)
def test_what_can_t_be_built_is_refused_in_one_line(folder, body, said):
    with pytest.raises(SettingsError) as caught:
        spec(folder, **body)
    assert caught.value.summary.startswith("docker-bake.hcl: target 'app': ")
    assert all(part in caught.value.summary for part in said.split("*"))
    assert "\n" not in str(caught.value)


def test_the_entitlement_that_bake_adds_itself_is_no_reason(folder):
    assert spec(folder, network="host", entitlements=["network.host"]).network == "host"


def test_groups_and_matrices_are_the_targets_in_them_once_each(folder):
    """A matrix is a group to bake; a group may have the name of one of its targets."""
    printed = {
        "group": {
            "default": {"targets": ["all"]},
            "all": {"targets": ["matrix", "all", "two"]},
            "matrix": {"targets": ["one", "two"]},
        },
        "target": {"one": {}, "two": {}, "all": {}, "linked": {}},
    }
    found = BakeTargets.of((folder / "docker-bake.hcl",), printed)
    assert found.names == ("one", "two", "all")
    with pytest.raises(SettingsError, match=r"has 3 targets here \(one, two, all\); name one"):
        found.only()
    assert targets(folder).only() == "app"


def test_platforms_are_read_as_everywhere(folder):
    found = targets(folder, app={"platforms": ["linux/aarch64", "linux/arm64/v8", "local"]})
    assert found.platforms("app") == tuple(
        dict.fromkeys((Platform.parse("linux/arm64"), Platform.host()))
    )
    wrong = targets(folder, app={"platforms": ["linux/nonsense"]})
    with pytest.raises(SettingsError, match="target 'app': unknown"):
        wrong.platforms("app")


def test_linked_targets_are_part_of_the_build(folder):
    found = targets(
        folder,
        app={"contexts": {"b": "target:base", "c": "target:base"}},
        base={"context": "app", "contexts": {"r": "target:root"}},
        root={"context": "shared"},
    )
    built = found.spec("app", {})
    assert [linked.name for linked in built.linked] == ["base"]
    assert list(built.all_linked) == ["base", "root"]
    assert [each.context for each in built.all] == [folder, folder / "app", folder / "shared"]
    other = targets(
        folder,
        app={"contexts": {"b": "target:base", "c": "target:base"}},
        base={"context": "app", "contexts": {"r": "target:root"}},
        root={"context": "shared", "args": {"A": "1"}},
    ).spec("app", {})
    assert built.export_key() != other.export_key()


@pytest.mark.parametrize("target", ["app", "base"])
def test_linked_targets_do_without_the_hosts_network(folder, target):
    """Bake would have to be allowed it, and no build gets privileges."""
    printed = {"app": {"contexts": {"b": "target:base"}}, "base": {"context": "app"}}
    printed[target]["network"] = "host"
    found = targets(folder, **printed)
    with pytest.raises(SettingsError, match="network: a build with linked targets can't"):
        found.spec("app", {})


def test_the_name_of_a_target_makes_no_other_build(folder):
    found = targets(folder, two={})
    one, two = found.spec("app", {}), found.spec("two", {})
    assert one == two
    assert one.export_key() == two.export_key()
    assert one.label() != two.label()


@pytest.mark.parametrize(
    ("own", "its", "expected"),
    [
        ([], [], "linux/arm64"),  # all follow what is tested, as with --set *.platform
        (["linux/arm64"], [], None),  # the builder's own
        (["linux/arm64"], ["linux/amd64"], "linux/amd64"),
        ([], ["linux/amd64"], "linux/amd64"),
        (["linux/arm64"], ["linux/amd64", "linux/arm64"], "linux/arm64"),
    ],
)
def test_a_linked_target_is_built_for_the_platform_that_bake_takes(folder, own, its, expected):
    found = targets(
        folder,
        app={"platforms": own, "contexts": {"b": "target:base"}},
        base={"platforms": its},
    )
    (linked,) = found.spec("app", {}).linked
    assert isinstance(linked, Linked)
    assert linked.platform_for("linux/arm64") == expected


def test_what_bake_can_t_do_with_linked_targets_is_refused(folder):
    (folder / "files.tar").touch()
    linked = {"contexts": {"b": "target:base"}}
    found = targets(folder, app=linked, base={"context": "files.tar"})
    with pytest.raises(SettingsError, match="a build with linked targets needs folders or URLs"):
        found.spec("app", {})
    found = targets(folder, app=linked, base={"context": "app"})
    with pytest.raises(SettingsError, match="a build with linked targets can't have one"):
        found.spec("app", {"cgroup_parent": "a.slice"})
