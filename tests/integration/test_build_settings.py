"""Where build settings come from, and how they add up."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.engine

ANSWER = "FROM scratch\nARG ANSWER=default\nCOPY <<EOT /answer\n${ANSWER}\nEOT\n"


def test_overridden_defaults_hold_below_their_conftest(project):
    """Two folders, two conftests: each folder's tests get its own build, by its own paths."""
    for name in ("one", "two"):
        folder = project.pytester.mkdir(name)
        folder.joinpath("app").mkdir()
        folder.joinpath("app", "Dockerfile").write_text(ANSWER)
        folder.joinpath("conftest.py").write_text(
            "import pytest\n"
            "@pytest.fixture(scope='session')\n"
            "def dockerbin_defaults(dockerbin_defaults):\n"
            "    return {**dockerbin_defaults, 'context': 'app',\n"
            f"            'dockerfile': 'app/Dockerfile', 'build_args': {{'ANSWER': '{name}'}}}}\n"
        )
        folder.joinpath(f"test_{name}.py").write_text(
            "def test_answer(dockerbin):\n"
            f"    assert (dockerbin / 'answer').read_text() == '{name}\\n'\n"
        )
    project.run("one", "two").assert_outcomes(passed=2)
    project.run("one", "two", "-n2").assert_outcomes(passed=2)


def test_nested_defaults_hold_where_they_are_said(project):
    """For the tests of their folder only, for `dockerbin_build` as well, and by their own paths."""
    override = (
        "import pytest\n"
        "@pytest.fixture(scope='session')\n"
        "def dockerbin_defaults(dockerbin_defaults):\n"
        "    return {{**dockerbin_defaults, {}}}\n"
    )
    test = (
        "def test_fixture(dockerbin):\n"
        "    assert (dockerbin / 'answer').read_text() == '{0}\\n'\n"
        "def test_call(dockerbin_build):\n"
        "    assert (dockerbin_build() / 'answer').read_text() == '{0}\\n'\n"
    )
    for name, says, answer in (
        ("a", "'context': 'app'", "default"),
        ("a/in", "'build_args': {'ANSWER': 'in'}", "in"),
        ("b", "'context': '../a/app'", "default"),
    ):
        folder = project.pytester.mkdir(name)
        (folder / "conftest.py").write_text(override.format(says))
        (folder / f"test_{folder.name}.py").write_text(test.format(answer))
    project.pytester.mkdir("a/app").joinpath("Dockerfile").write_text(ANSWER)
    for folders in (["a", "b"], ["a/in", "a", "b"]):
        project.run(*folders).assert_outcomes(passed=6)


def test_the_ini_file_sets_what_markers_do_not(project):
    """The marker's key wins, the others stay the ini file's."""
    project.pytester.mkdir("app").joinpath("x.Dockerfile").write_text(
        ANSWER.replace("scratch", "scratch AS first")
        + "FROM scratch AS other\nCOPY <<EOT /other\nEOT\n"
    )
    project.pytester.makeini(
        "[pytest]\n"
        "dockerbin_context = app\n"
        "dockerbin_dockerfile = app/x.Dockerfile\n"
        "dockerbin_target = first\n"
        "dockerbin_build_args =\n"
        "    ANSWER=from = ini\n"
    )
    project.pytester.makepyfile(
        """
        import pytest

        def test_ini(dockerbin):
            assert (dockerbin / "answer").read_text() == "from = ini\\n"

        @pytest.mark.dockerbin(target="other")
        def test_marker(dockerbin):
            assert [file.name for file in dockerbin.files] == ["other"]
        """
    )
    project.run().assert_outcomes(passed=2)


def test_auto_is_what_can_be_built_and_run_here(project):
    """Foreign platforms with an emulator are in it, each id is one platform."""
    project.dockerfile(ANSWER)
    project.pytester.makepyfile("def test_answer(dockerbin): pass")
    result = project.run("--dockerbin-platforms=auto", "-v", "-n2")
    result.stdout.fnmatch_lines(["dockerbin: auto (from --dockerbin-platforms)"])
    for platform in ("linux/amd64", "linux/arm64"):
        assert f"test_answer[{platform}]" in result.stdout.str()
    assert result.ret == 0


def test_a_missing_dockerfile_is_one_line_with_a_hint(project):
    """No docker is started for it."""
    project.pytester.mkdir("app").joinpath("x.Dockerfile").write_text(ANSWER)
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.dockerbin(context="app", dockerfile="x.Dockerfile")
        def test_answer(dockerbin): pass
        """
    )
    result = project.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "dockerbin: @pytest.mark.dockerbin: dockerfile: there is no file '*/x.Dockerfile'",
            "hint:     there is '*/app/x.Dockerfile'",
        ]
    )
    assert project.builds() == []


def test_several_executables_must_be_told_apart(project):
    """What was exported is listed, and how to name one."""
    project.dockerfile("FROM scratch\nCOPY busybox-amd64 /one\nCOPY busybox-amd64 /bin/two\n")
    project.pytester.makepyfile("def test_runs(dockerbin_binary): pass")
    result = project.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "dockerbin: the export for linux/amd64 does not hold exactly one executable",
            "exported:",
            "  bin/two (* bytes, mode 755, program)",
            "  one (* bytes, mode 755, program)",
            "hint:     name it: @pytest.mark.dockerbin(binary=*",
        ]
    )


def test_a_build_that_takes_too_long_is_ended(project):
    """The step that was running and the option are named; no docker client is left."""
    project.dockerfile(
        "FROM scratch\n"
        "COPY busybox-amd64 /bin/busybox\n"
        'RUN ["/bin/busybox", "sh", "-c", "/bin/busybox date; /bin/busybox sleep 600"]\n'
    )
    project.pytester.makepyfile("def test_runs(dockerbin): pass")
    result = project.run("--dockerbin-build-timeout=3")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "dockerbin: build for linux/amd64 took longer than 3 s and was ended during [[]*",
            "hint:     --dockerbin-build-timeout sets the limit, in seconds",
        ]
    )
    running = project.pytester.run("ps", "-eo", "args").stdout.str()
    assert str(project.pytester.path) not in running
