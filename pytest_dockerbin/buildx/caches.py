"""Caches that BuildKit reads and writes: each platform has its own place in them.

Builds are one platform each, and an exported cache replaces what is at its place: by one place the
last platform would throw away all others (buildx#1044). So a place is named by the platform, too.
Builds read both their platform's place and the one that was named, which may be another tool's.
Source: Docker's documentation, "Cache storage backends".
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_dockerbin.platforms import Platform
    from pytest_dockerbin.spec import Pairs

# type of cache -> the attribute that names a place, and what it is unless given
_PLACES = {
    "registry": ("ref", ""),
    "gha": ("scope", "buildkit"),
    "s3": ("name", "buildkit"),
    "azblob": ("name", "buildkit"),
}


def destinations(caches: tuple[Pairs, ...], platform: Platform) -> Iterator[list[str]]:
    """Yield, as ``NAME=VALUE`` words, where a build for a platform writes its caches."""
    for cache in caches:
        attributes = dict(cache)
        if attributes["type"] == "local" and "dest" in attributes:
            attributes["dest"] = str(Path(attributes["dest"]) / platform.slug)
        yield _words(_of_platform(attributes, platform))


def sources(caches: tuple[Pairs, ...], platform: Platform) -> Iterator[list[str]]:
    """Yield, as ``NAME=VALUE`` words, where a build for a platform reads caches; best first.

    A folder that is not there is left out: so it is before the first build.
    """
    for cache in caches:
        attributes = dict(cache)
        if attributes["type"] == "local" and "src" in attributes:
            named = Path(attributes["src"])
            for folder in (named / platform.slug, named):
                if (folder / "index.json").is_file():
                    yield _words({**attributes, "src": str(folder)})
            continue
        own = _of_platform(attributes, platform)
        if own != attributes:
            yield _words(own)
        yield _words(attributes)


def _of_platform(attributes: dict[str, str], platform: Platform) -> dict[str, str]:
    name, default = _PLACES.get(attributes["type"], ("", ""))
    place = attributes.get(name, default)
    if not place:
        return attributes
    if name == "ref" and ":" not in place.rpartition("/")[2]:
        place += ":buildcache"
    return {**attributes, name: f"{place}-{platform.slug}"}


def _words(attributes: dict[str, str]) -> list[str]:
    return [f"{name}={value}" for name, value in attributes.items()]
