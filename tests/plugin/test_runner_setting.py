"""``--dockerbin-runner`` and its hook, as users meet them; nothing here builds."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def surroundings(monkeypatch, tmp_path):
    for name in ("CI", "BUILD_NUMBER", "PYTEST_DOCKERBIN_PLATFORMS", "PYTEST_DOCKERBIN_RUNNER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_DOCKERBIN_CACHE_DIR", str(tmp_path / "cache"))


@pytest.fixture
def binaries(pytester):
    """Tests for two platforms that would run programs."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.platform("linux/arm64", "linux/s390x")
        def test_x(dockerbin_binary): pass
        """
    )


def errors(result):
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    return [line for line in result.errlines if line]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("qmeu", "unknown runner 'qmeu'; did you mean 'qemu'?"),
        ("linux/amr64=qemu", "unknown platform 'linux/amr64'; did you mean 'linux/arm64'?"),
        ("arm64=qemu:x", "'qemu:x': expected options of qemu, such as qemu:-cpu cortex-a53"),
        ("'", '"\'": no closing quotation'),
        ("/no/such --x", "'/no/such --x': there is no executable file '/no/such'"),
        ("qemu=/no/such", "'qemu=/no/such': there is no executable file '/no/such'"),
        (
            "linux/*=qemu",
            "'linux/*' is not one platform; expected one, such as linux/arm64",
        ),
        ("auto=qemu", "'auto' is not one platform; expected one, such as linux/arm64"),
    ],
)
def test_a_bad_runner_is_one_line_and_exit_code_4(pytester, monkeypatch, value, message):
    pytester.makepyfile("def test_unrelated(): pass")
    result = pytester.runpytest_subprocess(f"--dockerbin-runner={value}")
    assert errors(result) == [f"ERROR: dockerbin: --dockerbin-runner: {message}"]
    monkeypatch.setenv("PYTEST_DOCKERBIN_RUNNER", value)
    result = pytester.runpytest_subprocess()
    assert errors(result) == [f"ERROR: dockerbin: PYTEST_DOCKERBIN_RUNNER: {message}"]


def header(result):
    return next(line for line in result.outlines if line.startswith("dockerbin: "))


def test_each_source_adds_what_those_before_it_leave_open(pytester, monkeypatch, binaries):
    pytester.makeini('[pytest]\ndockerbin_runner = linux/s390x=none "linux/arm64=qemu:-cpu max"\n')
    assert header(pytester.runpytest()) == (
        "dockerbin: linux/arm64 (qemu:-cpu max, from ini dockerbin_runner), "
        "linux/s390x (none, from ini dockerbin_runner)"
    )
    monkeypatch.setenv("PYTEST_DOCKERBIN_RUNNER", "linux/arm64=qemu:-cpu cortex-a53")
    assert header(pytester.runpytest()) == (
        "dockerbin: linux/arm64 (qemu:-cpu cortex-a53, from PYTEST_DOCKERBIN_RUNNER), "
        "linux/s390x (none, from ini dockerbin_runner)"
    )
    result = pytester.runpytest("--dockerbin-runner=arm64=none", "--dockerbin-runner=arm64=binfmt")
    assert header(result) == (
        "dockerbin: linux/arm64 (binfmt, from --dockerbin-runner), "
        "linux/s390x (none, from ini dockerbin_runner)"
    )
    assert header(pytester.runpytest("--dockerbin-runner=none")) == (
        "dockerbin: linux/arm64 (none, from --dockerbin-runner), "
        "linux/s390x (none, from --dockerbin-runner)"
    )


def test_this_machine_is_a_platform_too(pytester):
    pytester.makepyfile("def test_x(dockerbin_binary): pass")
    result = pytester.runpytest("--dockerbin-runner=native=none")
    result.assert_outcomes(skipped=1)
    assert header(result).endswith(" (none, from --dockerbin-runner)")


def test_a_skip_is_told_at_its_test(pytester, binaries):
    result = pytester.runpytest("--dockerbin-runner=none", "-rs")
    result.stdout.fnmatch_lines(["SKIPPED * *test_a_skip_is_told_at_its_test.py:3: dockerbin: *"])


def test_none_is_something_missing(pytester, binaries):
    """Nothing is built for it, and docker is not asked."""
    result = pytester.runpytest("--dockerbin-runner=none")
    result.assert_outcomes(skipped=2)
    result.stdout.fnmatch_lines(
        ["1 test did NOT run: linux/arm64 programs are not run here: their runner is 'none'"]
    )
    pytester.runpytest("--dockerbin-runner=none", "--dockerbin-missing=fail").assert_outcomes(
        errors=2
    )


@pytest.mark.parametrize("args", [(), ("-n2",)])
def test_a_hook_has_the_last_word_and_the_summary_names_it(pytester, binaries, args):
    pytester.makeconftest(
        """
        def pytest_dockerbin_make_runner(config, platform, spec):
            assert config.rootpath
            assert spec == "qemu=/bin/false"
            return "none" if platform.architecture == "arm64" else None
        """
    )
    result = pytester.runpytest("--dockerbin-runner=qemu=/bin/false", *args)
    result.assert_outcomes(skipped=2)
    result.stdout.fnmatch_lines_random(  # workers end in any order
        [
            "linux/arm64 (none, from pytest_dockerbin_make_runner): 1 skipped",
            "linux/s390x (qemu=/bin/false, from --dockerbin-runner): 1 skipped",
            "1 test did NOT run: linux/arm64 programs are not run here: their runner is 'none'",
            (
                "1 test did NOT run: linux/s390x programs can't be run by the runner "
                "'qemu=/bin/false': a tiny program ended with 1 instead of 42; *"
            ),
        ]
    )


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ("'qmeu'", "unknown runner 'qmeu'; did you mean 'qemu'?"),
        ("3", "the result=3: expected text such as 'qemu'"),
    ],
)
def test_a_hook_that_names_no_runner_is_an_error_of_the_tests(pytester, binaries, value, message):
    pytester.makeconftest(f"def pytest_dockerbin_make_runner(): return {value}")
    result = pytester.runpytest()
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines([f"*dockerbin: pytest_dockerbin_make_runner: {message}"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_all_xdist_workers_take_one_decision(pytester, tmp_path):
    """The runner is proved once: a command of the user's notes how often it was asked."""
    wrap = tmp_path / "wrap"
    wrap.write_text(f"#!/bin/sh\necho x >> {tmp_path}/asked\nexit 42\n")
    wrap.chmod(0o755)
    pytester.makepyfile(
        """
        import pytest
        from pytest_dockerbin.suite import suite_of

        @pytest.mark.parametrize("number", range(8))
        def test_x(request, dockerbin_platform, number):
            runner = suite_of(request.config).builder.runner(dockerbin_platform)
            assert runner.name == "wrap"
        """
    )
    args = ("-n4", "-p", "xdist", f"--dockerbin-runner={wrap}")
    pytester.runpytest_subprocess(*args).assert_outcomes(passed=8)
    assert (tmp_path / "asked").read_text() == "x\nx\n"  # that it runs, and whether QEMU answers
