"""The setting ``bake`` where docker is missing; nothing here builds."""

from __future__ import annotations

import pytest


@pytest.fixture(autouse=True)
def surroundings(pytester, monkeypatch, tmp_path):
    for name in ("CI", "BUILD_NUMBER", "PYTEST_DOCKERBIN_PLATFORMS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_DOCKERBIN_CACHE_DIR", str(tmp_path / "cache"))
    monkeypatch.setenv("PATH", str(tmp_path))
    pytester.path.joinpath("docker-bake.hcl").write_text("")
    pytester.mkdir("server").joinpath("Dockerfile").write_text("FROM scratch AS bin\n")


@pytest.mark.parametrize(
    ("missing", "outcomes"), [("skip", {"skipped": 3}), ("fail", {"errors": 2, "failed": 1})]
)
def test_dockerbin_missing_decides_and_the_collection_is_whole(pytester, missing, outcomes):
    pytester.makepyfile(
        """
        import pytest
        import pytest_dockerbin

        app = pytest_dockerbin.fixture(bake="docker-bake.hcl", target="app")

        def test_named(app): pass

        @pytest.mark.dockerbin(bake="docker-bake.hcl")
        def test_marked(dockerbin): pass

        def test_called(dockerbin_build):
            dockerbin_build(bake="docker-bake.hcl")

        def test_other(): pass
        """
    )
    result = pytester.runpytest(f"--dockerbin-missing={missing}", "-rs")
    result.assert_outcomes(passed=1, **outcomes)
    result.stdout.fnmatch_lines(["*the docker command is not on PATH*"])


def test_another_context_is_no_target_of_the_bake_file(pytester):
    """Bake is not even asked."""
    pytester.makeini("[pytest]\ndockerbin_bake = docker-bake.hcl\ndockerbin_target = app\n")
    pytester.makepyfile(
        """
        import pytest_dockerbin

        server = pytest_dockerbin.fixture("server")
        default = pytest_dockerbin.fixture(target="two")

        def test_x(server): pass

        def test_y(default): pass
        """
    )
    result = pytester.runpytest("--collect-only", "-v")
    result.stdout.fnmatch_lines(["default *docker command*", "server * server/ *"])


def test_the_file_of_a_named_build_is_told_among_the_fixtures(pytester):
    pytester.makepyfile(
        """
        import pytest_dockerbin

        app = pytest_dockerbin.fixture(bake="docker-bake.hcl", target="one")
        """
    )
    text = pytester.runpytest("--fixtures", "-p", "no:xdist").stdout.str()
    assert "What 'docker-bake.hcl', target one exports for this test's platform." in text


@pytest.mark.parametrize("value", ["3", "[]", "['docker-bake.hcl', 3]"])
def test_what_is_no_file_is_refused(pytester, value):
    pytester.makepyfile(f"import pytest_dockerbin\nx = pytest_dockerbin.fixture(bake={value})")
    result = pytester.runpytest()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["*bake=*: expected the path of a bake file, or a list of them"])
