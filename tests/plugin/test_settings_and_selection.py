"""Options, markers and ids as pytest shows them; nothing here builds."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def no_ci(monkeypatch):
    for name in ("CI", "BUILD_NUMBER", "PYTEST_DOCKERBIN_PLATFORMS"):
        monkeypatch.delenv(name, raising=False)


def collected(pytester, *args):
    """Return the ids that pytest collects, quietly."""
    result = pytester.runpytest("--collect-only", "-q", "-p", "no:cacheprovider", *args)
    return [line.partition("::")[2] for line in result.outlines if "::" in line]


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        (
            "--dockerbin-platforms=linux/amd46",
            (
                "ERROR: dockerbin: --dockerbin-platforms: unknown platform 'linux/amd46'; "
                "did you mean 'linux/amd64'?"
            ),
        ),
        (
            "--dockerbin-platforms=,",
            "ERROR: dockerbin: --dockerbin-platforms: expected platforms, such as linux/arm64",
        ),
        (
            "--dockerbin-build-timeout=soon",
            "ERROR: dockerbin: --dockerbin-build-timeout: 'soon' is not a positive number",
        ),
        (
            "--dockerbin-builder=arm64=",
            "ERROR: dockerbin: --dockerbin-builder: 'arm64=' is not [PLATFORM=]NAME of a builder",
        ),
    ],
)
def test_a_bad_option_is_one_line_and_exit_code_4(pytester, argument, message):
    pytester.makepyfile("def test_unrelated(): pass")
    result = pytester.runpytest_subprocess(argument)
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert [line for line in result.errlines if line] == [message]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "PYTEST_DOCKERBIN_MISSING",
            "maybe",
            (
                "ERROR: dockerbin: PYTEST_DOCKERBIN_MISSING: unknown value 'maybe'; "
                "known: auto, fail, skip"
            ),
        ),
        (
            "PYTEST_DOCKERBIN_CACHE",
            "reus",
            (
                "ERROR: dockerbin: PYTEST_DOCKERBIN_CACHE: unknown value 'reus'; "
                "did you mean 'reuse'?"
            ),
        ),
        (
            "PYTEST_DOCKERBIN_PLATFORMS",
            "arm65",
            (
                "ERROR: dockerbin: PYTEST_DOCKERBIN_PLATFORMS: unknown platform 'arm65'; "
                "did you mean 'arm64'?"
            ),
        ),
    ],
)
def test_a_bad_variable_is_one_line_too(pytester, monkeypatch, name, value, message):
    monkeypatch.setenv(name, value)
    pytester.makepyfile("def test_unrelated(): pass")
    result = pytester.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert [line for line in result.errlines if line] == [message]


def test_a_bad_ini_value_names_its_key(pytester):
    pytester.makeini("[pytest]\ndockerbin_build_timeout = -5\n")
    pytester.makepyfile("def test_unrelated(): pass")
    result = pytester.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    assert [line for line in result.errlines if line] == [
        "ERROR: dockerbin: ini dockerbin_build_timeout: -5.0 is not a positive number"
    ]


def test_a_bad_build_setting_of_the_ini_file_is_one_line_and_exit_code_4(pytester):
    pytester.makeini("[pytest]\ndockerbin_network = bridge\n")
    pytester.makepyfile("def test_it(dockerbin): pass")
    result = pytester.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    said = "ini dockerbin_network: network='bridge': expected one of default, host, none"
    assert [line for line in result.errlines if line] == [f"ERROR: dockerbin: {said}"]


def test_the_platform_is_the_first_part_of_the_id(pytester):
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", [1, 2])
        @pytest.mark.platform("arm64", "linux/arm", "X86_64")
        def test_x(dockerbin_binary, number): pass
        """
    )
    assert sorted(collected(pytester)) == [
        "test_x[linux/amd64-1]",
        "test_x[linux/amd64-2]",
        "test_x[linux/arm/v7-1]",
        "test_x[linux/arm/v7-2]",
        "test_x[linux/arm64-1]",
        "test_x[linux/arm64-2]",
    ]
    assert collected(pytester, "-k", "arm64 and 2") == ["test_x[linux/arm64-2]"]


