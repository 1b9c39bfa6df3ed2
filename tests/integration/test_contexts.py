"""Contexts that are no folder, archives instead of trees, and what is said of a wrong setting."""

from __future__ import annotations

import functools
import http.server
import subprocess
import sys
import threading

import pytest
from listening import free_port, listening

pytestmark = pytest.mark.engine

ANSWER = "FROM scratch AS first\nARG ANSWER=default\nCOPY <<EOT /answer\n${ANSWER}\nEOT\n"


@pytest.fixture
def served(project):
    """The URL of a web server, on this machine, that has an archive ``a.tar.gz``."""
    folder = project.pytester.mkdir("served")
    project.pytester.mkdir("far").joinpath("x.Dockerfile").write_text(ANSWER)
    project.pytester.run("tar", "-czf", "served/a.tar.gz", "-C", "far", ".")

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_):
            pass

    handler = functools.partial(Quiet, directory=str(folder))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def repository(project, tmp_path):
    """The URL of a git repository, on this machine."""
    folder = project.pytester.mkdir("repository")
    folder.joinpath("sub").mkdir()
    folder.joinpath("sub", "Dockerfile").write_text(ANSWER)
    git = ["git", "-C", str(folder), "-c", "user.name=a", "-c", "user.email=a@b", "-c"]
    git.append("init.defaultBranch=main")
    for words in (["init", "-q"], ["add", "-A"], ["commit", "-qm", "one"]):
        subprocess.run([*git, *words], check=True)
    (folder / ".git" / "git-daemon-export-ok").touch()
    port = free_port()
    daemon = ["git", "daemon", f"--base-path={folder.parent}"]
    with listening([*daemon, "--listen=127.0.0.1", f"--port={port}"], port, tmp_path / "git.log"):
        yield f"git://127.0.0.1:{port}/repository"


def test_buildkit_fetches_an_archive_from_its_url(project, served):
    """The Dockerfile is one in the archive; nothing that was fetched is reused."""
    project.pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.dockerbin(context="{served}/a.tar.gz", dockerfile="x.Dockerfile")
        def test_answer(dockerbin):
            assert (dockerbin / "answer").read_text() == "default\\n"
        """
    )
    for _ in range(2):
        project.run("--dockerbin-cache=reuse").assert_outcomes(passed=1)
    assert len(project.builds()) == 2


def test_buildkit_fetches_a_git_repository(project, repository):
    """With a branch and a folder, as docker writes it; nothing that was fetched is reused."""
    project.pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.dockerbin(context="{repository}#main:sub", build_args={{"ANSWER": "git"}})
        def test_answer(dockerbin):
            assert (dockerbin / "answer").read_text() == "git\\n"
        """
    )
    for _ in range(2):
        project.run("--dockerbin-cache=reuse").assert_outcomes(passed=1)
    assert len(project.builds()) == 2
    result = project.run("--dockerbin-cache=only")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [f"*no result of {repository}#main:sub for linux/amd64 is ever stored: a remote context*"]
    )
    assert len(project.builds()) == 2


def test_a_dockerfile_s_text_is_built_with_a_repository(project, repository):
    """docker reads it on standard input."""
    project.pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.dockerbin(
            context="{repository}", dockerfile="FROM scratch\\nCOPY sub/Dockerfile /copied\\n"
        )
        def test_answer(dockerbin):
            assert [file.name for file in dockerbin.files] == ["copied"]
        """
    )
    project.run().assert_outcomes(passed=1)


def test_an_archive_is_known_by_its_content(project):
    """The same archive is reused without docker, another one is built."""
    project.pytester.mkdir("near").joinpath("Dockerfile").write_text(ANSWER)
    project.pytester.run("tar", "-cf", "a.tar", "-C", "near", ".")
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.dockerbin(context="a.tar")
        def test_answer(dockerbin):
            print((dockerbin / "answer").read_text())
        """
    )
    for _ in range(2):
        project.run("--dockerbin-cache=reuse").assert_outcomes(passed=1)
    assert len(project.builds()) == 1
    project.pytester.path.joinpath("near", "Dockerfile").write_text(ANSWER + "LABEL a=b\n")
    project.pytester.run("tar", "-cf", "a.tar", "-C", "near", ".")
    project.run("--dockerbin-cache=reuse").assert_outcomes(passed=1)
    assert len(project.builds()) == 2


