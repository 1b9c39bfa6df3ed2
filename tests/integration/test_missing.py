"""Where a part of the machine is missing, ``--dockerbin-missing`` decides; the cure is named."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

TWELVE_TESTS = """
    import pytest

    @pytest.mark.parametrize("number", range(12))
    def test_runs(dockerbin_binary, number):
        pass
"""
NO_DAEMON = {"DOCKER_HOST": "unix:///nowhere/docker.sock"}


@pytest.mark.engine
def test_a_daemon_that_is_down_takes_few_lines_on_ci(project):
    """Twelve tests, one cause: at most 40 lines, the cure among them, and docker asked once."""
    project.dockerfile()
    project.pytester.makepyfile(test_twelve=TWELVE_TESTS)
    result = project.run(env={**NO_DAEMON, "CI": "1"})
    result.assert_outcomes(errors=12)
    assert len(result.outlines) <= 40
    result.stdout.fnmatch_lines(
        [
            "dockerbin: the Docker daemon does not answer (unix:///nowhere/*: No such file*)",
            "hint:     start it: systemctl start docker*",
            "dockerbin: 11 more errors have a cause that is told above",
        ]
    )
    assert len(project.builds()) == 1


@pytest.mark.engine
def test_a_daemon_that_is_down_skips_loudly_elsewhere(project):
    """The reason and the count stand at the end, without -rs."""
    project.dockerfile()
    project.pytester.makepyfile(test_twelve=TWELVE_TESTS)
    result = project.run(env=NO_DAEMON)
    result.assert_outcomes(skipped=12)
    result.stdout.fnmatch_lines(
        [
            "12 tests did NOT run: the Docker daemon does not answer (*",
            "CI would fail here (--dockerbin-missing=fail)",
        ]
    )
    assert len(project.builds()) == 1


@pytest.mark.engine
def test_a_platform_named_on_the_command_line_must_run(project):
    """Who asks for it by name wants no skip."""
    project.dockerfile()
    project.pytester.makepyfile(test_twelve=TWELVE_TESTS)
    named = "--dockerbin-platforms=linux/amd64"
    project.run(named, env=NO_DAEMON).assert_outcomes(errors=12)
    project.run(named, "--dockerbin-missing=skip", env=NO_DAEMON).assert_outcomes(skipped=12)
    variable = {**NO_DAEMON, "PYTEST_DOCKERBIN_MISSING": "fail"}
    project.run(env=variable).assert_outcomes(errors=12)


def test_no_docker_command(project, monkeypatch):
    """The cure is named; nothing is built."""
    monkeypatch.setenv("PATH", str(Path(os.devnull).parent / "no-such-folder"))
    project.dockerfile()
    project.pytester.makepyfile(test_twelve=TWELVE_TESTS)
    result = project.run("--dockerbin-missing=fail")
    result.assert_outcomes(errors=12)
    result.stdout.fnmatch_lines(
        [
            "dockerbin: the docker command is not on PATH",
            "hint:     install Docker Engine with buildx (*",
        ]
    )


def test_no_buildx_plugin(project, tmp_path):
    """Docker's own words for it are "unknown flag"; ours name the package to install."""
    (tmp_path / "bin" / "docker").write_text(
        "#!/bin/sh\n"
        '[ "$2" = version ] && echo "docker: unknown command: docker buildx" >&2 && exit 1\n'
        'echo "unknown flag: --platform" >&2\n'
        "exit 125\n"
    )
    project.dockerfile()
    project.pytester.makepyfile(test_twelve=TWELVE_TESTS)
    result = project.run("--dockerbin-missing=fail")
    result.assert_outcomes(errors=12)
    result.stdout.fnmatch_lines(
        [
            "dockerbin: docker has no buildx plugin (docker: unknown command: docker buildx)",
            "hint:     install it: apt-get install docker-buildx-plugin *",
        ]
    )


@pytest.mark.engine
def test_a_platform_that_this_host_cannot_execute(project):
    """A test that runs the program is skipped, or an error on CI; one that inspects it passes."""
    project.dockerfile("FROM scratch\nCOPY <<EOT /note\nfor ${TARGETARCH}\nEOT\n")
    project.pytester.makepyfile(
        test_foreign="""
        import pytest

        pytestmark = pytest.mark.platform("freebsd/amd64")

        def test_runs(dockerbin_binary):
            pass

        def test_looks(dockerbin):
            assert (dockerbin / "note").exists()
        """
    )
    result = project.run()
    result.assert_outcomes(passed=1, skipped=1)
    result.stdout.fnmatch_lines(
        ["1 test did NOT run: freebsd/amd64 programs can't be run on this*"]
    )
    project.run(env={"CI": "1"}).assert_outcomes(passed=1, errors=1)


@pytest.mark.engine
@pytest.mark.alone
def test_an_emulator_that_is_switched_off_is_noticed(project):
    """What is registered does not count, but what a tiny program does."""
    handler = Path("/proc/sys/fs/binfmt_misc/qemu-s390x")
    if os.geteuid() != 0 or not handler.exists():
        pytest.skip("needs root and a registered qemu-s390x handler to switch off")
    project.dockerfile("FROM scratch\nCOPY busybox-s390x /\n")
    project.pytester.makepyfile(
        test_s390x="""
        import pytest

        @pytest.mark.platform("linux/s390x")
        def test_runs(dockerbin_binary):
            result = dockerbin_binary.run()
            assert result.returncode == 0
            print(f"ran by {result.runner}")
        """
    )
    project.run("-s").stdout.fnmatch_lines(["*ran by binfmt*"])
    handler.write_text("0")
    try:
        by_name = project.run("-s")
        result = project.run("--dockerbin-runner=binfmt")
    finally:
        handler.write_text("1")
    if shutil.which("qemu-s390x-static"):
        by_name.stdout.fnmatch_lines(["*ran by qemu*"])
    else:
        by_name.stdout.fnmatch_lines(["*run on this host: binfmt: Exec *--install s390x*"])
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(
        [
            (
                "1 test did NOT run: linux/s390x programs can't be run by the runner 'binfmt': "
                "Exec format error; --dockerbin-runner=linux/s390x=auto tries *"
            ),
        ]
    )
    ran = 2 if shutil.which("qemu-s390x-static") else 1
    assert len(project.builds()) == ran, "nothing was built for the test that can't run"
