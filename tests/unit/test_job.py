"""Under which key a result is stored."""

from __future__ import annotations

import pytest

from pytest_dockerbin.job import Job
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.settings import Settings
from pytest_dockerbin.spec import BuildSpec

AMD = Platform.parse("linux/amd64")


@pytest.fixture(autouse=True)
def nothing_said(monkeypatch):
    for name in ("BUILDX_BUILDER", "DOCKER_CONTEXT", "DOCKER_HOST", "SOURCE_DATE_EPOCH"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def job(tmp_path):
    def make(settings=None, **said):
        spec = BuildSpec(context=tmp_path, dockerfile=tmp_path / "Dockerfile", **said)
        return Job.of(spec, AMD, settings or Settings())

    return make


@pytest.mark.parametrize(
    "variable", ["BUILDX_BUILDER", "DOCKER_CONTEXT", "DOCKER_HOST", "SOURCE_DATE_EPOCH"]
)
def test_variables_that_docker_heeds_are_in_the_key(variable, job, monkeypatch):
    before = job().entry_key("inputs")
    monkeypatch.setenv(variable, "1")
    assert job().entry_key("inputs") != before


def test_the_builder_is_in_the_key_whoever_names_it(job):
    said = job(builder="far").entry_key("inputs")
    assert said != job().entry_key("inputs")
    assert said == job(Settings(builders=((None, "far"),))).entry_key("inputs")
    assert said == job(Settings(default_builders=((AMD, "far"),))).entry_key("inputs")
