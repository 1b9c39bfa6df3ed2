"""Secrets on their way through the real BuildKit, and what is left of them in what is told."""

from __future__ import annotations

import base64
import hashlib

import pytest

pytestmark = pytest.mark.engine

CANARY = "canary-4711/+?,\"x'y"
DIGEST = hashlib.sha256(CANARY.encode()).hexdigest()
SUITE = f"""
import pathlib
import pytest
import pytest_dockerbin

@pytest.fixture
def fetched():
    return pytest_dockerbin.Secret(pathlib.Path("sub", "odd,name").read_text())

def arrived(artifact):
    assert (artifact / "hash").read_text() == "{DIGEST}  token\\n"
"""
VARIABLE = """
@pytest.mark.dockerbin(secrets={"token": "env:CANARY"})
def test_variable(dockerbin): arrived(dockerbin)
"""
FILE = """
@pytest.mark.dockerbin(secrets={"token": "file:sub/odd,name"})
def test_file(dockerbin): arrived(dockerbin)
"""
VALUE = """
def test_value(dockerbin_build, fetched):
    arrived(dockerbin_build(".", secrets={"token": fetched}))
"""

STEP = """\
FROM scratch AS build
COPY busybox-amd64 /bin/busybox
RUN --mount=type=secret,id=token \\
    ["/bin/busybox", "sh", "-c", "{command}"]
FROM scratch
COPY --from=build /hash /
"""
HASH = "cd /run/secrets; /bin/busybox sha256sum token > /hash"
PRINT = (
    "cd /run/secrets; PATH=/bin:/; busybox cat token; busybox echo; busybox base64 token;"
    " busybox printf user: | busybox cat - token | busybox base64 -w0"
)


@pytest.fixture
def secrets(project, monkeypatch):
    monkeypatch.setenv("CANARY", CANARY)
    project.pytester.mkdir("sub").joinpath("odd,name").write_text(CANARY)
    return project


@pytest.mark.parametrize("test", [VARIABLE, FILE, VALUE], ids=["variable", "file", "value"])
def test_a_secret_arrives(secrets, test):
    secrets.dockerfile(STEP.format(command=HASH))
    secrets.pytester.makepyfile(SUITE + test)
    secrets.run("--dockerbin-no-cache").assert_outcomes(passed=1)
    [build] = secrets.builds()
    assert not any("canary" in word for word in build)


def test_the_ini_file_names_secrets_too(secrets):
    secrets.dockerfile(STEP.format(command=HASH))
    secrets.pytester.makeini("[pytest]\ndockerbin_secrets = token=file:sub/odd,name\n")
    secrets.pytester.makepyfile(SUITE + "def test_ini(dockerbin): arrived(dockerbin)")
    secrets.run("--dockerbin-no-cache").assert_outcomes(passed=1)


@pytest.mark.parametrize("end", ["; exit 3", f"; {HASH}"], ids=["fails", "succeeds"])
@pytest.mark.parametrize("test", [VARIABLE, FILE, VALUE], ids=["variable", "file", "value"])
def test_a_step_that_prints_a_secret_shows_it_nowhere(secrets, tmp_path, test, end):
    secrets.dockerfile(STEP.format(command=PRINT + end))
    secrets.pytester.makepyfile(SUITE + test)
    junit = tmp_path / "junit.xml"
    result = secrets.run("--dockerbin-no-cache", "-rA", "--showlocals", f"--junitxml={junit}")
    assert result.ret == (1 if "exit" in end else 0)
    [log] = (tmp_path / "cache").rglob("*.log")
    told = [result.stdout.str() + result.stderr.str(), junit.read_text(), log.read_text()]
    encoded = base64.b64encode(CANARY.encode()).decode()
    for text in told:
        assert "canary" not in text
        assert encoded[:12] not in text
        assert base64.b64encode(f"user:{CANARY}".encode()).decode()[8:20] not in text
    assert log.read_text().count("***") == 3
    if "exit" in end:
        assert told[0].count("***") >= 3


