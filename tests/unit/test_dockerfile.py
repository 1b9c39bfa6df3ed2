from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dockerbin.dockerfile import (
    prepare,
    run_platforms,
    stages,
    undeclared_arguments,
    without_syntax_line,
)
from pytest_dockerbin.spec import BuildSpec


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (b"# syntax=docker/dockerfile:1\nFROM scratch\n", b"\nFROM scratch\n"),
        (b"#syntax = docker/dockerfile:1 \nFROM scratch\n", b"\nFROM scratch\n"),
        (b"# SYNTAX=docker/dockerfile:1\nFROM scratch\n", b"\nFROM scratch\n"),
        (b"# syntax=docker/dockerfile:1", b"\n"),
        (b"\xef\xbb\xbf# syntax=a/b\nFROM scratch\n", b"\nFROM scratch\n"),
        (b"# syntax=a/b\r\nFROM scratch\r\n", b"\nFROM scratch\r\n"),
        # what follows the line stays a directive, and the empty line comes behind the last one
        (
            b"# syntax=a/b\n# escape=`\n# check=skip=all\nFROM scratch\n",
            b"# escape=`\n# check=skip=all\n\nFROM scratch\n",
        ),
        (b"# escape=`\n# syntax=a/b\nFROM scratch\n", b"# escape=`\n\nFROM scratch\n"),
        (b"# syntax=a/b\n# a comment\nFROM scratch\n", b"\n# a comment\nFROM scratch\n"),
        # BuildKit reads the first and refuses a Dockerfile with two; neither may be followed here
        (b"# syntax=a/b\n# syntax=c/d\nFROM scratch\n", b"\n\nFROM scratch\n"),
        (b"#!/bin/docker-build\n# syntax=a/b\nFROM x\n", b"#!/bin/docker-build\n\nFROM x\n"),
    ],
)
def test_the_syntax_line_is_taken_out_and_line_numbers_stay(before, after):
    assert without_syntax_line(before) == after


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b"FROM scratch\n",
        b"# escape=`\nFROM scratch\n",
        b"# a comment\n# syntax=a/b\nFROM scratch\n",  # a comment ends the directives
        b"\n# syntax=a/b\nFROM scratch\n",
        b"FROM scratch\n# syntax=a/b\n",
        b"# syntax=\nFROM scratch\n",
        b"# syntax\nFROM scratch\n",
        b"RUN <<EOF\n# syntax=a/b\nEOF\n",
    ],
)
def test_a_dockerfile_without_a_syntax_line_is_left_alone(text):
    assert without_syntax_line(text) == text


LINE = st.sampled_from(
    [b"# syntax=a/b", b"# escape=`", b"# check=x", b"# words", b"", b"FROM scratch", b"#!/bin/x"]
)


@given(st.lists(LINE, max_size=6))
def test_it_is_as_long_as_before_and_has_no_syntax_line_that_counts(lines):
    text = b"".join(line + b"\n" for line in lines)
    changed = without_syntax_line(text)
    assert changed.count(b"\n") == text.count(b"\n")
    assert without_syntax_line(changed) == changed


@pytest.fixture
def prepared(tmp_path):
    """Prepare a build of a folder ``source``, and return docker's Dockerfile and input."""
    source, copies = tmp_path / "source", tmp_path / "copies"
    source.mkdir()
    copies.mkdir()

    def prepare_it(text, name="Dockerfile", **settings):
        dockerfile = source / name
        dockerfile.write_text(text)
        given = {"context": source, "dockerfile": dockerfile, **settings}
        file, stdin = prepare(BuildSpec(**given), copies)
        return file if file == "-" else Path(file), stdin

    prepare_it.source, prepare_it.copies = source, copies
    return prepare_it


def test_a_copy_is_made_with_its_own_dockerignore_beside_it(prepared):
    (prepared.source / "app.Dockerfile.dockerignore").write_text("*\n")
    text = "# syntax=a/b\nFROM scratch\n"
    copy, stdin = prepared(text, "app.Dockerfile", frontend="builtin")
    assert (copy, stdin) == (prepared.copies / "app.Dockerfile", None)
    assert copy.read_text() == "\nFROM scratch\n"
    assert (prepared.copies / "app.Dockerfile.dockerignore").read_text() == "*\n"
    assert (prepared.source / "app.Dockerfile").read_text() == text