def test_an_unmarked_test_runs_for_the_list_of_the_command_line(pytester):
    pytester.makeini("[pytest]\ndockerbin_platforms = linux/s390x\n")
    pytester.makepyfile("def test_x(dockerbin): pass")
    assert collected(pytester) == ["test_x[linux/s390x]"]
    args = ("--dockerbin-platforms=arm64,linux/amd64", "--dockerbin-platforms=linux/arm64")
    assert collected(pytester, *args) == ["test_x[linux/arm64]", "test_x[linux/amd64]"]


def test_the_variable_yields_to_the_command_line(pytester, monkeypatch):
    monkeypatch.setenv("PYTEST_DOCKERBIN_PLATFORMS", "linux/riscv64, linux/386")
    pytester.makepyfile("def test_x(dockerbin_platform): pass")
    assert collected(pytester) == ["test_x[linux/riscv64]", "test_x[linux/386]"]
    assert collected(pytester, "--dockerbin-platforms=arm64") == ["test_x[linux/arm64]"]


def test_the_nearest_marker_wins_and_several_add_up(pytester):
    pytester.makepyfile(
        """
        import pytest

        pytestmark = pytest.mark.platform("linux/386")

        def test_module(dockerbin): pass

        @pytest.mark.platform("linux/arm64")
        class TestClass:
            def test_class(self, dockerbin): pass

            @pytest.mark.platform("linux/s390x")
            @pytest.mark.platform("linux/amd64")
            def test_function(self, dockerbin): pass
        """
    )
    assert sorted(collected(pytester)) == [
        "TestClass::test_class[linux/arm64]",
        "TestClass::test_function[linux/amd64]",
        "TestClass::test_function[linux/s390x]",
        "test_module[linux/386]",
    ]


def test_a_pattern_matches_among_the_list_in_force(pytester):
    pytester.makeini("[pytest]\ndockerbin_platforms = linux/amd64 linux/arm64 linux/arm/v7\n")
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.platform("linux/arm*")
        def test_x(dockerbin): pass
        """
    )
    assert collected(pytester) == ["test_x[linux/arm64]", "test_x[linux/arm/v7]"]
    assert collected(pytester, "--dockerbin-platforms=arm64,386") == ["test_x[linux/arm64]"]


def test_nothing_in_common_is_one_visible_skip(pytester):
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.platform("linux/s390x")
        def test_x(dockerbin_binary): pass
        """
    )
    result = pytester.runpytest("--dockerbin-platforms=linux/arm64", "-rs", "-v")
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(
        [
            "*test_x[[]linux/s390x[]] SKIPPED*",
            "SKIPPED*dockerbin: linux/s390x not among --dockerbin-platforms=linux/arm64",
        ]
    )


def test_emulated_false_keeps_native_platforms(pytester):
    pytester.makepyfile(
        """
        import pytest
        from pytest_dockerbin import Platform

        @pytest.mark.platform("linux/s390x", "native", emulated=False)
        def test_x(dockerbin_platform):
            assert dockerbin_platform == Platform.host()
        """
    )
    pytester.runpytest().assert_outcomes(passed=1)


def test_a_foreign_platform_marker_is_left_alone(pytester):
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.platform("win32", "Windows 95", reason=3)
        def test_of_another_suite():
            pass
        """
    )
    pytester.runpytest("--strict-markers").assert_outcomes(passed=1)


def test_a_wrong_marker_is_one_line(pytester):
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.platform("linux/arm46")
        def test_x(dockerbin): pass
        """
    )
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            (
                "dockerbin: @pytest.mark.platform: unknown platform 'linux/arm46'; "
                "did you mean 'linux/arm64'? (test_x, *)"
            )
        ]
    )


