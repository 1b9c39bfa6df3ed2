"""Which of buildx's records is that of a build that failed just now."""

from __future__ import annotations

import json
import sys

import pytest

from pytest_dockerbin.buildx.inventory import failed_build
from pytest_dockerbin.manifest import history_command
from pytest_dockerbin.platforms import Platform

ARM = Platform.parse("linux/arm64")
SINCE = 1_795_000_000.0  # 2026-11-18T11:06:40Z
BEFORE, AFTER = "2026-11-18T11:06:39.5Z", "2026-11-18T11:06:41.123456789Z"

DOCKER = """\
#!{python} -IS
import json, sys
records, said = {records!r}, sys.argv[1:]
with open({calls!r}, "a") as calls:
    calls.write(json.dumps(said) + "\\n")
said = said[said.index("history"):]
if said[1] == "ls":
    for record in records:
        print(json.dumps(record))
if said[1] == "inspect":
    platforms = [each["for"] for each in records if each["ref"].endswith("/" + said[-1])]
    print(json.dumps(dict(Platform=platforms)))
"""


def record(ref, platform="linux/arm64", status="Error", at=AFTER):
    return {"ref": f"near/near0/{ref}", "for": platform, "status": status, "created_at": at}


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """Make a docker whose buildx has these records; returns its calls."""
    monkeypatch.setenv("PATH", str(tmp_path))
    calls = tmp_path / "calls"

    def make(*records):
        script = tmp_path / "docker"
        text = DOCKER.format(python=sys.executable, records=list(records), calls=str(calls))
        script.write_text(text)
        script.chmod(0o755)
        return lambda: [json.loads(line) for line in calls.read_text().splitlines()]

    return make


@pytest.mark.parametrize(
    ("records", "found"),
    [
        ((), None),
        ((record("a"),), "near/near0/a"),
        ((record("a", status="Completed"),), None),
        ((record("a", status="Running"), record("b")), "near/near0/b"),
        ((record("a", at=BEFORE),), None),
        ((record("a", "linux/amd64"), record("b")), "near/near0/b"),
        ((record("a"), record("b")), None),  # nothing tells which one it was
        ((record("a", at="yesterday"), {"ref": None}, ["list"]), None),
    ],
)
def test_it_is_the_only_one_of_its_platform_that_failed_since_then(docker, records, found):
    docker(*records)
    assert failed_build((), None, ARM, SINCE) == found


def test_the_builder_is_asked_that_built(docker):
    calls = docker(record("a"))
    assert failed_build(("--context=far",), "near", ARM, SINCE) == "near/near0/a"
    start = ["--context=far", "buildx", "history"]
    assert calls() == [
        [*start, "ls", "--builder=near", "--format=json", "--no-trunc"],
        [*start, "inspect", "--builder=near", "--format=json", "a"],
    ]


def test_an_older_buildx_has_no_history(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    script = tmp_path / "docker"
    script.write_text("#!/bin/sh\necho 'Usage:  docker buildx [OPTIONS] COMMAND'\n")
    script.chmod(0o755)
    assert failed_build((), None, ARM, SINCE) is None


def test_the_command_has_what_history_finds_a_build_by():
    assert history_command("near/near0/abc", None) == "docker buildx history logs abc"
    assert (
        history_command("near/near0/abc", "near", ("--context=far",))
        == "docker --context=far buildx history logs --builder=near abc"
    )
