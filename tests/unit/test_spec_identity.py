"""What a build is called, and which results serve it: too coarse a key serves wrong files."""

from __future__ import annotations

import json
from dataclasses import fields, replace
from pathlib import Path

import pytest

from pytest_dockerbin.secret import Secret
from pytest_dockerbin.spec import Baked, BuildSpec, Linked, is_remote

SPEC = BuildSpec(context=Path("/src/app"), dockerfile=Path("/src/app/Dockerfile"))
TARGET = Baked((Path("/b/bake.hcl"),), "app")
TEXT = "FROM scratch\nCOPY x /\n"


@pytest.mark.parametrize(
    ("changes", "label"),
    [
        ({}, "app/"),
        ({"context": Path("/"), "dockerfile": Path("/Dockerfile")}, "//"),
        ({"dockerfile": Path("/src/app/other.Dockerfile")}, "app/ -f other.Dockerfile"),
        ({"dockerfile": Path("/src/Dockerfile")}, "app/ -f Dockerfile"),
        ({"dockerfile": TEXT}, "app/ -f -"),
        ({"target": "bin"}, "app/ --target bin"),
        ({"context": Path("/a.tar"), "dockerfile": "Dockerfile"}, "a.tar"),
        ({"context": Path("/a.tar"), "dockerfile": "in/D"}, "a.tar -f in/D"),
        ({"context": "https://h/a.git", "dockerfile": "Dockerfile"}, "https://h/a.git"),
        (
            {"context": "https://h/a.git", "dockerfile": Path("/x/D"), "target": "t"},
            "https://h/a.git -f D --target t",
        ),
        (
            {"baked": Baked((Path("/b/bake.hcl"),), "app")},
            str(Baked((Path("/b/bake.hcl"),), "app")),
        ),
    ],
)
def test_a_build_is_called_by_what_is_unusual_about_it(changes, label):
    assert replace(SPEC, **changes).label() == label


def test_what_is_not_said_is_as_docker_has_it():
    """One tree of files of the last stage, whose programs are looked at."""
    said = {"context", "dockerfile", "exporter", "verify"}
    assert (SPEC.exporter, SPEC.verify) == ("local", "platform")
    others = {each.name: getattr(SPEC, each.name) for each in fields(SPEC) if each.name not in said}
    assert all(value in (None, (), False, "") for value in others.values())


@pytest.mark.parametrize(
    ("place", "expected"),
    [
        ("https://h/a.git", True),
        ("http://h/a.tar", True),
        ("git://h/a", True),
        ("ssh://git@h/a", True),
        ("git@h:a.git", True),
        ("github.com/me/it", True),
        ("github.community/me", False),
        ("src/github.com/me", False),
        ("app", False),
    ],
)
def test_a_context_elsewhere_is_told_by_its_beginning(place, expected):
    assert bool(is_remote(place)) is expected


def test_a_dockerfile_is_text_when_it_has_lines():
    assert SPEC.dockerfile_text is None
    assert replace(SPEC, dockerfile="in/D").dockerfile_text is None
    assert replace(SPEC, dockerfile=TEXT).dockerfile_text == TEXT


@pytest.mark.parametrize(
    ("context", "dockerfile", "expected"),
    [
        (Path("/a.tar"), "Dockerfile", True),
        (Path("/app"), Path("/app/Dockerfile"), False),
        (Path("/app"), TEXT, False),
        ("https://h/a.git", "Dockerfile", False),
        ("https://h/a.git", TEXT, False),
    ],
)
def test_an_archive_is_a_file_whose_dockerfile_is_inside(context, dockerfile, expected):
    assert replace(SPEC, context=context, dockerfile=dockerfile).is_archive is expected


OTHERS = {
    "context": Path("/src/other"),
    "dockerfile": TEXT,
    "target": "bin",
    "build_args": (("A", "1"),),
    "build_contexts": (("a", "/b"),),
    "secrets": (("token", "env:TOKEN"),),
    "ssh": (("default", ""),),
    "network": "none",
    "add_hosts": (("h", "::1"),),
    "labels": (("a", "b"),),
    "frontend": "builtin",
    "no_cache": True,
    "no_cache_filter": ("a",),
    "pull": True,
    "cache_from": ((("type", "inline"),),),
    "cache_to": ((("type", "inline"),),),
    "shm_size": "1m",
    "ulimits": (("nofile", "1:2"),),
    "cgroup_parent": "/x",
    "attests": (("sbom", ()),),
    "builder": "other",
    "exporter": "tar",
    "verify": "static",
    "appended": "COPY x /\n",
    "again": True,
    "linked": (Linked("base", SPEC),),
}
NOT_OF_THE_EXPORT = {
    "binary": "tool",
    "sysroot_target": "runtime",
    "baked": TARGET,
}


def test_all_that_a_spec_has_is_known_here():
    assert {each.name for each in fields(BuildSpec)} == {*OTHERS, *NOT_OF_THE_EXPORT}


@pytest.mark.parametrize("name", OTHERS)
def test_another_export_has_another_key(name):
    other = replace(SPEC, **{name: OTHERS[name]})
    assert other != SPEC
    assert other.export_key() != SPEC.export_key()
    assert other.export_key() == replace(SPEC, **{name: OTHERS[name]}).export_key()


@pytest.mark.parametrize("name", NOT_OF_THE_EXPORT)
def test_what_is_run_of_it_and_its_name_are_not_of_the_key(name):
    assert replace(SPEC, **{name: NOT_OF_THE_EXPORT[name]}).export_key() == SPEC.export_key()


def test_the_name_of_a_bake_target_makes_no_other_build():
    assert replace(SPEC, baked=NOT_OF_THE_EXPORT["baked"]) == SPEC


def test_a_spec_as_json_has_no_value_of_a_secret():
    spec = replace(
        SPEC,
        secrets=(("a", Secret("canary")), ("b", "env:B")),
        linked=(Linked("base", SPEC, ("linux/arm64",)),),
        baked=TARGET,
    )
    data = spec.to_json()
    assert "canary" not in json.dumps(data)
    assert data["secrets"] == [["a", "value"], ["b", "env:B"]]
    assert data["linked"] == [["base", ("linux/arm64",), SPEC.to_json()]]
    assert data["baked"] == [["/b/bake.hcl"], "app"]
    assert data["context"] == "/src/app"
    assert SPEC.to_json()["baked"] is None


def test_linked_builds_are_found_through_each_other():
    deep = Linked("deep", SPEC)
    base = Linked("base", replace(SPEC, linked=(deep,)))
    spec = replace(SPEC, target="app", linked=(base,))
    assert spec.all_linked == {"base": base, "deep": deep}
    assert spec.all == (spec, base.spec, deep.spec)


@pytest.mark.parametrize(
    ("platforms", "expected"),
    [
        (None, "linux/arm64"),
        ((), None),
        (("linux/amd64", "linux/arm64"), "linux/arm64"),
        (("linux/amd64", "linux/s390x"), "linux/amd64"),
    ],
)
def test_a_linked_target_is_built_for_a_platform_of_its_own(platforms, expected):
    assert Linked("base", SPEC, platforms).platform_for("linux/arm64") == expected
