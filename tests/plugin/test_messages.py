"""Mistakes and what is missing, in the words and at the places that users see; nothing builds."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest


@pytest.fixture(autouse=True)
def surroundings(pytester, monkeypatch, tmp_path):
    for name in ("CI", "BUILD_NUMBER", "PYTEST_DOCKERBIN_PLATFORMS", "PYTEST_DOCKERBIN_RUNNER"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_DOCKERBIN_CACHE_DIR", str(tmp_path / "cache"))
    pytester.path.joinpath("Dockerfile").write_text("FROM scratch AS bin\n")


def usage_error(result):
    """Return the one line of a run that was refused."""
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    [line] = [line for line in result.errlines if line]
    return line.removeprefix("ERROR: dockerbin: ")


# -- markers and fixtures -------------------------------------------------------------------------

WRONG_MARKER = """
    import pytest

    def test_fine(): pass

    @pytest.mark.platform("linux/amd46")
    def test_wrong(dockerbin): pass
"""


@pytest.mark.parametrize("args", [(), ("-n2",), ("--tb=native", "-l")])
def test_a_wrong_marker_is_told_once_with_its_test_and_line(pytester, args):
    pytester.makepyfile(test_it=WRONG_MARKER)
    result = pytester.runpytest_subprocess(*args)
    result.assert_outcomes(errors=1)
    told = [line for line in result.outlines if line.startswith("dockerbin: @pytest.mark")]
    assert told == [
        (
            "dockerbin: @pytest.mark.platform: unknown platform 'linux/amd46'; did you mean "
            "'linux/amd64'? (test_wrong, test_it.py:5)"
        )
    ]
    for words in ("During handling", "Traceback", "pytest_dockerbin/"):
        assert words not in result.stdout.str()


@pytest.mark.parametrize(
    ("source", "message"),
    [
        (
            """
            import pytest

            @pytest.fixture(scope="session")
            def dockerbin_defaults(): return ["x"]

            def test_x(dockerbin): pass
            """,
            "dockerbin_defaults: expected a mapping of build settings, not a list",
        ),
        (
            """
            import pytest

            @pytest.mark.parametrize("dockerbin_platform", ["linux/arm65"], indirect=True)
            def test_x(dockerbin_platform): pass
            """,
            ("dockerbin_platform: unknown platform 'linux/arm65'; did you mean 'linux/arm64'?"),
        ),
        (
            """
            import pytest

            @pytest.mark.dockerbin(context="nowhere")
            def test_x(dockerbin): pass
            """,
            "@pytest.mark.dockerbin: context: there is no folder '*/nowhere'",
        ),
        (
            """
            import pytest

            @pytest.mark.dockerbin(dockerfile="Dokerfile")
            def test_x(dockerbin): pass
            """,
            "@pytest.mark.dockerbin: dockerfile: there is no file '*/Dokerfile'",
        ),
        (
            """
            import pytest_dockerbin

            other = pytest_dockerbin.fixture("nowhere")

            def test_x(other): pass
            """,
            "pytest_dockerbin.fixture: context: there is no folder '*/nowhere'",
        ),
        (
            """
            import pytest

            @pytest.fixture(scope="session")
            def dockerbin_defaults(): return {"dockerfile": "Dokerfile"}

            def test_x(dockerbin): pass
            """,
            "dockerbin_defaults: dockerfile: there is no file '*/Dokerfile'",
        ),
        (
            """
            import pytest

            @pytest.mark.dockerbin(sysroot_target="bni")
            def test_x(dockerbin): pass
            """,
            "sysroot_target: unknown stage 'bni'; did you mean 'bin'?",
        ),
    ],
)
def test_a_mistake_is_one_line_that_says_where_it_is(pytester, source, message):
    pytester.makepyfile(source)
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([f"dockerbin: {message}"])
    result.stdout.no_fnmatch_line("*pytest_dockerbin/*.py:*")


def test_where_nobody_said_where_the_dockerfile_is_the_hint_says_how(pytester):
    (pytester.path / "Dockerfile").unlink()
    pytester.makepyfile("def test_x(dockerbin): pass")
    result = pytester.runpytest()
    result.stdout.fnmatch_lines(
        [
            "dockerbin: dockerfile: there is no file '*/Dockerfile'",
            "hint:     the settings context and dockerfile say where it is",
        ]
    )


def test_a_context_without_a_dockerfile_names_who_said_the_context(pytester):
    pytester.mkdir("app")
    pytester.makeini("[pytest]\ndockerbin_context = app\n")
    pytester.makepyfile("def test_x(dockerbin): pass")
    result = pytester.runpytest()
    result.stdout.fnmatch_lines(
        ["dockerbin: ini dockerbin_context: there is no file '*/app/Dockerfile'"]
    )


@pytest.mark.parametrize(
    ("platform", "message"),
    [
        ("'auto'", "'auto' is not one platform; expected one, such as linux/arm64"),
        ("'linux/arm65'", "unknown platform 'linux/arm65'; did you mean 'linux/arm64'?"),
    ],
)
def test_a_built_platform_is_one(pytester, platform, message):
    pytester.makepyfile(f"def test_x(dockerbin_build): dockerbin_build('.', platform={platform})")
    result = pytester.runpytest()
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines([f"E *SettingsError: dockerbin_build: {message}"])


# -- options and ini keys -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("run_timeout", "x", "could not convert string to float: 'x'"),
        ("pull", "perhaps", "invalid truth value *"),
        ("platforms", "'", "No closing quotation"),
        ("runner", "'", "No closing quotation"),
        ("builder", "'", "No closing quotation"),
        ("build_args", "A", "build_args=['A']: expected NAME=VALUE lines"),
    ],
)
def test_what_an_ini_key_can_t_be_names_the_key(pytester, key, value, message):
    pytester.makeini(f"[pytest]\ndockerbin_{key} = {value}\n")
    pytester.makepyfile("def test_unrelated(): pass")
    line = usage_error(pytester.runpytest_subprocess())
    pytest.LineMatcher([line]).fnmatch_lines(
        [f"ini dockerbin_{key}: {message}".replace("[", "[[]")]
    )


def test_a_builder_s_wrong_platform_names_the_option(pytester):
    pytester.makepyfile("def test_unrelated(): pass")
    result = pytester.runpytest_subprocess("--dockerbin-builder=linux/amd46=x")
    assert usage_error(result) == (
        "--dockerbin-builder: unknown platform 'linux/amd46'; did you mean 'linux/amd64'?"
    )


def test_only_and_no_cache_exclude_one_another(pytester, monkeypatch):
    pytester.makepyfile("def test_unrelated(): pass")
    result = pytester.runpytest_subprocess("--dockerbin-cache=only", "--dockerbin-no-cache")
    said = "--dockerbin-no-cache always builds, and --dockerbin-cache=only never does"
    assert usage_error(result) == said
    monkeypatch.setenv("PYTEST_DOCKERBIN_CACHE", "only")
    result = pytester.runpytest_subprocess("--dockerbin-no-cache")
    said = "--dockerbin-no-cache always builds, and PYTEST_DOCKERBIN_CACHE=only never does"
    assert usage_error(result) == said


def test_the_header_names_where_the_cache_mode_and_its_folder_were_said(pytester, tmp_path):
    pytester.makeini("[pytest]\ndockerbin_cache = reuse\n")
    pytester.makepyfile("def test_x(dockerbin_platform): pass")
    result = pytester.runpytest("--dockerbin-platforms=linux/arm64")
    result.stdout.fnmatch_lines(
        [
            (
                "dockerbin: linux/arm64 (from --dockerbin-platforms); cache reuse (from ini "
                f"dockerbin_cache) in {tmp_path / 'cache'} (from PYTEST_DOCKERBIN_CACHE_DIR)"
            )
        ]
    )


# -- the cache folder -----------------------------------------------------------------------------


def test_only_with_a_cache_folder_that_can_t_be_used_tells_that(pytester):
    pytester.path.joinpath("file").touch()
    pytester.makepyfile("def test_x(dockerbin): pass")
    result = pytester.runpytest_subprocess("--dockerbin-cache=only", "--dockerbin-cache-dir=file")
    result.assert_outcomes(errors=1, warnings=1)
    result.stdout.fnmatch_lines(
        [
            (
                "dockerbin: --dockerbin-cache=only: no stored result of * for *: "
                "the cache folder '*/file' can't be used: File exists"
            ),
            "hint:     name another: --dockerbin-cache-dir=DIR",
            "  pytest-dockerbin:1: DockerbinWarning: the cache folder '*/file' can't be used: *",
        ]
    )
    result.stdout.no_fnmatch_line("*--dockerbin-cache=reuse*")
    result.stdout.no_fnmatch_line("*self._warn*")


# -- what did not run -----------------------------------------------------------------------------

MISSING = """
    import pytest

    @pytest.mark.dockerbin(secrets={"token": "env:NOT_SET"})
    def test_x(dockerbin): pass
