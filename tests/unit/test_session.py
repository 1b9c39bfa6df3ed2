"""The Builder where what it works with fails."""

from __future__ import annotations

import errno

import pytest

from pytest_dockerbin import Builder, Hooks, Platform, Settings, build_spec
from pytest_dockerbin.errors import CacheMissError, SettingsError, StoreError
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
