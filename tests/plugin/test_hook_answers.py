"""What hooks may answer; nothing here builds."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def surroundings(pytester, monkeypatch, tmp_path):
    for name in ("CI", "BUILD_NUMBER", "PYTEST_DOCKERBIN_PLATFORMS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_DOCKERBIN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))  # whoever asks for docker is told that it is missing
    pytester.path.joinpath("Dockerfile").write_text("FROM scratch\n")
    pytester.makepyfile("def test_one(dockerbin): pass\ndef test_two(dockerbin): pass")


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("3", "the result=3: expected build settings"),
        ("{'traget': 'x'}", "unknown build setting 'traget'; did you mean 'target'?"),
        ("{'target': 3}", "target=3: expected the name of a stage"),
    ],
)
def test_an_answer_that_makes_no_sense_is_an_error_of_the_tests(pytester, answer, said):
    pytester.makeconftest(f"def pytest_dockerbin_configure_build(): return {answer}")
    result = pytester.runpytest()
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines([f"dockerbin: pytest_dockerbin_configure_build: {said}"])
    result.stdout.no_fnmatch_line("*Traceback*")


def test_nothing_is_changed_without_an_answer(pytester):
    """The build goes on, to where docker is missing."""
    pytester.makeconftest("def pytest_dockerbin_configure_build(): return None")
    pytester.runpytest("--dockerbin-missing=skip").assert_outcomes(skipped=2)


def test_what_a_hook_raises_is_told_with_its_place(pytester):
    pytester.makeconftest("def pytest_dockerbin_configure_build(): raise KeyError('x')")
    result = pytester.runpytest()
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(
        [
            "dockerbin: the hook configure_build failed: KeyError: 'x'",
            "Traceback *",
            '*conftest.py", line 1, in pytest_dockerbin_configure_build',
        ]
    )


def test_a_hook_with_an_argument_that_there_is_not_is_refused_by_pytest(pytester):
    pytester.makeconftest("def pytest_dockerbin_build_started(nonsense): pass")
    result = pytester.runpytest_subprocess()
    assert result.ret != 0
    result.stderr.fnmatch_lines(["*Argument(s) {'nonsense'} are declared in the hookimpl*"])


def test_causes_are_not_counted_where_errors_are_not_shown(pytester):
    pytester.makeconftest("def pytest_dockerbin_configure_build(): raise KeyError('x')")
    result = pytester.runpytest("--tb=no")
    result.assert_outcomes(errors=2)
    result.stdout.no_fnmatch_line("*more error*")


@pytest.mark.parametrize("word", ["false", "no", "0"])
def test_checks_of_an_export_can_be_switched_off_in_the_ini_file(pytester, word):
    pytester.makeini(f"[pytest]\ndockerbin_verify = {word}\n")
    pytester.makeconftest("def pytest_dockerbin_configure_build(spec): raise KeyError(spec.verify)")
    pytester.runpytest().stdout.fnmatch_lines(
        ["dockerbin: the hook configure_build failed: KeyError: False"]
    )


def test_a_plan_is_told_although_a_hook_fails(pytester):
    pytester.makeconftest("def pytest_dockerbin_configure_build(): raise KeyError('x')")
    result = pytester.runpytest("--dockerbin-cache=reuse")
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["dockerbin: 1 build x 1 platform: 1 to build"])
