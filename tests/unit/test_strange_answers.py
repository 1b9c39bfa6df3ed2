"""A docker command that answers what nobody expects: what is said then is still right."""

from __future__ import annotations

import json
import os
import sys

import pytest

from pytest_dockerbin.buildx.bake import print_definition
from pytest_dockerbin.buildx.docker import stage_names
from pytest_dockerbin.buildx.inventory import find_builder
from pytest_dockerbin.errors import EngineError, SecretError, SettingsError

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="docker is a script here")

VERSION = {"buildx version": ("github.com/docker/buildx v0.29.1 x", "", 0)}

DOCKER = """\
#!{python} -IS
import json, sys
words = " ".join(sys.argv[1:])
for begin, (out, said, code) in json.loads({answers!r}).items():
    if begin in words:
        print(out)
        print(said, file=sys.stderr)
        sys.exit(code)
sys.exit("unexpected: docker " + words)
"""


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """Makes a docker that knows some commands: what it prints, complains, and exits with."""

    def make(**answers):
        known = {name.replace("_", " "): answer for name, answer in answers.items()} | VERSION
        file = tmp_path / "docker"
        file.write_text(DOCKER.format(python=sys.executable, answers=json.dumps(known)))
        file.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")

    return make


@pytest.fixture
def bake_file(tmp_path):
    file = tmp_path / "bake.hcl"
    file.write_text("")
    return file


@pytest.mark.parametrize(
    ("printed", "names"),
    [
        ('{"targets": [{"name": "a"}, {"default": true}]}', ["a"]),
        ("not json", None),
        ("[]", None),
        ('{"targets": 1}', None),
    ],
)
def test_stages_are_known_only_where_buildx_tells_them(docker, printed, names):
    docker(build=(printed, "", 0))
    assert stage_names(["docker", "buildx", "build", "--progress=rawjson", "."], None) == names


@pytest.mark.parametrize(
    ("inspected", "options"),
    [("Name: x\nDriver: docker", ("--context=x",)), ("Name: x\nDriver: remote", ())],
)
def test_a_builder_of_a_context_is_reached_through_it(docker, inspected, options):
    docker(buildx_inspect=(inspected, "", 0))
    assert find_builder("x") == options


def test_an_unknown_builder_is_told_with_the_closest(docker):
    docker(
        buildx_inspect=("", 'ERROR: no builder "desktop" found', 1),
        buildx_ls=("desk-top\ndefault", "", 0),
    )
    with pytest.raises(SettingsError, match=r"'desktop'.*'desk-top'"):
        find_builder("desktop")


def test_an_unknown_builder_is_told_where_none_can_be_listed(docker):
    docker(
        buildx_inspect=("", 'ERROR: no builder "x" found', 1), buildx_ls=("", "ERROR: broken", 1)
    )
    with pytest.raises(SettingsError, match="unknown builder 'x'"):
        find_builder("x")


def test_a_builder_that_can_t_be_asked_is_not_unknown(docker):
    docker(buildx_inspect=("", "ERROR: permission denied", 1))
    with pytest.raises(EngineError, match="permission denied"):
        find_builder("x")


@pytest.mark.parametrize(
    ("said", "error", "words"),
    [
        ("ERROR: invalid empty ssh agent socket", SecretError, "SSH_AUTH_SOCK"),
        ("ERROR: failed to find target ap", SettingsError, "bake.hcl: there is no target 'ap'"),
        ("", SettingsError, "bake.hcl: docker buildx bake printed nothing"),
    ],
)
def test_why_bake_failed_is_told_although_it_lists_no_targets(
    docker, bake_file, said, error, words
):
    docker(list=("not json", "", 1), bake=("", said, 1))
    with pytest.raises(error, match=words):
        print_definition((bake_file,), "ap")


def test_a_target_that_is_misspelled_is_told_with_the_closest(docker, bake_file):
    docker(
        list=('[{"name": "app"}, {"name": "other"}]', "", 0),
        bake=("", "ERROR: failed to find target ap", 1),
    )
    with pytest.raises(SettingsError, match=r"'ap'.*'app'"):
        print_definition((bake_file,), "ap")


def test_bake_without_buildx_is_told_as_that(docker, bake_file, monkeypatch):
    monkeypatch.setitem(
        VERSION, "buildx version", ("", "docker: unknown command: docker buildx", 1)
    )
    docker(bake=("", "ERROR: whatever", 1))
    with pytest.raises(EngineError, match="buildx"):
        print_definition((bake_file,), None)


def test_a_builder_without_buildx_is_not_unknown(docker, monkeypatch):
    monkeypatch.setitem(
        VERSION, "buildx version", ("", "docker: unknown command: docker buildx", 1)
    )
    docker(buildx_inspect=("", "docker: unknown command: docker buildx", 1))
    with pytest.raises(EngineError, match="buildx"):
        find_builder("x")
