"""``pytest_dockerbin.fixture`` as pytest collects it; nothing here builds."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def surroundings(pytester, monkeypatch, tmp_path):
    for name in ("CI", "BUILD_NUMBER", "PYTEST_DOCKERBIN_PLATFORMS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_DOCKERBIN_CACHE_DIR", str(tmp_path / "cache"))
    for name in ("server", "client"):
        pytester.mkdir(name).joinpath("Dockerfile").write_text("FROM scratch AS bin\n")


def collected(pytester, *args):
    """Return the ids that pytest collects, quietly."""
    result = pytester.runpytest("--collect-only", "-q", "-p", "no:cacheprovider", *args)
    return sorted(line.partition("::")[2] for line in result.outlines if "::" in line)


TESTS = """
    import pytest
    import pytest_dockerbin

    server = pytest_dockerbin.fixture("server", target="bin", binary="server")
    other = pytest_dockerbin.fixture("client", name="client")

    @pytest.mark.platform("linux/amd64", "linux/arm64")
    def test_both(server, client): pass

    @pytest.mark.platform("linux/s390x")
    class TestClass:
        own = pytest_dockerbin.fixture("client", build_args={"OWN": 1})

        def test_own(self, own): pass

        def test_through(self, through): pass

    @pytest.fixture
    def through(client): pass
"""


def test_a_test_runs_once_for_each_platform_however_many_builds_it_asks_for(pytester):
    pytester.makepyfile(TESTS)
    assert collected(pytester) == [
        "TestClass::test_own[linux/s390x]",
        "TestClass::test_through[linux/s390x]",
        "test_both[linux/amd64]",
        "test_both[linux/arm64]",
    ]
    assert collected(pytester, "--dockerbin-platforms=linux/arm64") == [
        "TestClass::test_own[linux/s390x]",  # skipped, visibly
        "TestClass::test_through[linux/s390x]",
        "test_both[linux/arm64]",
    ]


def test_a_named_build_of_a_conftest_is_for_all_below_it(pytester):
    pytester.makeconftest(
        """
        import pytest_dockerbin

        server = pytest_dockerbin.fixture("server")
        """
    )
    below = pytester.mkpydir("below")
    below.joinpath("test_below.py").write_text("def test_x(server): pass\n")
    assert collected(pytester, "--dockerbin-platforms=linux/arm64") == ["test_x[linux/arm64]"]


def test_a_fixture_that_overrides_a_named_build_is_left_alone(pytester):
    """It gets no parameter of ours, and may get one of the test's."""
    pytester.makeconftest("import pytest_dockerbin\nbuild = pytest_dockerbin.fixture('server')")
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def build(request):
            return getattr(request, "param", None)

        def test_without(build):
            assert build is None

        @pytest.mark.parametrize("build", [3], indirect=True)
        def test_with(build):
            assert build == 3
        """
    )
    pytester.runpytest().assert_outcomes(passed=2)


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("'server', traget='bin'", "unknown build setting 'traget'; did you mean 'target'?"),
        ("'server', target=3", "target=3: expected the name of a stage"),
        ("3", "context=3: expected a folder, *"),
        ("'server', name=1", "name=1: expected a name in Python"),
        ("'server', name='a b'", "name='a b': expected a name in Python"),
    ],
)
def test_a_wrong_setting_is_told_at_its_line(pytester, call, said):
    """As an error of the test file's collection, and for a conftest at once."""
    line = f"server = pytest_dockerbin.fixture({call})"
    pytester.makepyfile(f"import pytest_dockerbin\n{line}\ndef test_x(): pass")
    expected = [
        "test_*.py:2: in <module>",
        f"    {line}",
        f"E   pytest_dockerbin.errors.SettingsError: pytest_dockerbin.fixture: {said}",
    ]
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(expected)
    result.stdout.no_fnmatch_line("*fixtures.py*")
    pytester.makeconftest(f"import pytest_dockerbin\n{line}")
    result = pytester.runpytest_subprocess()
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["conftest.py:2: in <module>", *expected[1:]])
    result.stderr.no_fnmatch_line("*fixtures.py*")


@pytest.mark.parametrize("args", [(), ("--showlocals",), ("-vv", "--tb=long", "-l")])
def test_a_plain_secret_is_not_shown(pytester, monkeypatch, args):
    monkeypatch.setenv("TOKEN", "canary-4711")
    pytester.makepyfile(
        """
        import os
        import pytest_dockerbin

        server = pytest_dockerbin.fixture("server", secrets={"token": os.environ["TOKEN"]})
        """
    )
    result = pytester.runpytest(*args)
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*; what was given is not shown"])
    assert "canary-4711" not in result.stdout.str()


