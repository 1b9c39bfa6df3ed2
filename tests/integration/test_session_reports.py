"""Reports of real builds and runs: alone and with workers."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
from importlib.resources import files

import jsonschema
import pytest

from pytest_dockerbin.report import FORMATS

pytestmark = [pytest.mark.engine, pytest.mark.any_engine]

PLATFORMS = ("linux/amd64", "linux/arm/v7", "linux/arm64")

# the build for one platform fails in a step that runs a program of the target platform
DOCKERFILE = """\
FROM scratch AS build
ARG TARGETARCH
COPY busybox-${TARGETARCH} /bin/busybox
SHELL ["/bin/busybox", "sh", "-c"]
RUN /bin/busybox mkdir /out && /bin/busybox cp /bin/busybox /out/
RUN if [ "$TARGETARCH" = arm ]; then echo no atomics here; exit 3; fi
FROM scratch
COPY --from=build /out/ /
"""

TESTS = """
import pytest

@pytest.mark.parametrize("word", ["a", "b"])
def test_echo(dockerbin_binary, word):
    assert dockerbin_binary.run("busybox", "echo", word).stdout == word + "\\n"

def test_fails_on_arm64(dockerbin_binary):
    run = dockerbin_binary.run("busybox", "uname", "-m")
    assert run.stdout != "aarch64\\n"
"""


def told(report):
    """What of a report does not depend on when and where a test ran."""
    return sorted((test["node"], test["platform"], test["outcome"]) for test in report["tests"])


@pytest.fixture
def suite(project):
    project.dockerfile(DOCKERFILE)
    project.pytester.makepyfile(test_suite=TESTS)
    return project


def test_a_session_of_three_platforms_is_told_in_every_format(suite):
    reports = [f"--dockerbin-report=out/report{suffix}" for suffix in FORMATS]
    where = [f"--dockerbin-platforms={','.join(PLATFORMS)}", "-o", "dockerbin_frontend=builtin"]
    run = suite.run(*where, "--dockerbin-no-cache", *reports)
    run.assert_outcomes(passed=5, failed=1, errors=3)
    folder = suite.pytester.path / "out"
    assert {each.suffix for each in folder.iterdir()} == set(FORMATS)
    report = json.loads((folder / "report.json").read_text())
    schema = json.loads(files("pytest_dockerbin.report").joinpath("schema.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(report)

    assert [each["platform"] for each in report["platforms"]] == list(PLATFORMS)
    builds = {build["platform"]: build for build in report["builds"]}
    assert [builds[each]["source"] for each in PLATFORMS] == ["built", "failed", "built"]
    assert [file["name"] for file in builds["linux/arm64"]["files"]] == ["busybox"]
    assert builds["linux/arm/v7"]["place"] == ["Dockerfile", 6]
    log = subprocess.run(
        shlex.split(re.search("^history:  (.*)$", builds["linux/arm/v7"]["text"], re.MULTILINE)[1]),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "no atomics here" in log.stdout + log.stderr
    (failed,) = [step for step in builds["linux/arm/v7"]["timeline"] if step["error"]]
    assert "no atomics here" in failed["name"]
    emulated = {
        each: any(step["emulated"] for step in builds[each]["timeline"]) for each in PLATFORMS
    }
    assert emulated["linux/arm64"] is not emulated["linux/amd64"]
    assert {t["reason"] for t in report["tests"] if t["platform"] == "linux/arm/v7"} == {
        builds["linux/arm/v7"]["reason"]
    }
    runs = [run for test in report["tests"] for run in test["runs"]]
    assert {run["stdout"] for run in runs if "echo" in run["args"]} == {"a", "b"}

    markdown = (folder / "report.md").read_text()
    assert markdown.startswith("### dockerbin: 5 passed, 1 failed, 3 errors on 3 platforms")
    assert "no atomics here" in markdown
    assert "ERROR 2/2" in (folder / "report.svg").read_text()
    page = (folder / "report.html").read_text()
    assert "ERROR 2/2" in page
    assert "no atomics here" in page

    suite.run("-n2", *where, "--dockerbin-report=with-workers.json")
    shared = json.loads((suite.pytester.path / "with-workers.json").read_text())
    jsonschema.Draft202012Validator(schema).validate(shared)
    assert told(shared) == told(report)
    assert [build["platform"] for build in shared["builds"]] == list(PLATFORMS)
    assert [len(build["files"]) for build in shared["builds"]] == [1, 0, 1]
