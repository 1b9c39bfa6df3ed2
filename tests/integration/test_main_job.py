"""The main job, all of it for real: exported, checked, and run natively and under emulation."""

from __future__ import annotations

import re

import pytest

pytestmark = pytest.mark.engine


def test_three_platforms_without_any_configuration(project):
    """Each platform of the marker is built, exported and run; binfmt emulates two of them."""
    project.dockerfile()
    project.pytester.makepyfile(
        """
        import pytest, subprocess

        @pytest.mark.platform("linux/amd64", "linux/arm64", "linux/arm/v7")
        def test_uname(dockerbin_binary, dockerbin_platform):
            machine = {"amd64": "x86_64", "arm64": "aarch64", "arm": "armv7l"}
            wanted = machine[dockerbin_platform.architecture] + "\\n"
            command = ["busybox", "uname", "-m"]
            out = subprocess.check_output(command, executable=dockerbin_binary, text=True)
            assert out == wanted
            result = dockerbin_binary.run("uname", "-m")
            assert result.emulated is (dockerbin_platform.architecture != "amd64")
            assert result.runner == ("binfmt" if result.emulated else "native")
        """
    )
    result = project.run("-v")
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(
        [
            "dockerbin: linux/amd64 (native), linux/arm64, linux/arm/v7",
            "*::test_uname[[]linux/amd64[]] PASSED*",
            "*::test_uname[[]linux/arm64[]] PASSED*",
            "*::test_uname[[]linux/arm/v7[]] PASSED*",
            "*= dockerbin =*",
            "linux/amd64 (native): * built in *; 1 passed",
            "linux/arm64: * built in *; 1 passed",
            "linux/arm/v7: * built in *; 1 passed",
        ]
    )
    assert len(project.builds()) == 3


def test_the_command_line_narrows_a_marked_test(project):
    """Only what both name is built."""
    project.dockerfile()
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.platform("linux/amd64", "linux/arm64", "linux/arm/v7")
        def test_runs(dockerbin_binary):
            assert dockerbin_binary.run("true").returncode in (0, 127)
        """
    )
    result = project.run("--dockerbin-platforms=linux/arm64")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["dockerbin: linux/arm64 (from --dockerbin-platforms)"])
    assert [a for call in project.builds() for a in call if a.startswith("--platform")] == [
        "--platform=linux/arm64"
    ]


def test_here_documents_and_a_syntax_line_work_without_a_registry(project):
    """``frontend = "builtin"`` does not follow the line, and line numbers stay true."""
    project.dockerfile(
        "# syntax=docker/dockerfile:1\n"
        "# escape=`\n"
        "FROM scratch AS build\n"
        "ARG TARGETARCH\n"
        "COPY busybox-${TARGETARCH} /bin/busybox\n"
        "COPY <<EOT /script\n"
        "echo here\n"
        "EOT\n"
        "RUN [`\n"
        '  "/bin/busybox", "sh", "/script"]\n'
        "FROM scratch\n"
        "COPY --from=build /script /bin/busybox /\n"
        'ENTRYPOINT ["/busybox"]\n'
    )
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.dockerbin(frontend="builtin")
        @pytest.mark.platform("linux/arm64")
        def test_script(dockerbin, dockerbin_binary):
            assert (dockerbin / "script").read_text()== "echo here\\n"
            assert dockerbin_binary.path.name == "busybox"
        """
    )
    project.run().assert_outcomes(passed=1)


def test_a_failing_platform_costs_only_its_own_tests(project):
    """The others pass; the log of the failed one is printed once for its ten tests."""
    project.dockerfile(
        "FROM scratch AS build\n"
        "ARG TARGETARCH\n"
        "COPY busybox-${TARGETARCH} /bin/busybox\n"
        'RUN ["/bin/busybox", "sh", "-c", "[ $TARGETARCH != arm ] || { echo no arm; exit 3; }"]\n'
        "FROM scratch\n"
        "COPY --from=build /bin/busybox /\n"
    )
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", range(10))
        @pytest.mark.platform("linux/amd64", "linux/arm64", "linux/arm/v7")
        def test_runs(dockerbin_binary, number):
            assert dockerbin_binary.run().returncode == 0
        """
    )
    result = project.run()
    result.assert_outcomes(passed=20, errors=10)
    result.stdout.fnmatch_lines(
        [
            "dockerbin: build failed for linux/arm/v7: Dockerfile:4 RUN *(exit code 3)",
            "*>>> RUN*",
            "last * lines of the build log:",
            "command:  docker buildx build --platform=linux/arm/v7 *",
            "full log: *.log",
            "dockerbin: 9 more errors have a cause that is told above",
        ]
    )
    # BuildKit numbers steps by when it meets them
    assert len(re.findall(r"^  #\d+ no arm$", result.stdout.str(), re.MULTILINE)) == 1
    assert len(project.builds()) == 3


def test_a_dockerfile_that_ignores_targetarch_is_caught(project):
    """An amd64 program exported as linux/arm64 would even run here; it is an error all the same."""
    project.dockerfile("FROM scratch\nCOPY busybox-amd64 /tool\n")
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.platform("linux/amd64", "linux/arm64")
        def test_runs(dockerbin):
            assert dockerbin.binaries.keys() == {"tool"}
        """
    )
    result = project.run()
    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(
        [
            (
                "dockerbin: 'tool', exported for linux/arm64, is a 64-bit amd64 ELF file; "
                "expected an arm64 ELF file"
            ),
            "hint:     the usual cause is a stage that ignores TARGETARCH*",
        ]
    )