"""


def test_a_skip_that_was_asked_for_gets_no_advice_to_skip(pytester, monkeypatch):
    monkeypatch.setenv("CI", "1")
    pytester.makepyfile(MISSING)
    result = pytester.runpytest("--dockerbin-missing=skip")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(
        ["1 test did NOT run: the secret 'token' is missing: the variable NOT_SET is not set"]
    )
    assert "--dockerbin-missing" not in result.stdout.str()


def test_a_skip_that_would_be_an_error_on_ci_says_so(pytester):
    pytester.makepyfile(MISSING)
    result = pytester.runpytest()
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["CI would fail here (--dockerbin-missing=fail)"])


def test_no_line_of_the_summary_ends_in_a_separator(pytester):
    """A platform that only dockerbin_matrix asks for has no tests of its own."""
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.platform("linux/arm64")
        @pytest.mark.dockerbin(secrets={"token": "env:NOT_SET"})
        def test_x(dockerbin_matrix): pass
        """
    )
    result = pytester.runpytest()
    result.stdout.fnmatch_lines(["linux/arm64: * not built (SecretError)"])


def test_emulated_false_says_why_nothing_is_left(pytester):
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.platform("linux/s390x", "linux/riscv64", emulated=False)
        def test_x(dockerbin): pass

        def test_y(dockerbin_platform): pass
        """
    )
    result = pytester.runpytest("-rs", "-v")
    result.assert_outcomes(skipped=1, passed=1)
    result.stdout.fnmatch_lines(
        ["*: dockerbin: linux/s390x,linux/riscv64 need an emulator here, and emulated=False"]
    )


def test_platforms_of_skipped_tests_are_not_in_the_header(pytester):
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.platform("linux/s390x")
        @pytest.mark.skip
        def test_x(dockerbin): pass

        @pytest.mark.platform("linux/riscv64")
        def test_y(dockerbin_platform): pass
        """
    )
    result = pytester.runpytest()
    assert "dockerbin: linux/riscv64" in result.outlines


