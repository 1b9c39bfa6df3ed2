"""Bake files: what one says is repeated nowhere in the suite."""

from __future__ import annotations

import json

import pytest

from pytest_dockerbin import Platform

pytestmark = pytest.mark.engine

DOCKERFILE = """\
FROM scratch AS bin
ARG WHO=nobody
ARG TARGETARCH
COPY busybox-${TARGETARCH} /bin/busybox
COPY <<EOT /who
${WHO}
EOT
FROM scratch AS other
COPY <<EOT /other
other
EOT
"""

MATRIX = """\
variable "WHO" {
  default = "default"
}
group "default" {
  targets = ["all"]
}
group "all" {
  targets = ["app"]
}
target "_common" {
  context = "."
  dockerfile = "docker/Dockerfile"
  target = "bin"
  platforms = ["linux/amd64", "linux/arm64", "linux/arm/v7"]
  output = ["type=tar,dest=old.tar"]
  tags = ["app:latest"]
}
target "app" {
  name = "app-${number}"
  matrix = {
    number = ["1", "2"]
  }
  inherits = ["_common"]
  args = {
    WHO = "${WHO}-${number}"
    UNUSED = "inherited arguments are no mistake"
  }
}
"""

IDS = [
    f"test_x[{platform}-app-{number}]"
    for platform in ("linux/amd64", "linux/arm64", "linux/arm/v7")
    for number in (1, 2)
]


@pytest.fixture
def bake(project):
    """A project whose Dockerfile and bake file are in a folder of their own."""
    app = project.pytester.mkdir("app")
    app.joinpath("docker").mkdir()
    app.joinpath("docker", "Dockerfile").write_text(DOCKERFILE)
    for file in project.pytester.path.glob("busybox-*"):
        file.rename(app / file.name)
    app.joinpath("docker-bake.hcl").write_text(MATRIX)
    return project


def ids(result, outcome="PASSED"):
    return sorted(
        line.partition("::")[2].split(" ")[0]
        for line in result.outlines
        if "::" in line and outcome in line
    )


def bakes(project):
    return [call for call in project.calls() if call[:2] == ["buildx", "bake"]]


def test_a_matrix_of_two_targets_and_three_platforms_is_six_artifacts(bake):
    """Nothing of the file is repeated, its output is not touched, and bake is asked once."""
    old = bake.pytester.path / "app" / "old.tar"
    old.write_text("old")
    bake.pytester.makeini("[pytest]\ndockerbin_bake = app/docker-bake.hcl\n")
    bake.pytester.makepyfile(
        """
        def test_x(dockerbin, dockerbin_binary, dockerbin_platform, request):
            number = request.node.name[-2]
            assert (dockerbin / "who").read_text() == f"default-{number}\\n"
            assert dockerbin.platform == dockerbin_platform
            assert dockerbin_binary.run("true").returncode == 0
        """
    )
    result = bake.run("-v")
    result.assert_outcomes(passed=6)
    assert ids(result) == sorted(IDS)
    assert (len(bakes(bake)), len(bake.builds())) == (1, 6)
    assert old.read_text() == "old"
    result.stdout.no_fnmatch_line("*no ARG of*")