def test_each_dockerfile_inside_an_archive_has_its_own_result(project):
    """Of one archive: what one Dockerfile exports is not taken for what another does."""
    near = project.pytester.mkdir("near")
    near.joinpath("one").write_text("FROM scratch\nCOPY one /made\n")
    near.joinpath("two").write_text("FROM scratch\nCOPY two /made\n")
    project.pytester.run("tar", "-cf", "a.tar", "-C", "near", ".")
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.dockerbin(context="a.tar", dockerfile="one")
        def test_one(dockerbin):
            assert "COPY one" in (dockerbin / "made").read_text()

        @pytest.mark.dockerbin(context="a.tar", dockerfile="two")
        def test_two(dockerbin):
            assert "COPY two" in (dockerbin / "made").read_text()
        """
    )
    for _ in range(2):
        project.run("--dockerbin-cache=reuse", "--dockerbin-jobs=0").assert_outcomes(passed=2)
    assert len(project.builds()) == 2


def test_an_image_is_a_named_context_wherever_it_is(project, containerd_store):
    """In the engine, or as files that any engine takes: the way to base images offline."""
    if not containerd_store:
        pytest.skip("the classic image store makes no OCI layouts")
    name = "pytest-dockerbin.test/base:1"
    base = "FROM scratch\nARG TARGETARCH\nCOPY <<EOT /base\n$TARGETARCH\nEOT\n"
    project.pytester.mkdir("base").joinpath("Dockerfile").write_text(base)
    project.dockerfile("FROM base\nCOPY <<EOT /own\nEOT\n")
    project.pytester.path.joinpath(".dockerignore").write_text("*\n")
    project.pytester.makepyfile(
        f"""
        import pytest

        pytestmark = pytest.mark.platform("linux/amd64", "linux/arm64")

        def holds(artifact):
            told = (artifact / "base").read_text()
            assert told == artifact.platform.architecture + "\\n"
            assert (artifact / "own").exists()

        @pytest.mark.dockerbin(build_contexts={{"base": "oci-layout://layout:1"}})
        def test_layout(dockerbin): holds(dockerbin)

        @pytest.mark.dockerbin(build_contexts={{"base": "docker-image://{name}"}})
        def test_image(dockerbin): holds(dockerbin)
        """
    )
    build = ["docker", "buildx", "build", "--platform=linux/amd64,linux/arm64", "base"]
    for output in (f"type=oci,tar=false,dest=layout,name={name}", f"type=docker,name={name}"):
        subprocess.run([*build, f"--output={output}"], check=True, capture_output=True)
    try:
        project.run().assert_outcomes(passed=4)
    finally:
        subprocess.run(["docker", "image", "rm", name], check=True, capture_output=True)


@pytest.mark.parametrize("frontend", ["", "frontend='builtin', "], ids=["followed", "builtin"])
def test_a_dockerfile_elsewhere_has_its_own_ignore_file(project, frontend):
    """Which wins over the context's, also where a changed copy of the Dockerfile is built."""
    app = project.pytester.mkdir("app")
    for name in ("one", "two"):
        (app / name).write_text(name)
    (app / ".dockerignore").write_text("one\n")
    docker = project.pytester.mkdir("docker")
    syntax = "# syntax=docker/dockerfile:1\n" if frontend else ""
    (docker / "x.Dockerfile").write_text(f"{syntax}FROM scratch\nCOPY . /\n")
    (docker / "x.Dockerfile.dockerignore").write_text("two\n.dockerignore\n")
    project.pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.dockerbin({frontend}context="app", dockerfile="docker/x.Dockerfile")
        def test_files(dockerbin):
            assert [file.name for file in dockerbin.files] == ["one"]
        """
    )
    project.run().assert_outcomes(passed=1)


def test_an_unknown_target_is_answered_with_the_stages_there_are(project):
    project.dockerfile(ANSWER + "FROM scratch AS second\n")
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.dockerbin(target="frist")
        def test_close(dockerbin): pass

        @pytest.mark.dockerbin(target="bin")
        def test_far(dockerbin): pass
        """
    )
    result = project.run()
    result.assert_outcomes(errors=2)
    result.stdout.fnmatch_lines(["hint:     target: did you mean 'first'?"])
    result.stdout.fnmatch_lines(["hint:     the stages with a name are: first, second"])