# -- without pytest -------------------------------------------------------------------------------


def test_a_script_is_told_of_a_missing_dockerfile(pytester):
    pytester.path.joinpath("script.py").write_text(
        "from pathlib import Path\n"
        "from pytest_dockerbin import Builder, BuildSpec, Settings, SettingsError\n"
        "here = Path(__file__).parent\n"
        "with Builder(Settings(cache_dir=here / 'cache')) as builder:\n"
        "    for platform in ('linux/amd46', 'native'):\n"
        "        try:\n"
        "            builder.build(BuildSpec(context=here, dockerfile=here / 'no'), platform)\n"
        "        except SettingsError as error:\n"
        "            print(error.summary)\n"
    )
    run = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, check=True)
    pytest.LineMatcher(run.stdout.splitlines()).fnmatch_lines(
        [
            "unknown platform 'linux/amd46'; did you mean 'linux/amd64'?",
            "dockerfile: there is no file '*/no'",
        ]
    )


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_a_build_log_is_printed_once_on_ci_too(built_project, monkeypatch, workers):
    """There, pytest's short summary has all of each error's text, not just the first line."""
    monkeypatch.setenv("CI", "true")
    monkeypatch.setenv("FAKE_BROKEN", "linux/amd64")
    built_project.makepyfile(
        """
        def test_one(dockerbin):
            pass

        def test_two(dockerbin):
            pass
        """
    )
    lines = built_project.runpytest_subprocess(
        "--dockerbin-platforms=linux/amd64", *workers
    ).outlines
    assert sum(line.startswith("full log: ") for line in lines) == 1
    summary = lines[next(n for n, line in enumerate(lines) if "short test summary" in line) + 1 :]
    assert len(summary) == 3
    assert all(
        re.match(r"ERROR test_\S+ - (Failed: )?dockerbin: build failed for linux/amd64", line)
        for line in summary[:2]
    )