def test_workers_ask_bake_once_between_them(bake):
    bake.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.dockerbin(bake="app/docker-bake.hcl", target="all")
        def test_x(dockerbin): pass
        """
    )
    bake.run("-n2").assert_outcomes(passed=6)
    assert (len(bakes(bake)), len(bake.builds())) == (1, 6)


def test_platforms_that_were_chosen_count_instead(bake):
    bake.pytester.makepyfile(
        """
        import pytest

        pytestmark = pytest.mark.dockerbin(bake="app/docker-bake.hcl", target="app-1")

        def test_one(dockerbin): pass

        @pytest.mark.platform("linux/arm*")
        def test_some(dockerbin): pass

        def test_all(dockerbin_matrix):
            assert len(dockerbin_matrix) == 3
        """
    )
    result = bake.run("-v")
    assert ids(result) == [
        "test_all",
        "test_one[linux/amd64]",
        "test_one[linux/arm/v7]",
        "test_one[linux/arm64]",
        "test_some[linux/arm/v7]",
        "test_some[linux/arm64]",
    ]
    result = bake.run("-v", "--dockerbin-platforms=linux/amd64", "-k", "one")
    assert ids(result) == ["test_one[linux/amd64]"]


def test_variables_are_the_environment_s_and_settings_beside_it_are_above_it(bake):
    """Of mappings each entry is: what it does not name stays."""
    bake.pytester.makepyfile(
        """
        import pytest
        import pytest_dockerbin

        pytestmark = pytest.mark.platform("native")
        one = pytest_dockerbin.fixture(bake="app/docker-bake.hcl", target="app-1")
        two = pytest_dockerbin.fixture(
            bake="app/docker-bake.hcl", target="app-2", build_args={"WHO": "beside"}
        )

        def test_x(one, two, dockerbin_build):
            assert (one / "who").read_text() == "me-1\\n"
            assert (two / "who").read_text() == "beside\\n"
            built = dockerbin_build(bake="app/docker-bake.hcl", target="app-2")
            assert (built / "who").read_text() == "me-2\\n"
        """
    )
    bake.run(env={"WHO": "me"}).assert_outcomes(passed=1)
    assert any("--build-arg=UNUSED" in word for word in bake.builds()[1])


def test_a_named_build_of_a_group_is_one_artifact_for_each_target(bake):
    bake.pytester.makepyfile(
        """
        import pytest
        import pytest_dockerbin

        app = pytest_dockerbin.fixture(bake="app/docker-bake.hcl", target="all")

        @pytest.mark.platform("linux/arm64")
        def test_x(app, dockerbin_platform):
            assert app.platform == dockerbin_platform
            assert (app / "who").read_text().startswith("default-")
        """
    )
    result = bake.run("-v")
    assert ids(result) == ["test_x[linux/arm64-app-1]", "test_x[linux/arm64-app-2]"]
    assert len(bake.builds()) == 2


def test_targets_of_a_group_may_be_for_different_platforms(bake):
    bake.pytester.path.joinpath("app", "docker-bake.hcl").write_text(
        """
        group "default" {
          targets = ["one", "two", "three"]
        }
        target "one" {
          dockerfile = "docker/Dockerfile"
          platforms = ["linux/arm64"]
        }
        target "two" {
          inherits = ["one"]
          target = "bin"
          platforms = ["linux/s390x", "linux/arm64"]
        }
        target "three" {
          inherits = ["one"]
          platforms = []
        }
        """
    )
    bake.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.dockerbin(bake="app/docker-bake.hcl")
        def test_x(dockerbin): pass
        """
    )
    lines = bake.run("--collect-only", "-q").outlines
    assert [line.partition("::")[2] for line in lines if "::" in line] == [
        "test_x[linux/arm64-one]",
        "test_x[linux/arm64-two]",
        "test_x[linux/s390x-two]",
        f"test_x[{Platform.host()}-three]",
    ]


def test_json_and_compose_files_and_several_files_are_read(bake):
    app = bake.pytester.path / "app"
    target = {"dockerfile": "docker/Dockerfile", "target": "bin", "args": {"WHO": "json"}}
    app.joinpath("bake.json").write_text(json.dumps({"target": {"one": target}}))
    app.joinpath("more.json").write_text(
        json.dumps({"target": {"one": {"args": {"WHO": "more $${x} %%{y}"}}}})
    )
    app.joinpath("compose.yaml").write_text(
        """
services:
  web:
    build:
      context: .
      dockerfile: docker/Dockerfile
      target: bin
      shm_size: 64m
      args:
        WHO: ${WHO:-compose} $$y
"""
    )
    bake.pytester.makepyfile(
        """
        def test_x(dockerbin_build):
            def who(*files, target):
                files = [f"app/{file}" for file in files]
                return (dockerbin_build(bake=files, target=target) / "who").read_text()

            assert who("bake.json", target="one") == "json\\n"
            assert who("bake.json", "more.json", target="one") == "more ${x} %{y}\\n"
            assert who("compose.yaml", target="web") == "compose $y\\n"
        """
    )
    bake.run().assert_outcomes(passed=1)
    assert any("--shm-size=64MiB" in call for call in bake.builds())


