from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dockerbin.build_settings import (
    build_spec,
    merged,
    read_settings,
    setting_names,
    spec_of,
    with_whole_paths,
)
from pytest_dockerbin.errors import SettingsError


def read(base=Path("/base"), **given):
    return read_settings(given, base=base, where="here")


@pytest.fixture
def context(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("context", "app", Path("/base/app")),
        ("context", Path("app"), Path("/base/app")),
        ("context", "../app/.", Path("/app")),
        ("context", "/elsewhere", Path("/elsewhere")),
        ("context", "https://host/a.git#main", "https://host/a.git#main"),
        ("context", "git@host:a.git", "git@host:a.git"),
        (
            "dockerfile",
            "docker/Dockerfile",
            ("docker/Dockerfile", Path("/base/docker/Dockerfile")),
        ),
        ("dockerfile", "  FROM a\n  COPY b /\n", "FROM a\nCOPY b /\n"),
        ("target", "bin", "bin"),
        ("target", "0", "0"),
        ("build_args", {"B": "x", "A": 1}, (("A", "1"), ("B", "x"))),
        ("build_args", {"DEBUG": True, "OFF": False}, (("DEBUG", "true"), ("OFF", "false"))),
        ("build_args", {"EMPTY": "", "LINES": "a\nb"}, (("EMPTY", ""), ("LINES", "a\nb"))),
        ("build_args", ["A=1", "B = x=y"], (("A", "1"), ("B", " x=y"))),
        ("build_args", {}, ()),
        ("build_contexts", {"alpine": "docker-image://a:1"}, (("alpine", "docker-image://a:1"),)),
        ("build_contexts", {"a": "oci-layout://l:1"}, (("a", "oci-layout:///base/l:1"),)),
        ("build_contexts", {"a": "https://h/a.git"}, (("a", "https://h/a.git"),)),
        ("network", "none", "none"),
        ("ssh", "default", (("default", ""),)),
        ("ssh", ["default", "key=id"], (("default", ""), ("key", "/base/id"))),
        ("ssh", {"git": "agent.sock"}, (("git", "/base/agent.sock"),)),
        ("add_hosts", {"a": "10.0.0.1"}, (("a", "10.0.0.1"),)),
        ("add_hosts", {"a": ["::1", "10.0.0.1"]}, (("a", "10.0.0.1"), ("a", "::1"))),
        ("add_hosts", ["a:::1", "b=host-gateway"], (("a", "::1"), ("b", "host-gateway"))),
        ("add_hosts", ["six=[::1]"], (("six", "::1"),)),
        ("labels", {"org.x/y": "a b", "n": 1}, (("n", "1"), ("org.x/y", "a b"))),
        ("no_cache_filter", ["b", "a", "b"], ("b", "a")),
        ("cache_from", ["host/app:c"], ((("ref", "host/app:c"), ("type", "registry")),)),
        ("cache_from", ["type=local,src=c"], ((("src", "/base/c"), ("type", "local")),)),
        (
            "cache_to",
            [{"type": "local", "dest": Path("c"), "ignore-error": True}],
            ((("dest", "/base/c"), ("ignore-error", "true"), ("type", "local")),),
        ),
        ("cache_to", ['type=gha,"scope=a,b"'], ((("scope", "a,b"), ("type", "gha")),)),
        ("shm_size", "128m", "128m"),
        ("shm_size", 65536, "65536"),
        ("ulimits", {"nofile": 1024, "core": (0, -1)}, (("core", "0:-1"), ("nofile", "1024"))),
        ("ulimits", ["nofile=1:2"], (("nofile", "1:2"),)),
        ("cgroup_parent", "a.slice", "a.slice"),
        ("attests", ["type=provenance,mode=max"], (("provenance", (("mode", "max"),)),)),
        ("provenance", "max", (("mode", "max"),)),
        ("provenance", True, ()),
        ("provenance", False, False),
        ("provenance", "mode=min,version=v1", (("mode", "min"), ("version", "v1"))),
        ("sbom", {"generator": "a/b"}, (("generator", "a/b"),)),
        ("exporter", "oci", "oci"),
        ("frontend", "builtin", "builtin"),
        ("no_cache", True, True),
        ("pull", False, False),
        ("builder", "remote-1", "remote-1"),
        ("binary", "usr/bin/app", "usr/bin/app"),
        ("binary", "/usr/bin/app", "usr/bin/app"),
        ("verify", "platform", "platform"),
        ("verify", "static", "static"),
        ("verify", False, False),
    ],
)
def test_a_setting_is_read(name, value, expected):
    assert read(**{name: value}) == {name: expected}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("context", 3),
        ("context", ""),
        ("context", "a\nb"),
        ("context", "~nobody-of-that-name/x"),
        ("context", b"bytes"),
        ("context", ["a"]),
        ("dockerfile", None),
        ("dockerfile", "FROM a\n\0"),
        ("dockerfile", b"FROM a\n"),
        ("target", "--load"),
        ("target", "a b"),
        ("target", 0),
        ("build_args", "A=1"),
        ("build_args", ["A"]),
        ("build_args", {"A": None}),
        ("build_args", {"A": "a\0b"}),
        ("build_args", {"A B": "x"}),
        ("build_args", {1: "x"}),
        ("build_args", {"-A": "x"}),
        ("build_contexts", {"a": "no-such-folder"}),
        ("build_contexts", {"--x": "docker-image://a"}),
        ("build_contexts", {"a": 1}),
        ("ssh", "--x"),
        ("ssh", {"a": "b,c"}),
        ("ssh", {"a": None}),
        ("ssh", 1),
        ("add_hosts", {"a": "b c"}),
        ("add_hosts", {"-a": "::1"}),
        ("add_hosts", ["a"]),
        ("add_hosts", {"a": None}),
        ("labels", {"a b": "c"}),
        ("labels", "a=b"),
        ("no_cache_filter", "build"),
        ("no_cache_filter", ["--x"]),
        ("cache_from", "type=local,src=c"),
        ("cache_from", ["src=c"]),
        ("cache_from", [1]),
        ("cache_to", ['"type=local']),
        ("cache_to", [{"type": "local", "dest": None}]),
        ("shm_size", "big"),
        ("shm_size", 0),
        ("shm_size", True),
        ("ulimits", {"nofile": "many"}),
        ("ulimits", {"nofile": True}),
        ("ulimits", {"nofile": (1, 2, 3)}),
        ("cgroup_parent", "--x"),
        ("attests", ["mode=max"]),
        ("attests", ["type=other"]),
        ("attests", {"type": "sbom"}),
        ("provenance", 1),
        ("provenance", "most"),
        ("sbom", None),
        ("exporter", "image"),
        ("exporter", ["oci"]),
        ("network", "bridge"),
        ("network", ["host"]),
        ("frontend", "docker/dockerfile:1"),
        ("no_cache", 1),
        ("no_cache", "true"),
        ("builder", "--x"),
        ("binary", "../../etc/passwd"),
        ("binary", "a/../../b"),
        ("verify", True),
        ("verify", 0),
        ("verify", "off"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line_that_names_it(name, value):
    with pytest.raises(SettingsError) as caught:
        read(**{name: value})
    assert str(caught.value).startswith(f"here: {name}={value!r}: expected ")
    assert "\n" not in str(caught.value)


@given(st.sampled_from(setting_names()), st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.binary(),
    lambda inner: st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(), inner),
    max_leaves=5,
))  # fmt: skip
def test_any_value_is_read_or_refused_in_one_line(name, value):
    try:
        settings = read(**{name: value})
    except SettingsError as error:
        assert "\n" not in str(error)  # noqa: PT017 (most values are wrong)
    else:
        hash(settings[name])  # it is part of a fixture's parameter
        again = read(**settings)
        assert again == settings or name == "binary"


