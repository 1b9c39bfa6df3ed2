"""What is missing is met while a test runs: ``--dockerbin-missing`` decides there too."""

from __future__ import annotations

import pytest

from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.runners.tiny import tiny_program

HOST = Platform.host()


@pytest.fixture(autouse=True)
def project(pytester, monkeypatch, tmp_path):
    """A prebuilt program, and a runner for none."""
    for name in ("CI", "BUILD_NUMBER", "PYTEST_DOCKERBIN_PLATFORMS", "PYTEST_DOCKERBIN_RUNNER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_DOCKERBIN_CACHE_DIR", str(tmp_path / "cache"))
    folder = pytester.mkdir("dist") / HOST.slug
    folder.mkdir()
    (folder / "hello").write_bytes(tiny_program(HOST, 0))
    (folder / "hello").chmod(0o755)
    (pytester.path / "Dockerfile").write_text("FROM scratch\n")
    pytester.makeini(f"[pytest]\naddopts = --dockerbin-prebuilt={folder.parent}\n")
    monkeypatch.setenv("PYTEST_DOCKERBIN_RUNNER", "none")
    pytester.makepyfile(
        """
        import pytest
        from pytest_dockerbin import EmulatorError

        def test_runs(dockerbin):
            dockerbin.binary().run()

        def test_expects_it(dockerbin):
            with pytest.raises(EmulatorError):
                dockerbin.binary().run()

        def test_compares(dockerbin_matrix):
            for artifact in dockerbin_matrix.values():
                artifact.binary().run()
        """
    )


SAID = f"{HOST} programs are not run here: their runner is 'none'"


@pytest.mark.parametrize("missing", ["auto", "skip"])
def test_it_skips_where_the_fixture_would(pytester, missing):
    result = pytester.runpytest(f"--dockerbin-missing={missing}")
    result.assert_outcomes(passed=1, skipped=2)
    result.stdout.fnmatch_lines([f"2 tests did NOT run: {SAID}"])
    assert ("CI would fail here" in result.stdout.str()) == (missing == "auto")


@pytest.mark.parametrize("how", ["--dockerbin-missing=fail", f"--dockerbin-platforms={HOST}"])
def test_it_fails_where_the_fixture_would_with_the_line_of_the_test(pytester, how):
    result = pytester.runpytest(how)
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(
        [">*dockerbin.binary().run()", f"E *EmulatorError: {SAID}", "test_*.py:*: EmulatorError"]
    )
    assert "session.py" not in result.stdout.str()


def test_an_error_that_is_remembered_has_the_traceback_of_its_own_test(pytester):
    pytester.makepyfile(
        "\n".join(
            f"def test_{name}(dockerbin):\n    dockerbin.binary().run()\n"
            for name in ("one", "two", "three")
        )
    )
    result = pytester.runpytest("--dockerbin-missing=fail", "--tb=native")
    result.assert_outcomes(failed=3)
    lines = [line.rpartition(", in ")[2] for line in result.outlines if ", in test_" in line]
    assert lines == ["test_one", "test_two", "test_three"]