def test_secrets_and_named_contexts_are_those_of_the_file(bake):
    app = bake.pytester.path / "app"
    app.joinpath("token").write_text("from-a-file")
    app.joinpath("shared").mkdir()
    app.joinpath("shared", "note").write_text("shared")
    app.joinpath("docker-bake.hcl").write_text(
        """
        target "app" {
          dockerfile-inline = <<EOT
        FROM scratch AS build
        ARG TARGETARCH
        COPY busybox-$${TARGETARCH} /busybox
        COPY --from=shared note /note
        RUN --mount=type=secret,id=file --mount=type=secret,id=variable \\
          ["/busybox", "sh", "-c", "/busybox md5sum /run/secrets/* > /sums"]
        FROM scratch
        COPY --from=build /sums /note /
        EOT
          contexts = {
            shared = "./shared"
          }
          secret = ["type=env,id=variable,env=TOKEN", "id=file,src=token"]
        }
        """
    )
    bake.pytester.makepyfile(
        """
        import hashlib
        import pytest

        @pytest.mark.dockerbin(bake="app/docker-bake.hcl", target="app")
        def test_x(dockerbin):
            assert (dockerbin / "note").read_text() == "shared"
            sums = [line.split()[0] for line in (dockerbin / "sums").read_text().splitlines()]
            values = (b"from-a-file", b"from-a-variable")
            assert sums == [hashlib.md5(value).hexdigest() for value in values]
        """
    )
    bake.run(env={"TOKEN": "from-a-variable"}).assert_outcomes(passed=1)
    bake.run("--dockerbin-missing=skip").assert_outcomes(skipped=1)
    app.joinpath("token").unlink()
    result = bake.run("--dockerbin-missing=skip", "-rs", env={"TOKEN": "x"})
    result.assert_outcomes(skipped=1)
    result.stdout.fnmatch_lines(["*SKIPPED*token*"])


LINKED = """\
target "root" {
  dockerfile-inline = "FROM scratch\\nCOPY <<'EOT' /root\\n$${x}\\nEOT\\n"
}
target "base" {
  context = "."
  contexts = {
    root = "target:root"
  }
  dockerfile-inline = <<EOT
FROM root
ARG WHO
ARG TARGETARCH
COPY busybox-$${TARGETARCH} /busybox
RUN --mount=type=secret,id=token ["/busybox", "sh", "-c", "/busybox md5sum /run/secrets/* > /sum"]
RUN ["/busybox", "sh", "-c", "/busybox printf '%s' \\"$WHO\\" > /who"]
EOT
  args = {
    WHO = "it costs $$5 or $${HOME} %%{x}"
  }
  secret = ["id=token,env=TOKEN"]
}
target "app" {
  dockerfile-inline = "FROM base\\n"
  contexts = {
    base = "target:base"
  }
}
"""


def test_a_target_that_is_the_context_of_another_is_built_with_it(bake):
    """For the platform that is asked for, with all values as they stand in the file."""
    bake.pytester.path.joinpath("app", "docker-bake.hcl").write_text(LINKED)
    bake.pytester.makeini("[pytest]\ndockerbin_bake = app/docker-bake.hcl\n")
    bake.pytester.makepyfile(
        """
        import hashlib
        import pytest

        @pytest.mark.dockerbin(target="app")
        @pytest.mark.platform("linux/amd64", "linux/arm64")
        def test_x(dockerbin, dockerbin_binary):
            assert dockerbin_binary.path.name == "busybox"
            assert dockerbin_binary.run("true").returncode == 0
            assert (dockerbin / "who").read_text() == "it costs $$5 or ${HOME} %{x}"
            assert (dockerbin / "root").read_text() == "${x}\\n"
            assert (dockerbin / "sum").read_text().split()[0] == hashlib.md5(b"canary").hexdigest()
            assert dockerbin.build.steps >= 4
        """
    )
    result = bake.run(env={"TOKEN": "canary"})
    result.assert_outcomes(passed=2)
    built = [call for call in bakes(bake) if "--print" not in call]
    assert len(built) == 2
    assert not any("canary" in word for call in built for word in call)