@pytest.mark.parametrize(
    "name",
    ["output", "platform", "iidfile", "push", "progress", "metadata", "load", "tag", "quiet"],
)
def test_a_flag_that_is_ours_is_refused_with_what_to_use_instead(name):
    with pytest.raises(SettingsError, match=f"here: '{name}' is not yours to set: "):
        read(**{name: "x"})


def test_a_mistyped_setting_is_answered_with_the_closest_one():
    with pytest.raises(SettingsError) as caught:
        read(build_arg={"A": "1"})
    assert str(caught.value) == (
        "here: unknown build setting 'build_arg'; did you mean 'build_args'?"
    )


def test_a_name_that_is_no_text_is_refused_too():
    with pytest.raises(SettingsError, match="unknown build setting '3'"):
        read_settings({3: "x"}, base=Path("/base"), where="dockerbin_defaults")


def test_a_home_folder_is_expanded(monkeypatch):
    monkeypatch.setenv("HOME", "/home/me")
    assert read(context="~/app") == {"context": Path("/home/me/app")}


def test_anything_that_stands_for_a_path_is_a_path():
    """An `Artifact` can be the context of another build."""

    class Exported(os.PathLike[str]):
        def __fspath__(self):
            return "/exported"

    assert read(context=Exported()) == {"context": Path("/exported")}


