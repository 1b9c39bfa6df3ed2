from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dockerbin.frontend import changed_copy, without_syntax_line


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


def test_a_copy_is_made_with_its_own_dockerignore_beside_it(tmp_path):
    source, folder = tmp_path / "source", tmp_path / "copy"
    source.mkdir()
    folder.mkdir()
    dockerfile = source / "app.Dockerfile"
    dockerfile.write_text("# syntax=a/b\nFROM scratch\n")
    (source / "app.Dockerfile.dockerignore").write_text("*\n")
    copy = changed_copy(dockerfile, folder, builtin=True)
    assert copy == folder / "app.Dockerfile"
    assert copy.read_text() == "\nFROM scratch\n"
    assert (folder / "app.Dockerfile.dockerignore").read_text() == "*\n"
    assert dockerfile.read_text() == "# syntax=a/b\nFROM scratch\n"


def test_a_copy_without_a_dockerignore_of_its_own_has_none(tmp_path):
    (tmp_path / "copy").mkdir()
    (tmp_path / ".dockerignore").write_text("*\n")
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("# syntax=a/b\nFROM scratch\n")
    changed_copy(dockerfile, tmp_path / "copy", builtin=True)
    assert [path.name for path in (tmp_path / "copy").iterdir()] == ["Dockerfile"]


def test_a_dockerfile_that_needs_no_change_is_used_itself(tmp_path):
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("FROM scratch\n")
    assert changed_copy(dockerfile, tmp_path / "copy", builtin=True) == dockerfile


def test_what_is_appended_begins_on_a_line_of_its_own(tmp_path):
    (tmp_path / "copy").mkdir()
    dockerfile = tmp_path / "Dockerfile"
    dockerfile.write_text("# syntax=a/b\nFROM scratch")
    copy = changed_copy(dockerfile, tmp_path / "copy", builtin=False, appended="FROM a\n")
    assert copy.read_text() == "# syntax=a/b\nFROM scratch\nFROM a\n"