def test_a_wrong_build_setting_names_the_closest(pytester):
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.dockerbin(traget="bin")
        def test_x(dockerbin): pass
        """
    )
    result = pytester.runpytest()
    result.stdout.fnmatch_lines(
        [
            (
                "dockerbin: @pytest.mark.dockerbin: unknown build setting 'traget'; "
                "did you mean 'target'? (test_x, *)"
            )
        ]
    )


def test_a_test_that_parametrises_the_platform_itself_is_left_to_do_so(pytester):
    pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("dockerbin_platform", ["linux/s390x", "arm64"], indirect=True)
        def test_x(dockerbin_platform):
            assert str(dockerbin_platform) in ("linux/s390x", "linux/arm64")
        """
    )
    result = pytester.runpytest("-v")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["*test_x[[]arm64[]] PASSED*"])


def test_the_word_native_is_this_machine(pytester):
    pytester.makepyfile(
        """
        import platform

        def test_x(dockerbin_platform):
            assert dockerbin_platform.native
            assert dockerbin_platform.os == "linux"
        """
    )
    pytester.runpytest().assert_outcomes(passed=1)


def test_unused_is_silent(pytester):
    pytester.makepyfile("def test_x(): pass")
    for args in ((), ("-v",), ("-n2",)):
        result = pytester.runpytest(*args)
        result.assert_outcomes(passed=1)
        assert [
            line
            for line in result.outlines
            if "dockerbin" in line and not line.startswith(("plugins:", "rootdir:", "metadata:"))
        ] == []


def test_paths_of_defaults_are_relative_to_the_file_that_says_them(pytester):
    """One mapping that two files return, and one that a nearer file takes over."""
    pytester.makepyfile(common="SAID = {'context': '.', 'secrets': {'token': 'file:token'}}")
    pytester.makeini("[pytest]\npythonpath = .\n")
    override = "import pytest\n@pytest.fixture(scope='session')\ndef dockerbin_defaults"
    shared = f"from common import SAID\n{override}(): return SAID\n"
    nested = f"{override}(dockerbin_defaults): return {{**dockerbin_defaults, 'target': 'bin'}}\n"
    test = (
        "def test_{}(dockerbin_defaults):\n"
        "    assert str(dockerbin_defaults['context']) == {!r}\n"
        "    assert dockerbin_defaults['secrets']['token'] == {!r}\n"
    )
    for name, said, base in (("a", shared, "a"), ("a/in", nested, "a"), ("b", shared, "b")):
        folder = pytester.mkdir(name)
        (folder / "conftest.py").write_text(said)
        at = pytester.path / base
        for number in "12":  # the second one's value is no new one
            module = f"test_{folder.name}{number}"
            text = test.format(number, str(at), f"file:{at / 'token'}")
            (folder / f"{module}.py").write_text(text)
    pytester.runpytest("-p", "no:cacheprovider").assert_outcomes(passed=6)


@pytest.mark.parametrize("args", [("-q",), ("--collect-only", "-q"), ("--collect-only",)])
def test_quiet_runs_and_collections_print_nothing_of_ours(pytester, args):
    pytester.makepyfile("def test_x(dockerbin_platform): pass")
    result = pytester.runpytest("--dockerbin-platforms=linux/arm64", *args)
    lines = [line for line in result.outlines if line.startswith(("dockerbin:", "=== dockerbin"))]
    assert lines == []


def test_fixtures_and_markers_are_listed_with_their_meaning(pytester):
    fixtures = pytester.runpytest("--fixtures", "-p", "no:xdist").stdout.str()
    for name in ("", "_binary", "_platform", "_matrix", "_build", "_defaults"):
        assert f"dockerbin{name} [session scope]" in fixtures
    markers = pytester.runpytest("--markers").stdout.str()
    assert "@pytest.mark.platform(*platforms, emulated=True)" in markers
    assert "@pytest.mark.dockerbin(**settings)" in markers


def test_help_names_every_option(pytester):
    text = pytester.runpytest("--help").stdout.str()
    for option in ("platforms", "missing", "cache-dir", "builder", "build-timeout"):
        assert f"--dockerbin-{option}" in text