def test_a_link_keeps_the_name_that_the_user_gave(tmp_path):
    (tmp_path / "real").mkdir()
    (tmp_path / "link").symlink_to("real")
    assert read(base=tmp_path, context="link") == {"context": tmp_path / "link"}


def test_a_named_context_may_be_a_folder(tmp_path):
    (tmp_path / "shared").mkdir()
    read_once = read(base=tmp_path, build_contexts={"shared": "shared"})
    assert read_once == {"build_contexts": (("shared", str(tmp_path / "shared")),)}


@pytest.mark.parametrize("name", ["secret_access_key", "token", "account_key", "access_key_id"])
def test_credentials_of_a_cache_are_refused_and_not_shown(name):
    """They would be among the arguments of a process."""
    with pytest.raises(SettingsError) as caught:
        read(cache_to=[{"type": "s3", "bucket": "b", name: "canary"}])
    assert str(caught.value).startswith("here: cache_to: expected no credentials")
    assert "canary" not in str(caught.value)


def test_an_archive_holds_its_dockerfile(tmp_path):
    archive = tmp_path / "a.tar"
    archive.touch()
    spec = spec_of(read(base=tmp_path, context="a.tar", dockerfile="sub/Dockerfile"))
    assert (spec.context, spec.dockerfile, spec.is_archive) == (archive, "sub/Dockerfile", True)
    assert spec.label() == "a.tar -f sub/Dockerfile"
    assert spec_of({"context": archive}).dockerfile == "Dockerfile"


def test_a_context_that_is_far_away_holds_its_dockerfile():
    spec = spec_of(read(context="https://host/a.git", dockerfile="sub/Dockerfile"))
    assert (spec.dockerfile, spec.is_archive) == ("sub/Dockerfile", False)
    assert spec.label() == "https://host/a.git -f sub/Dockerfile"


def test_a_dockerfile_s_text_can_be_given(context):
    spec = spec_of({"context": context, **read(dockerfile="FROM a\nRUN b\n")})
    assert spec.dockerfile_text == "FROM a\nRUN b\n"
    assert spec.label() == f"{context.name}/ -f -"
    assert not spec.is_archive


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"context": "https://h/a.git", "frontend": "builtin"}, "frontend needs a Dockerfile of"),
        ({"context": "a.tar", "sysroot_target": "x"}, "sysroot_target needs a Dockerfile of"),
        ({"context": "a.tar", "dockerfile": "FROM a\n"}, "its text can't be built with a tar"),
        ({"exporter": "docker", "provenance": "max"}, "'docker' holds no attestations"),
        ({"exporter": "tar", "sbom": True}, "'tar' holds no attestations"),
    ],
)
def test_settings_that_exclude_one_another_are_refused_in_one_line(context, settings, message):
    (context / "a.tar").touch()
    with pytest.raises(SettingsError) as caught:
        spec_of({"context": context, **read(base=context, **settings)})
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_context_that_is_neither_a_folder_nor_a_file_is_refused(context):
    os.mkfifo(context / "pipe")
    with pytest.raises(SettingsError, match=r"context: '.*/pipe' is neither a folder nor a file"):
        spec_of(read(base=context, context="pipe"))


