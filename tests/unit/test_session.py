"""The Builder where what it works with fails."""

from __future__ import annotations

import errno
import os
from dataclasses import replace

import pytest

from pytest_dockerbin import Builder, Hooks, Platform, RunnerSpec, Settings, build_spec
from pytest_dockerbin.entries import Entries
from pytest_dockerbin.errors import (
    CacheMissError,
    EmulatorError,
    EngineError,
    SettingsError,
    StoppedError,
    StoreError,
)
from pytest_dockerbin.maker import Maker
from pytest_dockerbin.settings import CacheMode
from pytest_dockerbin.store import SessionStore


@pytest.fixture
def spec(tmp_path):
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    return build_spec(tmp_path)


def test_a_cache_folder_that_fails_is_named(spec, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(errno.EIO, "Input/output error", "/the/file")

    monkeypatch.setattr(SessionStore, "is_made", fail)
    with Builder(Settings(cache_dir=tmp_path / "cache")) as builder:
        for _ in range(2):
            with pytest.raises(StoreError, match=r"Input/output error, '/the/file' \("):
                builder.build(spec, "linux/amd64")


def not_for_arm64(spec, platform):
    if platform.architecture == "arm64":
        raise SettingsError("not for arm64")
    return spec


def test_what_another_platform_can_t_have_is_no_error_of_the_one_asked_for(
    spec, tmp_path, monkeypatch
):
    """It is built while another process builds the one asked for, or would be."""
    monkeypatch.setattr(SessionStore, "is_being_made", lambda *_: True)
    settings = Settings(cache_dir=tmp_path / "cache", cache=CacheMode.ONLY)
    with Builder(settings, hooks=Hooks(configure_build=not_for_arm64)) as builder:
        with pytest.raises(CacheMissError):
            builder.build(spec, "linux/amd64", others=[Platform.parse("linux/arm64")])
        with pytest.raises(SettingsError, match="not for arm64"):
            builder.build(spec, "linux/arm64")


@pytest.mark.parametrize(
    ("said", "named"),
    [
        ({"pull": True}, "pull"),
        ({"no_cache": True}, "no_cache"),
        ({"no_cache_filter": ["base"], "pull": True}, "no_cache_filter and pull"),
    ],
)
def test_what_always_builds_is_refused_where_nothing_may_be_built(said, named, spec, tmp_path):
    """A stored result would not serve either, so that storing one is no cure."""
    settings = Settings(cache_dir=tmp_path / "cache", cache=CacheMode.ONLY)
    with Builder(settings) as builder, pytest.raises(CacheMissError) as caught:
        builder.build(build_spec(tmp_path, **said), "linux/amd64")
    assert caught.value.summary == (
        f"--dockerbin-cache=only never builds; with {named}, {spec.label()} for linux/amd64 is "
        "always built"
    )
    assert caught.value.hint == f"leave out {named}, or let it be built: --dockerbin-cache=reuse"


def nothing_runs(platform, spec):
    return RunnerSpec.parse("none")


@pytest.mark.parametrize(
    ("runners", "hooks"),
    [(((None, RunnerSpec.parse("none")),), Hooks()), ((), Hooks(choose_runner=nothing_runs))],
    ids=["settings", "hook"],
)
def test_a_script_says_what_runs_programs(runners, hooks, tmp_path):
    settings = Settings(cache_dir=tmp_path / "cache", runners=runners)
    with (
        Builder(settings, hooks=hooks) as builder,
        pytest.raises(EmulatorError, match="their runner is 'none'"),
    ):
        builder.runner(Platform.host())


@pytest.mark.parametrize("name", ["../x", "a/b", ".", "a b"])
def test_a_session_s_name_is_that_of_a_folder(name, tmp_path):
    settings = Settings(cache_dir=tmp_path / "cache")
    with pytest.raises(SettingsError, match=r"Builder: session=.*: expected a name of letters"):
        Builder(settings, session=name)
    assert not (tmp_path / "cache").exists()


def test_a_folder_is_no_spec(tmp_path):
    settings = Settings(cache_dir=tmp_path / "cache")
    with Builder(settings) as builder, pytest.raises(SettingsError) as caught:
        builder.build(".", "linux/amd64")
    assert str(caught.value) == (
        "Builder.build: spec='.': expected a BuildSpec, such as build_spec('.')"
    )


def test_a_prebuilt_folder_that_is_not_there_is_named_before_anything_is_asked(tmp_path):
    settings = Settings(cache_dir=tmp_path / "cache", prebuilt="/nope")
    with pytest.raises(SettingsError) as caught:
        Builder(settings)
    assert str(caught.value) == "Settings: prebuilt: there is no folder '/nope'"
    assert not (tmp_path / "cache").exists()


def test_without_docker_the_second_build_is_told_at_once(spec, tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", "/nowhere")
    with Builder(Settings(cache_dir=tmp_path / "cache")) as builder:
        with pytest.raises(EngineError, match="docker"):
            builder.build(spec, "linux/amd64")
        monkeypatch.setattr(Maker, "make", None)  # nothing is tried any more
        with pytest.raises(EngineError, match="docker"):
            builder.build(spec, "linux/arm64")


def test_a_wait_that_is_given_up_is_the_build_s_error(spec, tmp_path, monkeypatch):
    def stopped(*_, what, **__):
        raise StoppedError.while_waiting(what)

    monkeypatch.setattr(SessionStore, "once", stopped)
    with (
        Builder(Settings(cache_dir=tmp_path / "cache")) as builder,
        pytest.raises(StoppedError, match="linux/amd64"),
    ):
        builder.build(spec, "linux/amd64")


@pytest.fixture
def docker(tmp_path, monkeypatch):
    """A docker whose builds export a file."""
    folder = tmp_path / "bin"
    folder.mkdir()
    script = folder / "docker"
    script.write_text(
        "#!/bin/sh\n"
        "for word; do case $word in --output=*) dest=${word#*dest=};; esac; done\n"
        'mkdir "$dest" && echo text > "$dest/text"\n'
    )
    script.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return script


@pytest.mark.parametrize(
    "error", [NotImplementedError("no locks here"), OSError(errno.ENOLCK, "No locks available")]
)
def test_where_there_are_no_locks_a_build_is_not_stored(spec, docker, tmp_path, monkeypatch, error):
    def no_locks(*_, **__):
        raise error

    monkeypatch.setattr(Entries, "lock", no_locks)
    settings, warned = Settings(cache_dir=tmp_path / "cache", cache=CacheMode.REUSE), []
    with Builder(settings, warn=warned.append) as builder:
        assert builder.build(spec, "linux/amd64").build.source == "built"
    assert [line.partition(":")[0] for line in warned] == [
        "results can't be stored in the cache folder"
    ]


@pytest.mark.usefixtures("docker")
def test_what_another_session_stored_while_this_one_waited_for_it_serves(tmp_path, monkeypatch):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "Dockerfile").write_text("FROM scratch\n")
    spec = build_spec(tmp_path / "app")
    settings = Settings(cache_dir=tmp_path / "cache", cache=CacheMode.REUSE)
    with Builder(settings) as builder:
        assert builder.build(spec, "linux/amd64").build.source == "built"
    real, looks = Maker._reuse, []

    def stored_after_the_first_look(*args):
        looks.append(args)
        return real(*args) if len(looks) > 1 else None

    monkeypatch.setattr(Maker, "_reuse", stored_after_the_first_look)
    with Builder(settings) as builder:
        assert builder.build(spec, "linux/amd64").build.source == "reused"
    assert len(looks) == 2


@pytest.mark.usefixtures("docker")
def test_what_is_stored_is_not_built_again_to_be_compared_where_nothing_may_be_built(tmp_path):
    (tmp_path / "app").mkdir()
    (tmp_path / "app" / "Dockerfile").write_text("FROM scratch\n")
    spec, settings = build_spec(tmp_path / "app"), Settings(cache_dir=tmp_path / "cache")
    with Builder(replace(settings, cache=CacheMode.REUSE)) as builder:
        builder.build(spec, "linux/amd64")
    with Builder(replace(settings, cache=CacheMode.ONLY)) as builder:
        stored = builder.build(spec, "linux/amd64")
        with pytest.raises(CacheMissError) as caught:
            stored.assert_reproducible()
    assert caught.value.summary == (
        "assert_reproducible builds, and --dockerbin-cache=only never does"
    )


def test_a_file_system_that_fails_during_a_build_is_told(spec, docker, tmp_path, monkeypatch):
    def fails(*_):
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Maker, "_build_into", fails)
    with (
        Builder(Settings(cache_dir=tmp_path / "cache")) as builder,
        pytest.raises(StoreError, match="Input/output error"),
    ):
        builder.build(spec, "linux/amd64")


def test_a_watchdog_that_can_t_be_started_is_named(spec, tmp_path, monkeypatch):
    """Nothing is built that would outlive a killed session; and the export is not to blame."""

    def fail(words, **_):
        raise OSError(errno.EFAULT, "Bad address", words[0])

    monkeypatch.setattr("pytest_dockerbin.watchdog.subprocess.Popen", fail)
    refused = pytest.raises(StoreError, match="killed session can't be started: Bad address, '/")
    with Builder(Settings(cache_dir=tmp_path / "cache")) as builder, refused:
        builder.build(spec, "linux/amd64")


def test_another_user_s_cache_folder_is_not_cleaned(tmp_path, monkeypatch):
    """Root could."""
    settings = Settings(cache_dir=tmp_path / "cache")
    Builder(settings, session="one").close()
    found = sorted(tmp_path.rglob("*"))
    with monkeypatch.context() as patch:
        patch.setattr(os, "geteuid", lambda: 12345)
        Builder.collect(settings, "two")
    assert sorted(tmp_path.rglob("*")) == found
    Builder.collect(settings, "two")
    assert list(tmp_path.glob("cache/v1/sessions/*")) == []
