"""A value where its place should be named: refused, and shown by none of pytest's reports."""

from __future__ import annotations

import pytest

CANARY = "canary-4711"
EXPECTED = 'expected "env:NAME", "file:PATH" or pytest_dockerbin.Secret(...) for \'token\''


@pytest.fixture(autouse=True)
def token(pytester, monkeypatch):
    monkeypatch.setenv("TOKEN", CANARY)
    pytester.path.joinpath("Dockerfile").write_text("FROM scratch\n")


def test_a_plain_value_in_a_marker_is_one_line(pytester):
    pytester.makepyfile(
        """
        import os
        import pytest

        @pytest.mark.dockerbin(secrets={"token": os.environ["TOKEN"]})
        def test_it(dockerbin): pass
        """
    )
    result = pytester.runpytest("--showlocals")
    line = f"dockerbin: @pytest.mark.dockerbin: secrets: {EXPECTED}; what was given is not shown *"
    result.stdout.fnmatch_lines([line])
    assert CANARY not in result.stdout.str()


def test_a_plain_value_in_the_ini_file_is_one_line_and_exit_code_4(pytester):
    pytester.makeini(f"[pytest]\ndockerbin_secrets = token={CANARY}\n")
    pytester.makepyfile("def test_it(dockerbin): pass")
    result = pytester.runpytest_subprocess("--showlocals")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    [line] = [line for line in result.errlines if line]
    assert line.startswith(f"ERROR: dockerbin: ini dockerbin_secrets: secrets: {EXPECTED}; ")
    assert CANARY not in result.stdout.str() + line


@pytest.mark.parametrize("args", [(), ("--showlocals",), ("-vv", "-rA"), ("--tb=short", "-l")])
def test_a_plain_value_in_a_call_is_one_line(pytester, tmp_path, args):
    pytester.makepyfile(
        """
        import os

        def test_it(dockerbin_build):
            dockerbin_build(".", secrets={"token": os.environ["TOKEN"]})
        """
    )
    result = pytester.runpytest(f"--junitxml={tmp_path / 'junit.xml'}", *args)
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"E *SettingsError: dockerbin_build: secrets: {EXPECTED}; *"])
    assert CANARY not in result.stdout.str() + (tmp_path / "junit.xml").read_text()


def test_a_secret_in_a_marker_is_not_shown(pytester):
    """Neither as a parameter nor where pytest compares it."""
    pytester.makepyfile(
        """
        import os
        import pytest
        import pytest_dockerbin

        @pytest.mark.dockerbin(secrets={"token": pytest_dockerbin.Secret(os.environ["TOKEN"])})
        def test_parameter(dockerbin): pass

        def test_assertion():
            token = pytest_dockerbin.Secret(os.environ["TOKEN"])
            assert {"token": token} == {"token": pytest_dockerbin.Secret("other")}
        """
    )
    result = pytester.runpytest("--setup-plan", "-v")
    result.stdout.fnmatch_lines(["SETUP    S dockerbin (*BuildMarks*"])
    assert CANARY not in result.stdout.str()
    result = pytester.runpytest("--showlocals", "-vv", "-k", "assertion")
    result.assert_outcomes(failed=1, deselected=1)
    result.stdout.fnmatch_lines(["*{'token': Secret('[*][*][*]')} != {'token': *"])
    assert CANARY not in result.stdout.str()
