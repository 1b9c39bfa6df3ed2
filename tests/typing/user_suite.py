"""A suite as users write it, with every public name: read by type checkers, never run.

`assert_type` says what an editor shows.
"""

import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any, assert_type

import pytest

import pytest_dockerbin
from pytest_dockerbin import (
    Artifact,
    Binary,
    BinaryInfo,
    Build,
    Builder,
    BuildError,
    BuildRecord,
    BuildSpec,
    CacheMode,
    Comparison,
    DockerbinError,
    FileRecord,
    Hooks,
    Kind,
    Lines,
    Platform,
    RunnerSpec,
    RunningProgram,
    RunResult,
    Secret,
    Settings,
    build_spec,
    compare,
)

server = pytest_dockerbin.fixture("server", target="bin", build_args={"VERSION": "1"})
client = pytest_dockerbin.fixture(Path("client"), name="other")


@pytest.fixture(scope="session")
def dockerbin_defaults() -> Mapping[str, Any]:
    return {"build_args": {"VERSION": "1"}, "secrets": {"token": Secret("...")}}


@pytest.mark.platform("linux/amd64", "linux/*", emulated=False)
@pytest.mark.dockerbin(target="release", build_args={"VERSION": "1.2"})
def test_program(dockerbin_binary: Binary, tmp_path: Path) -> None:
    # the path goes wherever a path goes
    assert_type(subprocess.check_output([dockerbin_binary], text=True), str)
    with Path(dockerbin_binary).open("rb") as file:
        assert file.read(4)

    result = dockerbin_binary.run(
        "--version",
        tmp_path,
        input="text",
        env={"A": "1"},
        pass_env=["HOME"],
        cwd=tmp_path,
        timeout=5,
        check=True,
        max_output=1 << 20,
        cpu="max",
        wrapper=("strace", "-f"),
    )
    assert_type(result, RunResult)
    assert_type(result.returncode, int)
    assert_type(result.signal, int | None)
    assert_type(result.stdout, str)
    assert_type(result.stderr, str)
    assert_type(result.duration, float)
    assert_type(result.max_rss, int | None)
    assert_type(result.kind, Kind)
    assert_type(result.emulated, bool)
    assert result.kind == "exited"

    assert_type(dockerbin_binary.path, Path)
    assert_type(dockerbin_binary.launcher, Path)
    assert_type(dockerbin_binary.platform, Platform)
    assert_type(dockerbin_binary.size, int)
    assert_type(dockerbin_binary.sha256, str)
    assert_type(dockerbin_binary.command("-v"), list[str])


def test_server(dockerbin_binary: Binary) -> None:
    with dockerbin_binary.popen("--port", "0", stdin=subprocess.PIPE) as running:
        assert_type(running, RunningProgram)
        assert_type(running.wait_for_port(), int)
        assert_type(running.wait_for_line(r"ready (\d+)"), re.Match[str])
        running.terminate()
        assert_type(running.wait(5), int)


def test_file(dockerbin: Artifact, tmp_path: Path) -> None:
    assert_type(dockerbin / "etc/app.conf", Path)
    assert_type(dockerbin.path, Path)
    assert_type(dockerbin.files, tuple[FileRecord, ...])
    assert_type(dockerbin.binaries, Mapping[str, Binary])
    assert_type(dockerbin.binary("app"), Binary)
    assert_type(dockerbin.digest, str)
    assert_type(dockerbin.build, BuildRecord)
    assert_type(dockerbin.export(tmp_path / "new"), Path)
    dockerbin.assert_reproducible()

    program = dockerbin.binary()
    assert_type(program.info, BinaryInfo)
    assert_type(program.info.needed, tuple[str, ...])
    assert_type(program.info.interpreter, str | None)
    program.assert_static()
    program.assert_max_glibc("2.28")
    program.assert_max_symbol_versions(GLIBCXX="3.4.25")
    program.assert_max_size("5 MiB")
    program.assert_hardened(canary=False)
    program.assert_needs_only(["libc.so.*"])
    program.assert_contains_no("/home/", b"secret")
    program.assert_stripped()
    program.assert_build_id()
    program.assert_no_rpath()


def test_matrix(dockerbin_matrix: Mapping[Platform, Artifact]) -> None:
    comparison = compare(dockerbin_matrix, "--checksum", binary="app", timeout=5)
    assert_type(comparison, Comparison)
    assert_type(comparison.results, Mapping[Platform, RunResult])
    comparison.assert_same(stderr=True, normalize=lambda text, platform: text + str(platform))


def test_platform(dockerbin_platform: Platform) -> None:
    assert_type(dockerbin_platform.architecture, str)
    assert_type(dockerbin_platform.variant, str)
    assert_type(dockerbin_platform.native, bool)
    assert_type(dockerbin_platform.slug, str)
    assert_type(Platform.parse("arm64"), Platform)


def test_build(dockerbin_build: Build) -> None:
    built = dockerbin_build("app", platform="linux/arm64", build_args={"VERSION": "1"})
    assert_type(built, Artifact)
    with pytest.raises(BuildError) as failed:
        dockerbin_build(Path("broken"), platform=Platform.host())
    assert_type(failed.value.hint, str | None)
    assert_type(failed.value.log_path, Path | None)


def test_named(server: Artifact, other: Artifact) -> None:
    assert server.binary().run().stdout == other.binary().run().stdout


# what a conftest implements


def pytest_dockerbin_configure_build(
    config: pytest.Config, spec: BuildSpec, platform: Platform
) -> Mapping[str, Any] | None:
    assert_type(spec.target, str | None)
    return {"build_args": {"PLATFORM": str(platform)}} if config.option.verbose else None


def pytest_dockerbin_build_finished(
    platform: Platform, record: BuildRecord | None, error: DockerbinError | None
) -> None:
    if record is not None:
        assert_type(record.seconds, float)


def pytest_dockerbin_verify_artifact(artifact: Artifact) -> None:
    assert "app" in artifact.binaries


def pytest_dockerbin_make_runner(platform: Platform, spec: str) -> str | None:
    return "qemu:-cpu max" if platform.architecture == "arm64" and spec == "auto" else None


# what a script does


def verify(spec: BuildSpec, artifact: Artifact) -> None:
    assert artifact.binary().size < 1 << 20, spec.target


def choose(platform: Platform, spec: RunnerSpec) -> RunnerSpec:
    return RunnerSpec.parse("qemu") if platform.architecture == "arm64" else spec


def script() -> None:
    try:
        spec = build_spec("app", target="bin")
        settings = Settings(
            cache_dir=Path(".cache"),
            cache=CacheMode.REUSE,
            runners=((Platform.parse("arm64"), RunnerSpec.parse("container")),),
            builders=((None, "default"),),
        )
        hooks = Hooks(verify_artifact=verify, choose_runner=choose)
        with Builder(settings, activity=Lines(print), hooks=hooks) as builder:
            assert_type(builder.build(spec, "linux/arm64"), Artifact)
            assert_type(builder.build(spec, Platform.host()).binary().run().kind, Kind)
    except DockerbinError as error:
        raise SystemExit(str(error)) from None


# what must not pass: each is refused by mypy and pyright alike


def mistakes(dockerbin_binary: Binary, dockerbin: Artifact) -> None:
    dockerbin_binary.run(timeout="5")  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
    dockerbin_binary.run(timeut=5)  # type: ignore[call-arg] # pyright: ignore[reportCallIssue]
    dockerbin_binary.size = 1  # type: ignore[misc] # pyright: ignore[reportAttributeAccessIssue]
    dockerbin.binary(1)  # type: ignore[arg-type] # pyright: ignore[reportArgumentType]
