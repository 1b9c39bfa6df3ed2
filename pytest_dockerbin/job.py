"""One build for one platform, and the names under which its results are kept."""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Self

from pytest_dockerbin.frozen import dataclass
from pytest_dockerbin.secret import kind
from pytest_dockerbin.surroundings import variables

if TYPE_CHECKING:
    from pytest_dockerbin.platforms import Platform
    from pytest_dockerbin.settings import Settings
    from pytest_dockerbin.spec import BuildSpec

# settings that a stored result does not depend on, and those whose paths lead to what is digested
_NOT_IN_KEY = {"context", "dockerfile", "build_contexts", "no_cache", "pull"}
_NOT_IN_KEY |= {"binary", "sysroot_target", "no_cache_filter", "cache_from", "cache_to", "baked"}

# what docker and buildx take from the environment: which engine, and the files' times
_VARIABLES = ("DOCKER_HOST", "DOCKER_CONTEXT", "SOURCE_DATE_EPOCH")


@dataclass(frozen=True, slots=True)
class Job:
    """A spec for a platform, by the builder that the settings say."""

    spec: BuildSpec
    platform: Platform

    @classmethod
    def of(cls, spec: BuildSpec, platform: Platform, settings: Settings) -> Self:
        """Return the job that ``settings`` make of a spec."""
        builder = settings.builder_for(platform, spec.builder)
        no_cache = spec.no_cache or settings.no_cache
        return cls(replace(spec, builder=builder, no_cache=no_cache), platform)

    @property
    def asks_for_fresh(self) -> tuple[str, ...]:
        """The settings for which no earlier result serves: all steps again, or newer images."""
        names = ("no_cache", "no_cache_filter", "pull")
        return tuple(name for name in names if any(getattr(spec, name) for spec in self.spec.all))

    @property
    def name(self) -> str:
        """The name of its result in the session, and of its log."""
        return f"{self.spec.export_key()[:12]}-{self.platform.slug}"

    def entry_key(self, inputs: str) -> str:
        """Return the key of its stored result: settings, named builder, platform and all inputs.

        Paths are left out, since what they lead to is in the digest ``inputs``: two checkouts of
        the same content share a result. So is which builder is the current one: buildx makes up
        its name, and each machine has another. Of secrets it has ids and kinds, as BuildKit's has
        ids.
        """
        asked = _settings(self.spec)
        builder = self.spec.builder or variables().get("BUILDX_BUILDER")
        around = [variables().get(name) for name in _VARIABLES]
        text = json.dumps([asked, builder, around, str(self.platform), inputs], sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()

    def __str__(self) -> str:
        return f"{self.platform} {self.spec.label()}"


def _settings(spec: BuildSpec) -> dict[str, Any]:
    """Return what a stored result depends on beside its inputs, as JSON values."""
    asked = {name: value for name, value in spec.to_json().items() if name not in _NOT_IN_KEY}
    asked["secrets"] = [[name, kind(source)] for name, source in spec.secrets]
    asked["ssh"] = [name for name, _ in spec.ssh]
    asked["linked"] = [[one.name, one.platforms, _settings(one.spec)] for one in spec.linked]
    return asked
