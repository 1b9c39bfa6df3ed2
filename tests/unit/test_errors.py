from __future__ import annotations

import json
import pickle
from pathlib import Path

import pytest

from pytest_dockerbin import errors
from pytest_dockerbin.errors import DockerbinError, error_from_json


def _tree(cls):
    yield cls
    for child in cls.__subclasses__():
        yield from _tree(child)


# by name: a class of the package, not one of these tests
PUBLIC = [cls for cls in _tree(DockerbinError) if cls.__module__ == "pytest_dockerbin.errors"]


def full(cls):
    return cls(
        "what failed", hint="do this", log_path=Path("/logs/a.log"), details="line 1\nline 2"
    )


@pytest.mark.parametrize("cls", PUBLIC)
def test_every_error_travels_between_workers_whole(cls):
    for one in (full(cls), cls("short")):
        for same in (
            pickle.loads(pickle.dumps(one)),
            error_from_json(json.loads(json.dumps(one.to_json()))),
        ):
            assert type(same) is cls
            assert same.to_json() == one.to_json()
            assert str(same) == str(one)


def test_an_error_says_what_failed_what_was_seen_and_what_to_do():
    assert str(full(errors.BuildError)) == (
        "what failed\nline 1\nline 2\nhint:     do this\nfull log: /logs/a.log"
    )
    assert str(errors.BuildError("what failed")) == "what failed"


@pytest.mark.parametrize(
    ("child", "parent"),
    [
        ("SettingsError", "DockerbinError"),
        ("UnavailableError", "DockerbinError"),
        ("EngineError", "UnavailableError"),
        ("EmulatorError", "UnavailableError"),
        ("BuildError", "DockerbinError"),
        ("BuildTimeoutError", "BuildError"),
        ("ArtifactError", "DockerbinError"),
        ("WrongPlatformError", "ArtifactError"),
        ("StoreError", "DockerbinError"),
        ("HookError", "DockerbinError"),
        ("RunError", "DockerbinError"),
    ],
)
def test_the_tree_is_the_documented_one(child, parent):
    assert getattr(errors, child).__bases__ == (getattr(errors, parent),)


@pytest.mark.parametrize("cls", PUBLIC[1:])
def test_every_error_is_in_the_drawing(cls):
    assert f"── {cls.__name__} " in errors.__doc__


def test_no_error_is_missing_from_the_package_s_names():
    import pytest_dockerbin  # noqa: PLC0415

    assert {cls.__name__ for cls in PUBLIC} <= set(pytest_dockerbin.__all__)


def test_an_unknown_name_is_answered_with_the_closest_one():
    error = errors.SettingsError.unknown("build setting", "traget", ["target", "context"], "ini x")
    assert str(error) == "ini x: unknown build setting 'traget'; did you mean 'target'?"


def test_an_unknown_name_that_is_like_none_is_answered_with_all():
    error = errors.SettingsError.unknown("value", "zzz", ["skip", "auto", "fail"])
    assert str(error) == "unknown value 'zzz'; known: auto, fail, skip"


def test_a_wrong_value_names_the_place_the_name_and_what_was_expected():
    error = errors.SettingsError.wrong_value("pull", 3, "True or False", "@pytest.mark.dockerbin")
    assert str(error) == "@pytest.mark.dockerbin: pull=3: expected True or False"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (errors.EngineError.no_docker(), ["not on PATH", "install Docker Engine"]),
        (errors.EngineError.no_buildx("unknown command"), ["unknown command", "docker-buildx"]),
        (errors.EngineError.no_daemon("refused"), ["refused", "systemctl start docker"]),
        (
            errors.EmulatorError.on_host("linux/arm64", "arm64", "Exec format error"),
            ["linux/arm64", "Exec format error", "--install arm64", "qemu-user-static"],
        ),
        (
            errors.EmulatorError.in_builder("linux/arm64", "arm64", "RUN make", Path("/x.log")),
            ["linux/arm64", "RUN make", "--install arm64", "/x.log"],
        ),
        (errors.EmptyExportError.of_build("linux/arm64"), ["exported nothing", "COPY --from="]),
        (
            errors.ArtifactError.no_binary("linux/arm64", None, ["a (1 bytes)", "b (2 bytes)"]),
            ["does not hold exactly one", "  a (1 bytes)\n  b (2 bytes)", "dockerbin_binary"],
        ),
        (
            errors.ArtifactError.no_binary("linux/arm64", "x", []),
            ["no executable 'x'", "without a leading slash"],
        ),
        (
            errors.WrongPlatformError.of_file("linux/arm64", "hello", "amd64", "arm64"),
            ["'hello'", "exported for linux/arm64, is amd64; expected arm64", "TARGETARCH"],
        ),
    ],
)
def test_an_error_names_the_remedy(error, words):
    for word in words:
        assert word in str(error)
    assert "\n" not in error.summary
    assert error.hint