def test_workers_share_one_build_a_platform(project):
    """40 tests on 3 platforms with 4 workers: 3 builds."""
    project.dockerfile()
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", range(40))
        @pytest.mark.platform("linux/amd64", "linux/arm64", "linux/arm/v7")
        def test_runs(dockerbin_binary, number):
            assert dockerbin_binary.run("true").kind == "exited"
        """
    )
    result = project.run("-n4")
    result.assert_outcomes(passed=120)
    assert len(project.builds()) == 3
    result.stdout.fnmatch_lines(["linux/arm64: * built in *; 40 passed"])


def test_a_failed_build_is_tried_once_by_all_workers(project):
    """Nobody tries it again, and the log is printed once."""
    project.dockerfile("FROM scratch\nCOPY no-such-file /\n")
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", range(12))
        def test_runs(dockerbin, number):
            pass
        """
    )
    result = project.run("-n4")
    result.assert_outcomes(errors=12)
    assert len(project.builds()) == 1
    assert result.stdout.str().count("full log: ") == 1


def test_an_empty_export_is_an_error(project):
    """BuildKit calls it a success."""
    project.dockerfile("FROM scratch AS build\nCOPY busybox-amd64 /\nFROM scratch\n")
    project.pytester.makepyfile("def test_files(dockerbin): pass")
    result = project.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["dockerbin: the build for linux/amd64 exported nothing"])


def test_build_settings_of_the_marker_reach_buildx(project):
    """Target, build arguments, named contexts, network and the binary's name."""
    folder = project.pytester.path / "more"
    folder.mkdir()
    (folder / "note").write_text("of a named context")
    project.dockerfile(
        "FROM scratch AS bin\n"
        "ARG NAME=unset\n"
        "COPY busybox-amd64 /${NAME}\n"
        "COPY busybox-amd64 /other\n"
        "COPY --from=more note /share/note\n"
        "FROM scratch AS last\n",
        name="x.Dockerfile",
    )
    project.pytester.makepyfile(
        """
        import pytest

        pytestmark = pytest.mark.dockerbin(
            dockerfile="x.Dockerfile",
            target="last",
            build_contexts={"more": "more"},
            network="none",
        )

        @pytest.mark.platform("linux/amd64")
        @pytest.mark.dockerbin(target="bin", build_args={"NAME": "a b,c"}, binary="a b,c")
        def test_merged(dockerbin, dockerbin_binary):
            assert [f.name for f in dockerbin.files] == ["a b,c", "other", "share/note"]
            assert dockerbin_binary.path.name == "a b,c"
            assert (dockerbin / "share/note").read_text() == "of a named context"
        """
    )
    project.run().assert_outcomes(passed=1)


def test_the_factory_builds_what_a_test_asks_for(project):
    """Its paths are relative to the file that calls it; a failure can be caught."""
    folder = project.pytester.path / "app"
    folder.mkdir()
    (folder / "Dockerfile").write_text("FROM scratch\nARG TEXT\nCOPY <<EOT /text\n${TEXT}\nEOT\n")
    project.pytester.makepyfile(
        """
        import pytest
        import pytest_dockerbin

        def test_text(dockerbin_build):
            one = dockerbin_build("app", platform="linux/arm64", build_args={"TEXT": "one"})
            two = dockerbin_build("app", platform="arm64", build_args={"TEXT": "two"})
            assert (one / "text").read_text() == "one\\n"
            assert (two / "text").read_text() == "two\\n"
            assert str(one.platform) == "linux/arm64"

        def test_caught(dockerbin_build):
            with pytest.raises(pytest_dockerbin.BuildError) as caught:
                dockerbin_build("app", target="missing")
            assert caught.value.log_path.exists()
            assert "missing" in caught.value.summary
        """
    )
    project.run().assert_outcomes(passed=2)


def test_the_matrix_compares_platforms(project):
    """One test sees the artifacts of all platforms it asks for; its id has no parameter."""
    project.dockerfile()
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.platform("linux/amd64", "linux/arm64")
        def test_sizes(dockerbin_matrix):
            assert list(map(str, dockerbin_matrix)) == ["linux/amd64", "linux/arm64"]
            assert len({artifact.digest for artifact in dockerbin_matrix.values()}) == 2
        """
    )
    result = project.run("-v")
    result.assert_outcomes(passed=1)
    result.stdout.fnmatch_lines(["*::test_sizes PASSED*"])


def test_a_script_builds_without_pytest(project, tmp_path):
    """``Builder(settings).build(spec, platform)`` is all that it needs."""
    from pytest_dockerbin import Builder, BuildSpec, Platform, Settings  # noqa: PLC0415

    project.dockerfile()
    path = project.pytester.path
    spec = BuildSpec(context=path, dockerfile=path / "Dockerfile")
    with Builder(Settings(cache_dir=tmp_path / "own")) as builder:
        artifact = builder.build(spec, Platform.parse("arm64"))
        assert builder.build(spec, Platform.parse("linux/arm64/v8")) == artifact
    assert artifact.binary().run("true").emulated
    assert len(project.builds()) == 1


def test_files_are_readable_by_others_and_nothing_is_left_staged(project, tmp_path):
    """BuildKit's own 0700 folders do not stay, nor do half-made results."""
    project.dockerfile()
    project.pytester.makepyfile(
        """
        def test_modes(dockerbin):
            assert dockerbin.path.stat().st_mode & 0o777 == 0o755
            assert (dockerbin / "busybox").stat().st_mode & 0o7777 == 0o755
        """
    )
    project.run().assert_outcomes(passed=1)
    [session] = (tmp_path / "cache" / "v1" / "sessions").iterdir()
    assert list((session / "staging").iterdir()) == []
