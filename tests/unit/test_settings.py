from __future__ import annotations

import pytest

from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.settings import Missing, Selection, Settings, on_ci

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
