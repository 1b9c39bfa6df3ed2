"""What was tested is what is written, and what is written is tested elsewhere without docker."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

pytestmark = [pytest.mark.engine, pytest.mark.any_engine]

# links, an empty folder, odd modes and names beside the program
DOCKERFILE = """\
FROM scratch AS build
ARG TARGETARCH
COPY busybox-${TARGETARCH} /bin/busybox
SHELL ["/bin/busybox", "sh", "-c"]
RUN /bin/busybox mkdir -p /out/bin /out/etc/empty
RUN /bin/busybox cp /bin/busybox /out/bin/ && /bin/busybox ln -s busybox /out/bin/sh
RUN echo "for $TARGETARCH" >"/out/etc/a name" && echo 'b\\\\s' >'/out/etc/b\\\\s'
RUN /bin/busybox chmod 600 "/out/etc/a name"
FROM scratch
COPY --from=build /out/ /
"""

TESTS = """
import pytest

pytestmark = pytest.mark.platform("linux/amd64", "linux/arm64")

def test_runs(dockerbin_binary, dockerbin_platform):
    machine = {"amd64": "x86_64", "arm64": "aarch64"}[dockerbin_platform.architecture]
    result = dockerbin_binary.run("uname", "-m")
    assert result.stdout == machine + "\\n"
    assert result.emulated is (machine == "aarch64")

def test_files(dockerbin, dockerbin_platform):
    assert (dockerbin / "etc/a name").read_text() == f"for {dockerbin_platform.architecture}\\n"
    assert (dockerbin / "bin/sh").readlink().name == "busybox"
"""


def names(folder):
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def shipped(project):
    """A project, and the folder that its tests wrote."""
    project.dockerfile(DOCKERFILE)
    project.pytester.makepyfile(TESTS)
    result = project.run("--dockerbin-output=dist")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(["linux/amd64, linux/arm64 written to dist"])
    return project.pytester.path / "dist"


@pytest.fixture
def no_docker(monkeypatch, tmp_path):
    """A machine without docker: not on PATH, and nothing answers."""
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setenv("DOCKER_HOST", f"unix://{tmp_path}/nowhere.sock")


def test_it_is_what_the_real_command_writes(project, shipped):
    real = project.pytester.path / "real"
    command = ["docker", "buildx", "build", "--platform=linux/amd64,linux/arm64"]
    subprocess.run([*command, f"--output={real}", "."], check=True, capture_output=True)
    for name in ("linux_amd64", "linux_arm64"):
        compared = ["diff", "-r", "--no-dereference", real / name, shipped / name]
        run = subprocess.run(compared, capture_output=True, text=True, check=False)
        assert (run.returncode, run.stdout) == (0, "")
    assert (shipped / "linux_arm64/etc/empty").is_dir()
    extra = {"SHA256SUMS", "dockerbin.json"}
    assert {path.name for path in shipped.iterdir()} - extra == {p.name for p in real.iterdir()}
    sums = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
    subprocess.run(sums, cwd=shipped, check=True)
    assert len((shipped / "SHA256SUMS").read_text().splitlines()) == 6


def test_it_is_tested_elsewhere_with_the_same_results_and_without_docker(
    project, shipped, no_docker
):
    builds = len(project.calls())
    (project.pytester.path / "Dockerfile").unlink()
    result = project.run("--dockerbin-prebuilt=dist", "-v")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        ["dockerbin: *; prebuilt *dist (from *)", "linux/amd64 (native): */ prebuilt; 2 passed"]
    )
    project.run("--dockerbin-prebuilt=dist", "-n2").assert_outcomes(passed=4)
    auto = project.run("--dockerbin-prebuilt=dist", "--dockerbin-platforms=auto")
    auto.assert_outcomes(passed=4)
    assert len(project.calls()) == builds


def test_modes_and_links_that_an_upload_loses_are_restored(project, shipped, no_docker):
    """GitHub's upload-artifact makes every file 0644 and follows links."""
    for path in shipped.rglob("*"):
        if path.is_symlink():
            copied = path.read_bytes()
            path.unlink()
            path.write_bytes(copied)
        if path.is_file():
            path.chmod(0o644)
    project.run("--dockerbin-prebuilt=dist").assert_outcomes(passed=4)
    assert not os.access(shipped / "linux_amd64/bin/busybox", os.X_OK) or os.geteuid() == 0


