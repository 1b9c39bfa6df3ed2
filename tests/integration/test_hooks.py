"""The hooks, as a project's conftest and plugins implement them, with the real engine."""

from __future__ import annotations

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.any_engine]

ANSWER = """\
FROM scratch AS first
ARG TARGETPLATFORM
ARG COMMIT=none
ARG OWN=none
ARG BOTH=none
COPY <<EOT /answer
${TARGETPLATFORM} ${COMMIT} ${OWN} ${BOTH}
EOT
FROM scratch AS licensed
COPY --from=first /answer /
COPY <<EOT /LICENSE
MIT
EOT
"""

# one that changes each build, and one that has the last word where both speak
CHANGES = """
    import pytest

    class Plugin:
        @pytest.hookimpl(tryfirst=True)
        def pytest_dockerbin_configure_build(self, platform):
            if platform.architecture == "arm64":
                return {"build_args": {"BOTH": "plugin"}}

    def pytest_configure(config):
        config.pluginmanager.register(Plugin())

    def pytest_dockerbin_configure_build(config, spec, platform):
        assert dict(spec.build_args).get("OWN") == "test"
        with open(config.rootpath / "configured", "a") as notes:
            print(platform, file=notes)
        return {"build_args": {"COMMIT": "c0ffee", "BOTH": "conftest"}}
"""


def test_a_plugin_changes_every_build(project):
    """Entries are added to those of the test; the one that pytest calls first has the last word."""
    project.dockerfile(ANSWER)
    project.pytester.makeconftest(CHANGES)
    project.pytester.makepyfile(
        """
        import pytest
        import pytest_dockerbin

        named = pytest_dockerbin.fixture(".", build_args={"OWN": "test"}, target="first")

        @pytest.mark.platform("linux/amd64", "linux/arm64")
        @pytest.mark.dockerbin(build_args={"OWN": "test"})
        @pytest.mark.parametrize("number", [1, 2])
        def test_x(dockerbin, named, dockerbin_platform, number):
            both = "plugin" if dockerbin_platform.architecture == "arm64" else "conftest"
            expected = f"{dockerbin_platform} c0ffee test {both}\\n"
            assert (dockerbin / "answer").read_text() == expected
            assert (named / "answer").read_text() == expected
        """
    )
    project.run().assert_outcomes(passed=4)
    assert len(project.builds()) == 4
    asked = (project.pytester.path / "configured").read_text().split()
    assert sorted(asked) == ["linux/amd64", "linux/amd64", "linux/arm64", "linux/arm64"]
    project.run("-n2").assert_outcomes(passed=4)
    assert len(project.builds()) == 8


def test_a_plugin_adds_a_label_to_every_build(project):
    """It is beside those of the test, in the image's configuration."""
    project.dockerfile(ANSWER)
    project.pytester.makeconftest(
        """
        def pytest_dockerbin_configure_build(spec, platform):
            return {"labels": {"org.opencontainers.image.revision": "c0ffee"}}
        """
    )
    project.pytester.makepyfile(
        """
        import json, tarfile
        import pytest

        @pytest.mark.platform("linux/amd64", "linux/arm64")
        @pytest.mark.dockerbin(exporter="docker", labels={"own": "label"})
        def test_image(dockerbin):
            with tarfile.open(dockerbin) as tar:
                (image,) = json.load(tar.extractfile("manifest.json"))
                config = json.load(tar.extractfile(image["Config"]))["config"]
            assert config["Labels"] == {
                "own": "label", "org.opencontainers.image.revision": "c0ffee"
            }
        """
    )
    project.run().assert_outcomes(passed=2)


def test_a_plugin_chooses_another_dockerfile(project):
    """Relative paths are the rootdir's, and another context has a Dockerfile of its own."""
    project.pytester.mkdir("app").joinpath("Dockerfile").write_text(ANSWER)
    project.dockerfile("FROM scratch\nCOPY missing /\n")
    project.pytester.makeconftest(
        """
        def pytest_dockerbin_configure_build():
            return {"context": "app", "target": "licensed"}
        """
    )
    project.pytester.makepyfile("def test_x(dockerbin): assert (dockerbin / 'LICENSE').is_file()")
    project.run().assert_outcomes(passed=1)


NOTES = """
    def note(config, *words):
        with open(config.rootpath / "notes", "a") as notes:
            print(*words, file=notes)

    def pytest_dockerbin_build_started(config, spec, platform):
        note(config, "started", spec.target, platform)

    def pytest_dockerbin_build_finished(config, spec, platform, record, error):
        assert (record is None) != (error is None)
        log = (record or error).log_path.read_text()
        assert "docker buildx build" in log
        how = type(error).__name__ if error else record.source
        note(config, "finished", spec.target, platform, how)

    def pytest_dockerbin_verify_artifact(config, spec, artifact):
        note(config, "verify", spec.target, artifact.platform, artifact.build.source)
        assert (artifact / "LICENSE").is_file(), "no licence file"
"""
SUITE = """
    import pytest
    import pytest_dockerbin

    good = pytest_dockerbin.fixture("app", target="licensed")
    bad = pytest_dockerbin.fixture("app", target="first")
    failing = pytest_dockerbin.fixture("app", target="missing")

    pytestmark = pytest.mark.parametrize("number", [1, 2, 3, 4])

    def test_good(good, number): pass

    def test_bad(bad, number): pass

    def test_failing(failing, number): pass
"""