def test_a_build_with_linked_targets_can_have_every_setting(bake):
    """What is said beside the file, too."""
    bake.pytester.path.joinpath("app", "docker-bake.hcl").write_text(LINKED)
    bake.pytester.path.joinpath("app", "limit.Dockerfile").write_text(
        "# syntax=docker/dockerfile:1\nFROM base AS stage\n"
        'RUN ["/busybox", "sh", "-c", "ulimit -n > /limit"]\n'
    )
    bake.pytester.makepyfile(
        """
        import tarfile
        import pytest

        @pytest.mark.dockerbin(
            bake="app/docker-bake.hcl",
            target="app",
            dockerfile="app/limit.Dockerfile",
            frontend="builtin",
            exporter="tar",
            labels={"a": "b ${c}"},
            shm_size="64m",
            ulimits={"nofile": (64, 128)},
            network="none",
            no_cache_filter=["stage"],
            pull=True,
            cache_to=["type=inline"],
            cache_from=["type=local,src=none"],
        )
        def test_x(dockerbin):
            with tarfile.open(dockerbin.path) as archive:
                assert archive.extractfile("limit").read() == b"64\\n"
        """
    )
    bake.run(env={"TOKEN": "canary"}).assert_outcomes(passed=1)


def test_results_of_linked_targets_are_used_again_until_one_changes(bake):
    file = bake.pytester.path / "app" / "docker-bake.hcl"
    file.write_text(LINKED)
    bake.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.dockerbin(bake="app/docker-bake.hcl", target="app")
        def test_x(dockerbin): pass
        """
    )

    def builds():
        before = len([call for call in bakes(bake) if "--print" not in call])
        result = bake.run("--dockerbin-cache=reuse", env={"TOKEN": "canary"})
        result.assert_outcomes(passed=1)
        return len([call for call in bakes(bake) if "--print" not in call]) - before

    assert [builds(), builds()] == [1, 0]
    file.write_text(LINKED.replace("it costs", "it costs no more than"))
    assert builds() == 1
    bake.pytester.path.joinpath("app", "more").write_text("in a context of a linked target")
    assert builds() == 1


def test_a_step_of_a_linked_target_that_fails_is_told(bake):
    bake.pytester.path.joinpath("app", "docker-bake.hcl").write_text(
        LINKED.replace("/busybox md5sum", "/busybox nonsense")
    )
    bake.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.dockerbin(bake="app/docker-bake.hcl", target="app")
        def test_x(dockerbin): pass
        """
    )
    result = bake.run(env={"TOKEN": "canary"})
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        ["dockerbin: build failed for *RUN*nonsense*", "*docker buildx bake*"]
    )
    result.stdout.no_fnmatch_line("*canary*")


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ("target='ap-1'", "*docker-bake.hcl: * target 'ap-1'*"),
        ("bake='none.hcl'", "*bake: there is no file '*none.hcl'*"),
        ("bake='app/wrong.hcl'", "*wrong.hcl: *nonsense*"),
        ("bake='app/large.hcl', target='app'", "*large.hcl: invalid value large *shm-size*"),
    ],
)
def test_a_mistake_is_one_line(bake, settings, said):
    app = bake.pytester.path / "app"
    app.joinpath("wrong.hcl").write_text('target "default" {\n  context = nonsense\n}\n')
    app.joinpath("large.hcl").write_text('target "app" {\n  shm-size = "large"\n}\n')
    bake.pytester.makeini("[pytest]\ndockerbin_bake = app/docker-bake.hcl\n")
    bake.pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.dockerbin({settings})
        def test_x(dockerbin): pass
        """
    )
    result = bake.run()
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines([said])
    result.stdout.no_fnmatch_line("*Traceback*")
    result.stdout.no_fnmatch_line("*another exception*")
    assert bake.builds() == []


def test_a_verbose_collection_lists_targets(bake):
    bake.pytester.makepyfile(
        """
        import pytest

        @pytest.mark.dockerbin(bake="app/docker-bake.hcl")
        def test_x(dockerbin): pass
        """
    )
    result = bake.run("--collect-only", "-v")
    result.stdout.fnmatch_lines(
        [
            "dockerbin *docker-bake.hcl app-1 *linux/amd64, linux/arm/v7, linux/arm64",
            "dockerbin *docker-bake.hcl app-2 *linux/amd64, linux/arm/v7, linux/arm64",
        ]
    )
    assert bake.builds() == []


def test_a_suite_without_a_bake_file_asks_for_none(project):
    project.dockerfile("FROM scratch\nCOPY busybox-amd64 /\n")
    project.pytester.makepyfile("def test_x(dockerbin): pass")
    project.run("--collect-only")
    assert project.calls() == []