@pytest.mark.parametrize(
    "given",
    [
        {"build_args": {"A": 1}},
        {"ssh": {"git": "agent.sock"}},
        {"attests": ["type=provenance,mode=max", "type=sbom"]},
        {"provenance": "mode=min,version=v1"},
    ],
)
def test_what_was_read_is_read_again_as_it_is(given):
    once = read(**given)
    assert read(base=Path("/elsewhere"), **once) == once


def test_settings_with_whole_paths_mean_the_same_to_a_file_of_another_folder(tmp_path):
    (tmp_path / "lib").mkdir()
    given = {
        "context": "app",
        "dockerfile": "b.Dockerfile",
        "bake": ["docker-bake.hcl", "more.hcl"],
        "build_contexts": {"lib": "lib", "base": "docker-image://busybox"},
        "secrets": {"token": "file:token", "name": "env:NAME"},
        "ssh": {"git": "agent.sock"},
        "cache_from": ["type=local,src=cache", "busybox"],
        "cache_to": ["type=local,dest=cache"],
        "build_args": {"A": 1},
        "target": "bin",
    }
    whole = with_whole_paths(given, tmp_path)
    read_there = read(base=tmp_path, **given)
    assert read(base=Path("/elsewhere"), **whole) == read_there
    mappings = {name for name, value in given.items() if isinstance(value, dict)}
    assert {name for name, value in whole.items() if isinstance(value, dict)} == mappings


@pytest.mark.parametrize("given", [["x"], None, {"no such": 1, "context": 7}])
def test_settings_that_can_t_be_read_have_no_whole_paths(given):
    assert with_whole_paths(given, Path("/base")) == given


@pytest.mark.parametrize(
    ("settings", "attests"),
    [
        ({}, ()),
        ({"provenance": "min"}, (("provenance", (("mode", "min"),)),)),
        ({"provenance": False, "sbom": True}, (("sbom", ()),)),
        ({"attests": ["type=sbom", "type=provenance"], "provenance": False}, (("sbom", ()),)),
        (
            {"attests": ["type=provenance,mode=min"], "provenance": "max"},
            (("provenance", (("mode", "max"),)),),
        ),
    ],
)
def test_attestations_have_a_long_and_a_short_form(context, settings, attests):
    assert spec_of({"context": context, **read(**settings)}).attests == attests


def test_a_spec_has_the_context_s_dockerfile(context):
    spec = spec_of({"context": context})
    assert spec.dockerfile == context / "Dockerfile"
    assert spec.verify == "platform"


def test_a_build_without_a_context_is_refused():
    with pytest.raises(SettingsError, match="a build needs a context"):
        spec_of({})


def test_a_context_that_is_not_there_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"context: there is no folder '.*/nowhere'"):
        spec_of({"context": tmp_path / "nowhere"})


def test_a_dockerfile_that_is_not_there_is_refused_with_the_one_in_the_context(context):
    with pytest.raises(SettingsError) as caught:
        spec_of({"context": context, **read(base=context, dockerfile="sub/Dockerfile")})
    assert caught.value.summary == (
        f"dockerfile: there is no file '{context / 'sub' / 'Dockerfile'}'"
    )
    assert caught.value.hint == f"there is '{context / 'Dockerfile'}'"


@pytest.mark.parametrize(
    ("settings", "label"),
    [
        ({}, "{}/"),
        ({"target": "bin"}, "{}/ --target bin"),
        ({"dockerfile": "Other"}, "{}/ -f Other"),
    ],
)
def test_a_label_says_what_is_unusual(context, settings, label):
    (context / "Other").touch()
    spec = spec_of({"context": context, **read(base=context, **settings)})
    assert spec.label() == label.format(context.name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("target", "bin"),
        ("build_args", (("A", "1"),)),
        ("build_contexts", (("a", "docker-image://a"),)),
        ("network", "host"),
        ("frontend", "builtin"),
        ("no_cache", True),
        ("pull", True),
        ("builder", "b"),
        ("add_hosts", (("a", "::1"),)),
        ("ssh", (("default", ""),)),
        ("shm_size", "1m"),
        ("provenance", ()),
        ("exporter", "tar"),
        ("verify", False),
        ("verify", "static"),
    ],
)
def test_whatever_changes_the_export_changes_its_key(context, name, value):
    plain = spec_of({"context": context})
    assert spec_of({"context": context, name: value}).export_key() != plain.export_key()


