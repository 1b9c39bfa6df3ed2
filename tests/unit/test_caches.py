from __future__ import annotations

import pytest

from pytest_dockerbin.buildx.caches import destinations, sources
from pytest_dockerbin.platforms import Platform

ARM = Platform.parse("linux/arm/v7")


def cache(**attributes):
    return (tuple(sorted(attributes.items())),)


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ({"type": "local", "dest": "/c"}, ["dest=/c/linux_arm_v7", "type=local"]),
        ({"type": "registry", "ref": "h:5/a:c"}, ["ref=h:5/a:c-linux_arm_v7", "type=registry"]),
        (
            {"type": "registry", "ref": "h:5/a"},
            ["ref=h:5/a:buildcache-linux_arm_v7", "type=registry"],
        ),
        ({"type": "gha"}, ["type=gha", "scope=buildkit-linux_arm_v7"]),
        ({"type": "gha", "scope": "x"}, ["scope=x-linux_arm_v7", "type=gha"]),
        (
            {"type": "s3", "bucket": "b", "name": "n"},
            ["bucket=b", "name=n-linux_arm_v7", "type=s3"],
        ),
        ({"type": "inline"}, ["type=inline"]),
    ],
)
def test_each_platform_writes_to_a_place_of_its_own(given, written):
    assert list(destinations(cache(**given), ARM)) == [written]


@pytest.mark.parametrize(
    ("given", "read"),
    [
        (
            {"type": "registry", "ref": "h/a:c"},
            [["ref=h/a:c-linux_arm_v7", "type=registry"], ["ref=h/a:c", "type=registry"]],
        ),
        ({"type": "inline"}, [["type=inline"]]),
        (
            {"type": "gha"},
            [["type=gha", "scope=buildkit-linux_arm_v7"], ["type=gha"]],
        ),
    ],
)
def test_the_platform_s_place_is_read_before_the_one_that_was_named(given, read):
    assert list(sources(cache(**given), ARM)) == read


def test_a_folder_without_a_cache_is_left_out(tmp_path):
    named = cache(type="local", src=str(tmp_path))
    assert list(sources(named, ARM)) == []
    (tmp_path / ARM.slug).mkdir()
    (tmp_path / ARM.slug / "index.json").touch()
    assert list(sources(named, ARM)) == [[f"src={tmp_path / ARM.slug}", "type=local"]]
    (tmp_path / "index.json").touch()
    assert list(sources(named, ARM))[1] == [f"src={tmp_path}", "type=local"]