def test_a_corrupted_file_stops_its_platform_only(project, shipped, no_docker):
    with (shipped / "linux_arm64/etc/a name").open("a") as file:
        file.write("more")
    result = project.run("--dockerbin-prebuilt=dist")
    result.assert_outcomes(passed=2, errors=2)
    told = "*for linux/arm64: 'linux_arm64/etc/a name' differs from its sum in SHA256SUMS"
    result.stdout.fnmatch_lines(
        [f"dockerbin: the prebuilt folder {told}", "dockerbin: 1 more error has a cause *"]
    )


def test_what_docker_build_itself_wrote_is_tested_too(project, request):
    """Without sums there is nothing to compare; that is said."""
    project.dockerfile(DOCKERFILE)
    project.pytester.makepyfile(TESTS)
    command = ["docker", "buildx", "build", "--platform=linux/amd64,linux/arm64"]
    folder = project.pytester.path
    subprocess.run([*command, "--output=dist", "."], cwd=folder, check=True, capture_output=True)
    request.getfixturevalue("no_docker")
    result = project.run("--dockerbin-prebuilt=dist")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines(
        [f"{folder}/dist has no SHA256SUMS: whether it is what was built was not checked"]
    )


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_a_platform_with_a_failing_test_is_left_out(project, workers):
    project.dockerfile()
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.parametrize("number", range(3))
        @pytest.mark.platform("linux/amd64", "linux/arm64")
        def test_it(dockerbin, dockerbin_platform, number):
            assert number != 1 or dockerbin_platform.architecture == "amd64"
        """
    )
    result = project.run("--dockerbin-output=dist", *workers)
    result.assert_outcomes(passed=5, failed=1)
    result.stdout.fnmatch_lines(["linux/amd64 written to dist; left out: linux/arm64 (1 failed)"])
    dist = project.pytester.path / "dist"
    assert names(dist) == ["SHA256SUMS", "dockerbin.json", "linux_amd64"]
    [told] = json.loads((dist / "dockerbin.json").read_text())["platforms"]
    assert (told["platform"], told["tests"]) == ("linux/amd64", {"passed": 3, "skipped": 0})


SEVERAL = """
import pytest

pytestmark = pytest.mark.platform("linux/amd64", "linux/arm64")

@pytest.mark.dockerbin(target="a")
def test_a(dockerbin):
    assert (dockerbin / "text").read_text() == "a"

@pytest.mark.dockerbin(target="b", build_args={"NAME": "b1"})
def test_b1(dockerbin):
    assert (dockerbin / "text").read_text() == "b1"

@pytest.mark.dockerbin(target="b", build_args={"NAME": "b2"})
def test_b2(dockerbin_matrix):
    for artifact in dockerbin_matrix.values():
        assert (artifact / "text").read_text() == "b2"
"""


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_several_builds_have_a_folder_each(project, request, workers):
    project.dockerfile(
        "FROM scratch AS build\n"
        "ARG TARGETARCH\n"
        "ARG NAME=a\n"
        "COPY busybox-${TARGETARCH} /bin/busybox\n"
        'RUN ["/bin/busybox", "sh", "-c", "echo -n $NAME > /text"]\n'
        "FROM scratch AS a\n"
        "COPY --from=build /text /\n"
        "FROM a AS b\n"
    )
    project.pytester.makepyfile(SEVERAL)
    project.run("--dockerbin-output=dist", *workers).assert_outcomes(passed=5)
    dist = project.pytester.path / "dist"
    written = {
        path: (path / "linux_arm64/text").read_text() for path in dist.iterdir() if path.is_dir()
    }
    assert sorted(written.values()) == ["a", "b1", "b2"]
    assert (dist / "a/linux_amd64/text").read_text() == "a"  # without arguments just its target
    request.getfixturevalue("no_docker")
    project.run("--dockerbin-prebuilt=dist", *workers).assert_outcomes(passed=5)


BAKED = """
def test_it(dockerbin_binary, dockerbin, request):
    assert (dockerbin / "number").read_text() == request.node.name[-2] + "\\n"
    assert dockerbin_binary.run("true").returncode == 0

