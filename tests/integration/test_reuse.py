"""The cache modes, with the real engine: when a stored result serves, and when it does not."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

pytestmark = pytest.mark.engine

THREE = """
    import hashlib, pathlib, pytest

    @pytest.mark.platform("linux/amd64", "linux/arm64", "linux/arm/v7")
    def test_runs(dockerbin_binary, dockerbin_platform):
        digest = hashlib.sha256(dockerbin_binary.path.read_bytes()).hexdigest()
        assert digest == dockerbin_binary.sha256
        with pathlib.Path("digests").open("a") as digests:
            print(dockerbin_platform, digest, file=digests)
"""


@pytest.fixture
def three(project, monkeypatch):
    """A project of three platforms that notes what its tests saw; the notes are no input.

    It has a folder of its own: pytester writes into the one that it is in.
    """
    folder = project.pytester.mkdir("three")
    for file in list(project.pytester.path.glob("busybox-*")):
        file.rename(folder / file.name)
    monkeypatch.chdir(folder)
    project.dockerfile(name="three/Dockerfile")
    (folder / "test_three.py").write_text(textwrap.dedent(THREE))
    (folder / "pytest.ini").write_text("[pytest]\n")
    (folder / ".dockerignore").write_text("digests\nignored\n")
    return project


def session(project, *args):
    """Run a session with pytest's own cache; return how many docker processes it started."""
    before = len(project.calls())
    result = project.pytester.runpytest_subprocess("--dockerbin-cache=reuse", *args)
    return result, len(project.calls()) - before


def test_a_second_session_starts_no_docker_and_sees_the_same_bytes(three):
    result, calls = session(three)
    result.assert_outcomes(passed=3)
    assert calls == 3
    result, calls = session(three)
    result.assert_outcomes(passed=3)
    assert calls == 0
    result.stdout.fnmatch_lines(["linux/arm64: * reused; 1 passed"])
    lines = Path("digests").read_text().splitlines()
    assert sorted(lines[:3]) == sorted(lines[3:])
    result, calls = session(three, "-n2")
    result.assert_outcomes(passed=3)
    assert calls == 0


def test_what_is_sent_decides(three):
    """A byte, a mode, a build argument, the Dockerfile; but not what .dockerignore leaves out."""
    path = Path.cwd()
    (path / "file").write_text("one")
    session(three)
    dockerfile = path / "Dockerfile"
    changes = {
        "a byte": (lambda: (path / "file").write_text("two"), 3),
        "a mode": (lambda: (path / "file").chmod(0o755), 3),
        "an ignored file": (lambda: (path / "ignored").write_text("x"), 0),
        "the Dockerfile": (lambda: dockerfile.write_text(dockerfile.read_text() + "#"), 3),
        "nothing": (lambda: None, 0),
    }
    for name, (change, expected) in changes.items():
        change()
        result, calls = session(three)
        result.assert_outcomes(passed=3)
        assert calls == expected, name
    (path / "pytest.ini").write_text("[pytest]\ndockerbin_build_args =\n    X=1\n")
    assert session(three)[1] == 3
    assert session(three)[1] == 0
    assert session(three, "--dockerbin-no-cache")[1] == 3


def test_only_never_builds(three):
    """A miss is an error that says what was looked for; a hit serves."""
    result = three.run("--dockerbin-cache=only")
    result.assert_outcomes(errors=3)
    result.stdout.fnmatch_lines(
        ["dockerbin: --dockerbin-cache=only: no stored result of * for linux/amd64: key *"]
    )
    assert three.calls() == []
    session(three)
    calls = len(three.calls())
    three.run("--dockerbin-cache=only").assert_outcomes(passed=3)
    assert len(three.calls()) == calls


def test_session_mode_asks_buildkit_every_time(three):
    three.run().assert_outcomes(passed=3)
    three.run().assert_outcomes(passed=3)
    assert len(three.builds()) == 6


def test_two_checkouts_of_one_content_share_results(three, tmp_path):
    session(three)
    other = tmp_path / "other-checkout"
    other.mkdir()
    for file in Path.cwd().iterdir():
        if file.is_file():
            (other / file.name).write_bytes(file.read_bytes())
            (other / file.name).chmod(file.stat().st_mode & 0o777)
    result, calls = session(three, f"--rootdir={other}", str(other))
    result.assert_outcomes(passed=3)
    assert calls == 0


def test_a_damaged_result_is_built_again(three, tmp_path):
    session(three)
    for file in (tmp_path / "cache" / "v1" / "entries").rglob("busybox"):
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    result, calls = session(three)
    result.assert_outcomes(passed=3)
    assert calls == 3
    result.stdout.fnmatch_lines(["linux/arm64: * (its stored result was damaged); 1 passed"])
    assert session(three)[1] == 0


def test_an_edit_during_the_build_is_not_stored(three, tmp_path):
    """The result serves its own session; the next one builds the new content."""
    path = Path.cwd()
    (path / "watched").write_text("before")
    shim = tmp_path / "bin" / "docker"
    shim.write_text(
        shim.read_text().replace(
            "os.execv", f"open({str(path / 'watched')!r}, 'a').write('x')\nos.execv"
        )
    )
    result, calls = session(three)
    result.assert_outcomes(passed=3)
    assert calls == 3
    assert list((tmp_path / "cache" / "v1").glob("entries/*/*")) == []


def test_a_manifest_says_nothing_of_values_that_could_be_secret(three, tmp_path):
    Path("pytest.ini").write_text("[pytest]\ndockerbin_build_args =\n    TOKEN=canary-4711\n")
    session(three)
    manifests = list((tmp_path / "cache" / "v1").glob("entries/*/*/manifest.json"))
    assert len(manifests) == 3
    for manifest in manifests:
        assert "canary" not in manifest.read_text()
        assert json.loads(manifest.read_text())["schema"] == 1