def test_the_program_that_is_chosen_from_an_export_does_not_change_its_key(context):
    plain = spec_of({"context": context})
    assert spec_of({"context": context, "binary": "x"}).export_key() == plain.export_key()


def test_equal_specs_are_one_build_however_their_arguments_were_ordered(context):
    one = spec_of({"context": context, **read(build_args={"A": 1, "B": 2})})
    two = spec_of({"context": context, **read(build_args={"B": 2, "A": 1})})
    assert one == two
    assert one.export_key() == two.export_key()
    assert hash(one) == hash(two)


def test_a_spec_is_json(context):
    spec = spec_of({"context": context, "build_args": (("A", "1"),), "verify": False})
    data = json.loads(json.dumps(spec.to_json()))
    assert data["context"] == str(context)
    assert data["build_args"] == [["A", "1"]]
    assert data["verify"] is False


def test_settings_of_a_nearer_place_are_above_those_of_a_farther_one():
    below = {"context": "a", "dockerfile": "b", "target": "c", "pull": True, "network": "none"}
    assert merged(below, {"pull": False}) == {**below, "pull": False}


def test_a_bake_file_says_itself_what_is_built():
    """Not a farther place; what is said of the build beside, or nearer, is above the file."""
    below = {"context": "a", "dockerfile": "b", "target": "c", "pull": True}
    bake = {"bake": (Path("/bake"),), "target": "app"}
    assert merged(below, bake) == {"pull": True, **bake}
    assert merged(bake, {"context": "a"}) == {**bake, "context": "a"}


def test_a_linked_target_needs_a_bake_file(context):
    with pytest.raises(SettingsError, match="build_contexts: 'base': 'target:x' needs a bake file"):
        spec_of({"context": context, **read(build_contexts={"base": "target:x"})})


def test_a_bake_file_can_t_be_named_where_it_is_not_followed(context):
    with pytest.raises(SettingsError, match="bake: a bake file can be named where a build begins"):
        spec_of({"context": context, **read(bake="docker-bake.hcl")})


def test_a_script_says_what_to_build_with_relative_paths_from_where_it_runs(context, monkeypatch):
    monkeypatch.chdir(context.parent)
    spec = build_spec(context.name, target="bin", build_args={"A": 1})
    assert spec == spec_of({"context": context, **read(target="bin", build_args={"A": 1})})
    with pytest.raises(SettingsError, match="build_spec: unknown build setting 'traget'"):
        build_spec(context.name, traget="bin")
    with pytest.raises(SettingsError, match=r"dockerfile: there is no file '.*/Dokerfile'"):
        build_spec(context.name, dockerfile="Dokerfile")


def test_settings_that_are_no_mapping_are_refused_without_showing_them(tmp_path):
    with pytest.raises(SettingsError) as caught:
        read_settings(["x"], base=tmp_path, where="here")
    assert str(caught.value) == "here: expected a mapping of build settings, not a list"


@pytest.mark.parametrize(
    ("name", "form"),
    [
        ("build_args", "NAME=VALUE lines"),
        ("build_contexts", "NAME=VALUE lines"),
        ("add_hosts", "NAME:ADDRESS lines"),
        ("ulimits", "NAME=SOFT:HARD lines"),
    ],
)
def test_lines_that_are_no_pairs_are_told_the_form_of_lines(tmp_path, name, form):
    with pytest.raises(SettingsError) as caught:
        read_settings({name: ["A"]}, base=tmp_path, where=f"ini dockerbin_{name}")
    assert str(caught.value) == f"ini dockerbin_{name}: {name}=['A']: expected {form}"