def test_a_copy_without_a_dockerignore_of_its_own_has_none(prepared):
    (prepared.source / ".dockerignore").write_text("*\n")
    prepared("# syntax=a/b\nFROM scratch\n", frontend="builtin")
    assert [path.name for path in prepared.copies.iterdir()] == ["Dockerfile"]


def test_a_dockerfile_that_needs_no_change_is_used_itself(prepared):
    used, _ = prepared("FROM scratch\n", frontend="builtin")
    assert used == prepared.source / "Dockerfile"


def test_what_is_appended_begins_on_a_line_of_its_own(prepared):
    copy, _ = prepared("# syntax=a/b\nFROM scratch", appended="FROM a\n")
    assert copy.read_text() == "# syntax=a/b\nFROM scratch\nFROM a\n"


def test_a_given_text_is_written_where_the_context_s_dockerignore_holds(prepared):
    copy, stdin = prepared("", dockerfile="# syntax=a/b\nFROM x\n", frontend="builtin")
    assert (copy.parent, stdin) == (prepared.copies, None)
    assert copy.read_text() == "\nFROM x\n"


def test_a_given_text_for_a_context_that_is_far_away_is_read_by_docker(prepared):
    file, stdin = prepared("", context="https://host/a.git", dockerfile="FROM x\n")
    assert file == "-"
    assert stdin.read_text() == "FROM x\n"


def test_an_archive_is_read_by_docker_and_holds_its_dockerfile(prepared):
    archive = prepared.source / "a.tar"
    file, stdin = prepared("", context=archive, dockerfile="docker/Dockerfile")
    assert (file, stdin) == (Path("docker/Dockerfile"), archive)


def test_the_stages_of_a_dockerfile_are_known_by_name():
    text = "FROM a as Build\nRUN x\n  from b\nFROM --platform=$BUILDPLATFORM c AS bin # no\n"
    assert stages(text) == (["build", "bin"], 3)


@pytest.mark.parametrize(
    ("text", "undeclared"),
    [
        ("FROM scratch\n", {"VERSION": None}),
        ("ARG VERSION\nFROM scratch\n", {}),
        ("FROM scratch\narg OTHER=1 VERSION=2\n", {}),
        ("FROM scratch\nARG A=1 \\\n  VERSION=2\n", {}),
        ("FROM scratch\n# ARG VERSION\n", {"VERSION": None}),
        ("FROM scratch\nARG version\n", {"VERSION": None}),
        ("FROM scratch\nARG OTHER VERSIONS=1\n", {"VERSION": "VERSIONS"}),
        ("# syntax=docker/dockerfile:1\nFROM scratch\n", {"VERSION": None}),
        ("# syntax=docker.io/docker/dockerfile-upstream:master\nFROM scratch\n", {"VERSION": None}),
        ("# syntax=devthefuture/dockerfile-x\nFROM ./base\n", {"VERSION": None}),
        ("# syntax=ghcr.io/somebody/frontend\nbuild: x\n", {}),
    ],
)
def test_an_argument_that_nothing_declares_is_found_with_the_one_it_may_be(text, undeclared):
    assert undeclared_arguments(text, ["VERSION"]) == undeclared


@pytest.mark.parametrize(
    "name", ["HTTP_PROXY", "https_proxy", "SOURCE_DATE_EPOCH", "BUILDKIT_INLINE_CACHE"]
)
def test_an_argument_that_buildkit_knows_needs_no_declaration(name):
    assert undeclared_arguments("FROM scratch\n", [name]) == {}


def test_stages_say_whose_programs_their_steps_run():
    text = (
        "FROM --platform=$BUILDPLATFORM golang AS Build\n"
        "FROM build AS test\n"
        "FROM --platform=linux/amd64 alpine\n"
        "FROM --platform=$TARGETPLATFORM alpine AS own\n"
        "FROM alpine\n"
    )
    assert run_platforms(text) == {
        "build": "$BUILDPLATFORM",
        "test": "$BUILDPLATFORM",
        "stage-2": "linux/amd64",
    }