@pytest.mark.dockerbin(target="app-2")
def test_one(dockerbin):
    assert (dockerbin / "number").read_text() == "2\\n"
"""


@pytest.mark.parametrize("workers", [(), ("-n2",)])
def test_bake_targets_are_tested_elsewhere_though_bake_can_t_be_asked(project, request, workers):
    """Each by its name, whatever variables were then: neither file nor docker is needed."""
    project.dockerfile(
        "FROM scratch AS bin\nARG NUMBER\nARG TARGETARCH\n"
        "COPY busybox-${TARGETARCH} /busybox\nCOPY <<EOT /number\n$NUMBER\nEOT\n"
    )
    file = project.pytester.path / "docker-bake.hcl"
    file.write_text(
        """
        group "default" { targets = ["app"] }
        target "app" {
          name = "app-${number}"
          matrix = { number = ["1", "2"] }
          args = { NUMBER = number }
          target = "bin"
          platforms = ["linux/amd64", "linux/arm64"]
        }
        """
    )
    project.pytester.makeini("[pytest]\ndockerbin_bake = docker-bake.hcl\n")
    project.pytester.makepyfile(f"import pytest\n{BAKED}")
    project.run("--dockerbin-output=dist", *workers).assert_outcomes(passed=6)
    dist = project.pytester.path / "dist"
    assert {path.name for path in dist.iterdir() if path.is_dir()} == {"app-1", "app-2"}
    file.unlink()
    (project.pytester.path / "Dockerfile").unlink()
    request.getfixturevalue("no_docker")
    result = project.run("--dockerbin-prebuilt=dist", "-v", *workers)
    result.assert_outcomes(passed=6)
    assert "test_it[linux/arm64-app-1]" in result.stdout.str()
    result = project.run("--dockerbin-prebuilt=dist", "--dockerbin-platforms=linux/s390x")
    result.assert_outcomes(errors=3)
    result.stdout.fnmatch_lines(["dockerbin: * has nothing for linux/s390x; it has linux/amd64*"])
    project.pytester.makepyfile(f"import pytest\n{BAKED.replace('app-2', 'app-3')}")
    result = project.run("--dockerbin-prebuilt=dist", env={"CI": "1"})
    result.assert_outcomes(passed=4, errors=1)
    result.stdout.fnmatch_lines(["dockerbin: the prebuilt folder * has nothing of *'app-3'"])


def test_builds_of_one_bake_target_are_found_elsewhere(project, request):
    """By what was said beside its file, and an archive is not taken for a folder."""
    project.dockerfile("FROM scratch\nARG NUMBER\nARG FILES=1\nCOPY <<EOT /n\n$NUMBER\nEOT\n")
    file = project.pytester.path / "docker-bake.hcl"
    file.write_text('target "app" { args = { FILES = "2" } }\n')
    project.pytester.makeini("[pytest]\ndockerbin_bake = docker-bake.hcl\ndockerbin_target = app\n")
    project.pytester.makepyfile(
        """
        import pytest, pytest_dockerbin

        tar = pytest_dockerbin.fixture(".", exporter="tar")

        @pytest.mark.dockerbin(build_args={"NUMBER": "1"})
        def test_one(dockerbin):
            assert (dockerbin / "n").read_text() == "1\\n"

        @pytest.mark.dockerbin(build_args={"NUMBER": "2"})
        def test_two(dockerbin):
            assert (dockerbin / "n").read_text() == "2\\n"

        def test_tar(tar):
            assert tar.path.is_file()
        """
    )
    project.run("--dockerbin-output=dist").assert_outcomes(passed=3)
    file.unlink()
    request.getfixturevalue("no_docker")
    project.run("--dockerbin-prebuilt=dist").assert_outcomes(passed=3)
    project.pytester.makepyfile("def test_tree(dockerbin): ...")
    project.pytester.makeini("[pytest]\n")
    result = project.run("--dockerbin-prebuilt=dist", env={"CI": "1"})
    result.assert_outcomes(errors=1)
    has = "has no build 'default' for linux/amd64; it has *"
    result.stdout.fnmatch_lines([f"dockerbin: the prebuilt folder * {has}"])


def test_equal_builds_are_written_by_each_of_their_names(project, request):
    """They are built once, and tests elsewhere ask for either."""
    project.dockerfile()
    file = project.pytester.path / "docker-bake.hcl"
    file.write_text('target "app" {}\n')
    project.pytester.makepyfile(
        """
        import pytest_dockerbin

        baked = pytest_dockerbin.fixture(bake="docker-bake.hcl", target="app")

        def test_baked(baked):
            assert baked.binary().run("true").returncode == 0

        def test_plain(dockerbin_binary):
            assert dockerbin_binary.run("true").returncode == 0
        """
    )
    project.run("--dockerbin-output=dist").assert_outcomes(passed=2)
    dist = project.pytester.path / "dist"
    assert names(dist) == ["SHA256SUMS", "app", "default", "dockerbin.json"]
    request.getfixturevalue("no_docker")
    project.run("--dockerbin-prebuilt=dist").assert_outcomes(passed=2)


def test_builds_of_one_name_are_told_apart(project, request):
    """A folder's name is made of a context and a stage, or is a context's."""
    project.dockerfile()
    for name in ("server", "server-bin", "../proj-o1", "../proj-o2"):
        folder = project.pytester.path / name
        folder.mkdir()
        (folder / "Dockerfile").write_text(f"FROM scratch AS bin\nCOPY <<EOT /n\n{name}\nEOT\n")
    project.pytester.makepyfile(
        """
        import pytest_dockerbin

        stage = pytest_dockerbin.fixture("server", target="bin")
        context = pytest_dockerbin.fixture("server-bin")
        one = pytest_dockerbin.fixture("../proj-o1")
        two = pytest_dockerbin.fixture("../proj-o2")

        def test_them(stage, context, one, two):
            told = [(each / "n").read_text().strip() for each in (stage, context, one, two)]
            assert told == ["server", "server-bin", "../proj-o1", "../proj-o2"]
        """
    )
    project.run("--dockerbin-output=dist").assert_outcomes(passed=1)
    request.getfixturevalue("no_docker")
    project.run("--dockerbin-prebuilt=dist").assert_outcomes(passed=1)


def test_a_later_session_replaces_what_an_earlier_one_wrote(project, shipped):
    """A platform that is not tested any more does not stay there as if it were."""
    (shipped / "NOTES").write_text("the user's own")
    result = project.run("--dockerbin-output=dist", "--dockerbin-platforms=linux/arm64")
    result.stdout.fnmatch_lines(["linux/arm64 written to dist"])
    assert names(shipped) == ["NOTES", "SHA256SUMS", "dockerbin.json", "linux_arm64"]
    assert "linux_amd64" not in (shipped / "SHA256SUMS").read_text()


def test_what_a_test_changed_is_put_right_before_it_is_written(project):
    """The last test has no next one for which its program would be mended."""
    project.dockerfile()
    project.pytester.makepyfile(
        """
        def test_it(dockerbin, dockerbin_binary):
            (dockerbin / "left-behind").write_text("by a test")
            dockerbin_binary.path.unlink()
            dockerbin_binary.path.write_text("#!/bin/sh")
        """
    )
    result = project.run("--dockerbin-output=dist")
    result.stdout.fnmatch_lines(["linux/amd64 written to dist"])
    dist = project.pytester.path / "dist"
    assert names(dist / "linux_amd64") == ["busybox"]
    subprocess.run(["sha256sum", "--check", "SHA256SUMS"], cwd=dist, check=True)


def test_other_files_that_a_test_changed_keep_their_platform_out(project):
    project.dockerfile("FROM scratch\nCOPY Dockerfile /text\n")
    project.pytester.makepyfile(
        """
        def test_it(dockerbin):
            (dockerbin / "text").write_text("other")
        """
    )
    result = project.run("--dockerbin-output=dist")
    result.assert_outcomes(passed=1)
    told = (
        "nothing written to dist; left out: linux/amd64 (a test changed text: other size or mode)"
    )
    result.stdout.fnmatch_lines([told])
    assert not (project.pytester.path / "dist").exists()