def test_a_missing_dockerfile_is_an_error_of_the_tests(pytester):
    """As for ``dockerbin``: what is on disk is looked at when a test is to run."""
    pytester.makepyfile(
        """
        import pytest_dockerbin

        server = pytest_dockerbin.fixture("no-such-folder")

        def test_x(server): pass
        """
    )
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["dockerbin: pytest_dockerbin.fixture: context: there is no folder '*/no-such-folder'"]
    )
    result.stdout.no_fnmatch_line("*Traceback*")


def test_a_missing_engine_is_decided_by_dockerbin_missing(pytester, monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    pytester.makepyfile(
        """
        import pytest_dockerbin

        server = pytest_dockerbin.fixture("server")

        def test_x(server): pass
        """
    )
    pytester.runpytest("--dockerbin-missing=skip").assert_outcomes(skipped=1)
    pytester.runpytest("--dockerbin-missing=fail").assert_outcomes(errors=1)


def test_a_script_that_calls_it_gets_a_fixture_that_is_not_to_be_called(pytester):
    pytester.makepyfile(
        """
        import pytest, pytest_dockerbin

        server = pytest_dockerbin.fixture("server")

        def test_x():
            with pytest.raises(pytest.fail.Exception, match="called directly"):
                server()
        """
    )
    pytester.runpytest().assert_outcomes(passed=1)


def test_it_is_listed_among_the_fixtures_of_its_file(pytester):
    pytester.makepyfile(TESTS)
    text = pytester.runpytest("--fixtures", "-p", "no:xdist").stdout.str()
    assert "fixtures defined from test_it_is_listed_among_the_fixtures_of_its_file" in text
    assert "server [session scope]" in text
    assert "What 'server', stage bin exports for this test's platform." in text


def planned(pytester, *args):
    """Return the table of builds that a verbose collection prints."""
    lines = pytester.runpytest("--collect-only", "-v", *args).outlines
    first = next(n for n, line in enumerate(lines) if line.startswith("fixture "))
    return [" ".join(line.split()) for line in lines[first : lines.index("", first)]]


def test_a_verbose_collection_lists_what_would_be_built(pytester):
    """Of tests that would run, once each."""
    pytester.makeini("[pytest]\ndockerbin_context = client\n")
    pytester.makepyfile(
        TESTS,
        test_more="""
        import pytest

        @pytest.mark.platform("linux/s390x", "linux/386")
        @pytest.mark.dockerbin(target="bin")
        def test_matrix(dockerbin_matrix): pass

        @pytest.mark.platform("linux/amd64")
        def test_plain(dockerbin_binary): pass

        @pytest.mark.skip
        def test_skipped(dockerbin): pass

        def test_own(dockerbin_build): pass
        """,
    )
    assert planned(pytester) == [
        "fixture build platforms",
        "client client/ linux/amd64, linux/arm64, linux/s390x",
        "dockerbin client/ linux/amd64",
        "dockerbin client/ --target bin linux/386, linux/s390x",
        "dockerbin_build what its tests ask for",
        "own client/ linux/s390x",
        "server server/ --target bin linux/amd64, linux/arm64",
    ]


def test_the_list_says_what_it_can_t_know(pytester):
    pytester.makepyfile(
        """
        import pytest
        import pytest_dockerbin

        server = pytest_dockerbin.fixture("server")
        missing = pytest_dockerbin.fixture("missing")

        @pytest.fixture(scope="session")
        def dockerbin_defaults():
            return {"context": "client"}

        @pytest.mark.platform("linux/amd64")
        def test_x(dockerbin, server, missing): pass
        """
    )
    says = "what dockerbin_defaults says"
    nowhere = f"context: there is no folder '{pytester.path}/missing'"
    assert planned(pytester) == [
        "fixture build platforms",
        f"dockerbin {says} linux/amd64",
        f"missing pytest_dockerbin.fixture: {nowhere}, and {says} linux/amd64",
        f"server server/, and {says} linux/amd64",
    ]


@pytest.mark.parametrize("args", [("-q",), (), ("-v", "-q")])
def test_other_collections_do_not_list_builds(pytester, args):
    pytester.makepyfile(TESTS)
    pytester.runpytest("--collect-only", *args).stdout.no_fnmatch_line("fixture *build*")


def test_without_builds_nothing_is_listed(pytester):
    pytester.makepyfile("def test_x(dockerbin_platform): pass")
    pytester.runpytest("--collect-only", "-v").stdout.no_fnmatch_line("fixture *build*")