# looks for the value among the arguments of every process of the machine
WATCH = """
import os, pathlib, threading

ended = threading.Event()

def watch(config):
    while not ended.wait(0.02):
        for file in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            try:
                words = file.read_bytes()
            except OSError:
                continue
            for name, part in (("seen", os.environb[b"CANARY"]), ("watched", b"metadata-file")):
                if part in words:
                    (config.rootpath / name).touch()

def pytest_dockerbin_build_started(config):
    ended.clear()
    threading.Thread(target=watch, args=[config], daemon=True).start()

def pytest_dockerbin_build_finished(config):
    ended.set()
"""
FAILS = """
@pytest.mark.dockerbin(secrets={"token": "env:CANARY"}, build_args={"END": "3"})
def test_fails(dockerbin): pass

@pytest.mark.dockerbin(secrets={"token": "env:CANARY"}, provenance="max")
def test_attested(dockerbin):
    assert not dockerbin.provenance["predicate"], "to have all of it in the reports"
"""
KEPT = ("html", "json", "md", "svg")


def test_nothing_that_is_left_of_a_session_holds_a_secret(secrets, tmp_path):
    """Cache, logs, reports of all kinds, what is shipped, argv: though the step prints it."""
    step = STEP.format(command=f"{PRINT}; {HASH}; exit $END")
    secrets.dockerfile(step.replace("RUN", "ARG END=0\nRUN", 1))
    secrets.pytester.makeconftest(WATCH)
    secrets.pytester.makepyfile(SUITE + VARIABLE + FILE + VALUE + FAILS)
    args = [f"--dockerbin-report=report.{kind}" for kind in KEPT]
    args += ["--junitxml=junit.xml", "--showlocals", "-rA", "-v", "-n2", "--dockerbin-output=dist"]
    args += ["--dockerbin-cache=reuse", "--dockerbin-no-cache", "--dockerbin-progress=plain"]
    result = secrets.run(*args, env={"GITHUB_STEP_SUMMARY": str(tmp_path / "summary.md")})
    assert result.parseoutcomes().get("passed") == 3
    folder = secrets.pytester.path
    encoded = base64.b64encode(CANARY.encode())[:12]
    looked_at = set()
    for file in (*folder.rglob("*"), *tmp_path.rglob("*")):
        if not file.is_file() or file.name == "odd,name":
            continue
        content = file.read_bytes()
        assert b"canary" not in content, file
        assert encoded not in content, file
        looked_at.add(file.name)
    assert "canary" not in result.stdout.str() + result.stderr.str()
    assert {"junit.xml", "docker-calls", *(f"report.{kind}" for kind in KEPT)} <= looked_at
    assert any(name.endswith(".log") for name in looked_at)
    assert (folder / "watched").exists()
    assert not (folder / "seen").exists()


def test_a_secret_that_is_missing_is_said_before_anything_is_built(project, monkeypatch):
    """Missing as a daemon can be: on CI it is an error, on a person's machine a loud skip."""
    monkeypatch.delenv("CANARY", raising=False)
    project.dockerfile(STEP.format(command=HASH))
    project.pytester.makepyfile(SUITE + VARIABLE)
    line = "the secret 'token' is missing: the variable CANARY is not set"
    result = project.run("-rs")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines([f"*1 test did NOT run: {line}"])
    result = project.run(env={"CI": "true", "CANARY": ""})
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"dockerbin: {line.replace('not set', 'empty')}"])
    assert project.calls() == []


def test_a_stored_result_serves_whatever_the_value_is(secrets, monkeypatch):
    app = secrets.pytester.mkdir("app")
    (app / "Dockerfile").write_text(STEP.format(command=HASH))
    (secrets.pytester.path / "busybox-amd64").rename(app / "busybox-amd64")
    secrets.pytester.makeini("[pytest]\ndockerbin_context = app\n")
    secrets.pytester.makepyfile(SUITE + VARIABLE)
    secrets.run("--dockerbin-cache=reuse", "--dockerbin-no-cache").assert_outcomes(passed=1)
    monkeypatch.setenv("CANARY", "another")
    secrets.run("--dockerbin-cache=reuse").assert_outcomes(passed=1)
    monkeypatch.delenv("CANARY")
    secrets.run("--dockerbin-cache=only").assert_outcomes(passed=1)
    assert len(secrets.builds()) == 1  # the result of a build, though not of this value