def test_an_argument_that_the_dockerfile_does_not_declare_is_a_warning(project):
    """The build goes on; it is said once."""
    project.dockerfile(ANSWER)
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.dockerbin(build_args={"ANSWR": "42"})
        @pytest.mark.platform("linux/amd64", "linux/arm64")
        def test_answer(dockerbin):
            assert (dockerbin / "answer").read_text() == "default\\n"
        """
    )
    result = project.run("-n2")
    result.assert_outcomes(passed=2, warnings=1)
    result.stdout.fnmatch_lines(
        ["*DockerbinWarning: build_args: no ARG of * declares 'ANSWR'; did you mean 'ANSWER'[?]"]
    )


def test_a_missing_ssh_agent_is_said_before_the_build(project, monkeypatch):
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    project.dockerfile(ANSWER)
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.dockerbin(ssh="default")
        def test_answer(dockerbin): pass
        """
    )
    result = project.run(env={"CI": "1"})
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["dockerbin: the ssh agent for 'default' is missing: SSH_AUTH_SOCK is not set"]
    )
    assert project.builds() == []


def test_an_image_s_archive_has_its_attestations_in_it(project, containerd_store):
    """They are read from it; the archive can be copied away, and is stored as it is."""
    if not containerd_store:
        pytest.skip("the classic image store makes neither OCI archives nor attestations")
    project.dockerfile(ANSWER)
    project.pytester.path.joinpath(".dockerignore").write_text("*\n")
    project.pytester.makepyfile(
        f"""
        import subprocess, pytest

        @pytest.mark.dockerbin(exporter="oci", provenance="max")
        def test_image(dockerbin, tmp_path):
            assert dockerbin.path.name == "export.tar"
            assert dockerbin.provenance["predicateType"].startswith("https://slsa.dev/provenance/")
            assert dockerbin.sbom is None
            assert dict(dockerbin.binaries) == {{}}
            copy = dockerbin.export(tmp_path / "image.tar")
            assert copy.read_bytes() == dockerbin.path.read_bytes()
            subprocess.run([{sys.executable!r}, "-m", "tarfile", "-t", copy], check=True)
        """
    )
    for _ in range(2):
        project.run("--dockerbin-cache=reuse").assert_outcomes(passed=1)
    assert len(project.builds()) == 1


@pytest.mark.parametrize("exporter", ["oci", "docker"])
def test_an_image_s_archive_can_be_loaded_into_the_engine(project, containerd_store, exporter):
    """For `docker run` in a test; it goes with the session."""
    if not containerd_store:
        pytest.skip("the classic image store makes no archives of images")
    project.dockerfile(
        "FROM scratch\nARG TARGETARCH\nCOPY busybox-${TARGETARCH} /busybox\n"
        'ENTRYPOINT ["/busybox"]\n'
    )
    project.pytester.makepyfile(
        f"""
        import subprocess, pytest
        from pytest_dockerbin import ArtifactError

        @pytest.mark.dockerbin(exporter={exporter!r})
        @pytest.mark.platform("linux/amd64", "linux/arm64")
        def test_image(dockerbin, dockerbin_platform):
            assert dockerbin.load() == dockerbin.load()
            run = ["docker", "run", "--rm", f"--platform={{dockerbin_platform}}", dockerbin.load()]
            machine = subprocess.check_output([*run, "uname", "-m"], text=True)
            print("MACHINE", machine)
            with open("images", "a") as images:
                print(dockerbin.load(), file=images)

        def test_tree(dockerbin):
            with pytest.raises(ValueError, match="no image to load"):
                dockerbin.load()

        @pytest.mark.dockerbin(exporter="tar")
        def test_tar(dockerbin):
            with pytest.raises(ArtifactError, match="no image in .*: unrecognized image format"):
                dockerbin.load()
        """
    )
    result = project.run("-rP")
    result.assert_outcomes(passed=4)
    result.stdout.fnmatch_lines_random(["MACHINE x86_64", "MACHINE aarch64"])
    names = (project.pytester.path / "images").read_text().split()
    assert len(names) == 2
    for name in names:
        shown = subprocess.run(
            ["docker", "image", "inspect", name], check=False, capture_output=True
        )
        assert shown.returncode, shown.stdout


def test_a_registry_that_has_no_generator_of_sboms_is_named(project, containerd_store):
    project.dockerfile(ANSWER)
    project.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.dockerbin(sbom="generator=127.0.0.1:9/scanner:1")
        def test_answer(dockerbin): pass
        """
    )
    result = project.run()
    result.assert_outcomes(errors=1)
    said = "127.0.0.1:9/scanner:1" if containerd_store else "is not supported"
    result.stdout.fnmatch_lines([f"dockerbin: build failed for *{said}*"])
