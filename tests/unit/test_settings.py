from __future__ import annotations

from pathlib import Path

import pytest

from pytest_dockerbin.errors import SettingsError
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.runner_spec import RunnerSpec
from pytest_dockerbin.settings import CacheMode, Missing, Selection, Settings, on_ci

ARM = Platform.parse("linux/arm64")
AMD = Platform.parse("linux/amd64")


def test_the_defaults_are_the_documented_ones():
    settings = Settings()
    assert settings.build_timeout == 1800
    assert settings.silence_timeout == 600
    assert settings.run_timeout == 60
    assert settings.emulation_factor == 10
    assert settings.cache_dir is None
    assert Selection().words == ("native",)
    assert Selection().missing is Missing.AUTO


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"cache": "foo"}, "cache='foo': expected session, reuse, only"),
        ({"cache_dir": 1}, "cache_dir=1: expected a path"),
        ({"project": None}, "project=None: expected a path"),
        ({"no_cache": "no"}, "no_cache='no': expected True or False"),
        ({"limits": 5}, "limits=5: expected a Limits"),
        ({"jobs": -1}, "jobs=-1: expected a whole number, 0 or more"),
        ({"cache_max_size": 1.5}, "cache_max_size=1.5: expected a whole number, 0 or more"),
        ({"cache_max_age": -1.0}, "cache_max_age=-1.0: expected a number, 0 or more"),
        ({"run_timeout": 0}, "run_timeout=0: expected a number above 0"),
        ({"build_timeout": "9"}, "build_timeout='9': expected a number above 0"),
        ({"silence_timeout": float("inf")}, "silence_timeout=inf: expected a number above 0"),
        (
            {"runners": (("linux/arm64", RunnerSpec()),)},
            (
                f"runners=(('linux/arm64', {RunnerSpec()!r}),): "
                "expected pairs of a Platform, or None, and a RunnerSpec"
            ),
        ),
        (
            {"builders": ("far",)},
            "builders=('far',): expected pairs of a Platform, or None, and a str",
        ),
    ],
)
def test_a_script_s_wrong_value_is_one_line(given, expected):
    with pytest.raises(SettingsError) as caught:
        Settings(**given)
    assert str(caught.value) == f"Settings: {expected}"


def test_a_script_may_say_in_text_what_it_means():
    settings = Settings(cache="reuse", cache_dir="cache", prebuilt="dist", project="project")
    assert settings.cache is CacheMode.REUSE
    folders = (settings.cache_dir, settings.prebuilt, settings.project)
    assert folders == (Path("cache"), Path("dist"), Path("project"))
    assert settings == Settings(
        cache=CacheMode.REUSE, cache_dir=folders[0], prebuilt=folders[1], project=folders[2]
    )


@pytest.mark.parametrize(
    ("builders", "asked", "defaults", "expected"),
    [
        ((), None, (), None),
        ((), "mark", (), "mark"),
        ((), None, ((None, "ini"),), "ini"),
        ((), "mark", ((None, "ini"),), "mark"),
        (((None, "option"),), "mark", ((None, "ini"),), "option"),
        (((ARM, "far"),), "mark", (), "far"),
        (((AMD, "near"),), "mark", (), "mark"),
        (((None, "near"), (ARM, "far")), None, (), "far"),
        (((ARM, "far"), (None, "near")), None, (), "far"),
        (((None, "first"), (None, "last")), None, (), "last"),
    ],
)
def test_the_nearest_word_about_the_builder_wins(builders, asked, defaults, expected):
    settings = Settings(builders=builders, default_builders=defaults)
    assert settings.builder_for(ARM, asked) == expected


def test_the_words_in_force_are_the_chosen_ones_else_the_default():
    assert Selection(default=("linux/arm64",)).words == ("linux/arm64",)
    assert Selection(chosen=("auto",), default=("linux/arm64",)).words == ("auto",)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [({}, False), ({"CI": "true"}, True), ({"BUILD_NUMBER": "7"}, True), ({"CI": ""}, False)],
)
def test_a_ci_service_is_known_by_its_variables(monkeypatch, variables, expected):
    for name in ("CI", "BUILD_NUMBER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert on_ci() is expected
