"""Several builds in one suite: ``pytest_dockerbin.fixture`` with the real engine."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.any_engine]

SERVER = """\
FROM scratch AS first
ARG TARGETARCH
COPY busybox-${TARGETARCH} /server
COPY busybox-${TARGETARCH} /client
FROM scratch AS other
ARG WHO=default
COPY <<EOT /who
${WHO}
EOT
"""


def test_builds_of_several_targets_are_for_the_same_platform_and_made_once(project):
    """Two of the three are equal but for the program that they name: one build."""
    project.dockerfile(SERVER)
    project.pytester.makepyfile(
        """
        import pytest
        import pytest_dockerbin

        server = pytest_dockerbin.fixture(".", target="first", binary="server")
        client = pytest_dockerbin.fixture(".", target="first", binary="client")

        @pytest.mark.platform("linux/amd64", "linux/arm64")
        class TestAll:
            who = pytest_dockerbin.fixture(".", target="other", build_args={"WHO": "me"})

            @pytest.mark.parametrize("number", [1, 2])
            def test_all(self, server, client, who, dockerbin_platform, number):
                assert server.platform == client.platform == who.platform == dockerbin_platform
                assert server.path == client.path
                assert server.binary().path.name == "server"
                assert client.binary().path.name == "client"
                assert (who / "who").read_text() == "me\\n"
        """
    )
    for args in ((), ("-n2",)):
        before = len(project.builds())
        result = project.run("--dockerbin-platforms=linux/amd64,linux/arm64", *args)
        result.assert_outcomes(passed=4)
        assert len(project.builds()) - before == 4
        result.stdout.fnmatch_lines(["linux/arm64: *who built in *; 2 passed"])
        told = [line for line in result.outlines if line.startswith("linux/arm64: ")]
        assert [line.count("server, client built in") for line in told] == [1]


def test_defaults_hold_below_its_settings_wherever_its_test_stands(project):
    """Overrides in two folders: each folder's tests get the one build with their defaults.

    The Dockerfile of the defaults is that of another context.
    """
    project.pytester.mkdir("app").joinpath("Dockerfile").write_text(SERVER)
    project.pytester.makeini("[pytest]\ndockerbin_dockerfile = Missing\ndockerbin_target = first\n")
    project.pytester.makeconftest(
        "import pytest_dockerbin\nwho = pytest_dockerbin.fixture('app', target='other')\n"
    )
    for name in ("one", "two"):
        folder = project.pytester.mkdir(name)
        folder.joinpath("conftest.py").write_text(
            "import pytest\n"
            "@pytest.fixture(scope='session')\n"
            "def dockerbin_defaults(dockerbin_defaults):\n"
            f"    return {{**dockerbin_defaults, 'build_args': {{'WHO': '{name}'}}}}\n"
        )
        folder.joinpath(f"test_{name}.py").write_text(
            "import pytest\n"
            "@pytest.mark.dockerbin(target='first')\n"
            f"def test_who(who):\n    assert (who / 'who').read_text() == '{name}\\n'\n"
        )
    project.pytester.path.joinpath("test_top.py").write_text(
        "def test_who(who): assert (who / 'who').read_text() == 'default\\n'\n"
    )
    project.run("one", "two", "test_top.py").assert_outcomes(passed=3)
    assert len(project.builds()) == 3


def test_a_program_that_a_test_changed_is_whole_for_the_next(project):
    project.dockerfile(SERVER)
    project.pytester.makepyfile(
        """
        import pytest
        import pytest_dockerbin

        server = pytest_dockerbin.fixture(".", target="first")

        @pytest.mark.parametrize("number", [1, 2])
        def test_spoil(server, number):
            path = server / "server"
            assert path.stat().st_size > 100
            path.unlink()
            path.write_text("spoilt")
        """
    )
    project.run().assert_outcomes(passed=2)


def test_a_failed_build_fails_the_tests_that_ask_for_it(project):
    project.dockerfile(SERVER)
    project.pytester.makepyfile(
        """
        import pytest_dockerbin

        good = pytest_dockerbin.fixture(".", target="first")
        bad = pytest_dockerbin.fixture(".", target="missing")

        def test_good(good): pass

        def test_bad(good, bad): pass
        """
    )
    result = project.run()
    result.assert_outcomes(passed=1, errors=1)
    (line,) = (line for line in result.outlines if line.endswith("; 1 passed, 1 error"))
    # in the order in which they began, which is chance
    assert "good built in " in line
    assert "bad not built (BuildError)" in line