@pytest.fixture
def noted(project):
    project.pytester.mkdir("app").joinpath("Dockerfile").write_text(ANSWER)
    project.pytester.makeconftest(NOTES)
    return project


def notes(project):
    """Return what the hooks noted since the last time, in any order of the builds."""
    path = project.pytester.path / "notes"
    lines = path.read_text().splitlines()
    path.unlink()
    return sorted(lines)


def test_plugins_are_told_of_builds_once_whoever_asks(noted):
    """What is refused fails the tests that ask for it, with the assertion's own words."""
    noted.pytester.makepyfile(SUITE)
    for args in ((), ("-n2",)):
        result = noted.run("--dockerbin-platforms=linux/amd64", *args)
        result.assert_outcomes(passed=4, errors=8)
        assert notes(noted) == [
            "finished first linux/amd64 built",
            "finished licensed linux/amd64 built",
            "finished missing linux/amd64 BuildError",
            "started first linux/amd64",
            "started licensed linux/amd64",
            "started missing linux/amd64",
            "verify first linux/amd64 built",
            "verify licensed linux/amd64 built",
        ]
        result.stdout.fnmatch_lines(
            ["dockerbin: the export for linux/amd64 can't be used: no licence file*"]
        )
        result.stdout.fnmatch_lines(["*bad not built (ArtifactError)*"])


def test_what_is_refused_is_not_kept_and_what_was_kept_is_verified_again(noted):
    noted.pytester.makepyfile(SUITE)
    args = ("--dockerbin-platforms=linux/amd64", "--dockerbin-cache=reuse", "-k", "good or bad")
    noted.run(*args).assert_outcomes(passed=4, errors=4)
    notes(noted)
    noted.run(*args).assert_outcomes(passed=4, errors=4)
    assert notes(noted) == [
        "finished first linux/amd64 built",
        "started first linux/amd64",
        "verify first linux/amd64 built",
        "verify licensed linux/amd64 reused",
    ]
    noted.pytester.makeconftest(
        """
        import pytest

        def pytest_dockerbin_verify_artifact(artifact):
            pytest.fail(f"{artifact.build.source}: not today")
        """
    )
    result = noted.run(*args, "-k", "good")
    result.assert_outcomes(errors=4)
    result.stdout.fnmatch_lines(["*can't be used: reused: not today*"])


def test_a_plugin_adds_a_runner(project):
    """A program of the project's own, for one platform; tests and `subprocess` run by it."""
    tool = project.pytester.path / "tools" / "run-it"
    tool.parent.mkdir()
    tool.write_text('#!/bin/sh\necho run by a tool\nexec "$@"\n')
    tool.chmod(0o755)
    project.dockerfile()
    project.pytester.makeconftest(
        """
        def pytest_dockerbin_make_runner(config, platform, spec):
            assert spec == "auto"
            if platform.architecture == "arm64":
                return "tools/run-it"
        """
    )
    project.pytester.makepyfile(
        """
        import subprocess
        import pytest

        @pytest.mark.platform("linux/amd64", "linux/arm64")
        def test_x(dockerbin_binary, dockerbin_platform):
            foreign = dockerbin_platform.architecture == "arm64"
            said = "run by a tool\\nhello\\n" if foreign else "hello\\n"
            result = dockerbin_binary.run("echo", "hello")
            assert (result.stdout, result.runner.endswith("run-it")) == (said, foreign)
            assert subprocess.check_output([dockerbin_binary, "echo", "hello"], text=True) == said
        """
    )
    result = project.run("-n2")
    result.assert_outcomes(passed=2)
    result.stdout.fnmatch_lines(["linux/arm64 (*run-it, from pytest_dockerbin_make_runner): *"])


def test_a_verifying_hook_runs_programs(project):
    project.dockerfile()
    project.pytester.makeconftest(
        """
        def pytest_dockerbin_verify_artifact(artifact):
            assert artifact.binary().run("echo", "hello", check=True).stdout == "hello\\n"
        """
    )
    project.pytester.makepyfile("def test_x(dockerbin_binary): assert dockerbin_binary.run()")
    project.run("--dockerbin-platforms=linux/amd64,linux/arm64").assert_outcomes(passed=2)


@pytest.mark.parametrize("hook", ["build_started", "build_finished", "verify_artifact"])
def test_a_hook_that_breaks_is_told_once_with_its_traceback(noted, hook):
    """Nobody tries again: not the other tests, not the other workers, not for want of a cache."""
    noted.pytester.makeconftest(
        f"""
        def pytest_dockerbin_{hook}(config):
            with open(config.rootpath / "notes", "a") as notes:
                print("asked", file=notes)
            raise OSError("the hook's own")
        """
    )
    noted.pytester.makepyfile(SUITE)
    result = noted.run("-k", "good", "-n2", "--dockerbin-cache=reuse")
    result.assert_outcomes(errors=4)
    assert notes(noted) == ["asked"]
    result.stdout.fnmatch_lines(
        [
            f"dockerbin: the hook {hook} failed: OSError: the hook's own",
            "Traceback *",
            '*conftest.py", line 4, in *',
        ]
    )
    result.stdout.fnmatch_lines(["dockerbin: 3 more errors have a cause that is told above"])
