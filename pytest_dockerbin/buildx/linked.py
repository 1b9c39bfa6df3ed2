"""A build together with the bake targets that are contexts of it.

BuildKit takes the result of one build as a context of another only within one solve, which bake
alone asks for. So a bake file is written that has the wanted target, those linked to it, one
platform and our output, and nothing of the user's own file besides.
"""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING, Any

from pytest_dockerbin.buildx.command import attestations, caches, csv_of, output, stages_to_run
from pytest_dockerbin.dockerfile import prepare
from pytest_dockerbin.secret import attribute

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from pytest_dockerbin.platforms import Platform
    from pytest_dockerbin.spec import BuildSpec


def bake_arguments(spec: BuildSpec, platform: Platform, folder: Path, *, dest: str) -> list[str]:
    """Return buildx's arguments for a build with linked targets.

    Args:
        spec: what to build.
        platform: for which platform.
        folder: where files may be made.
        dest: where the export goes.
    """
    assert spec.baked  # noqa: S101 (only a bake file links targets)
    numbers = count()  # of secrets, as `secret.variables` numbers those of all builds
    targets = {}
    names = (spec.baked.target, *spec.all_linked)
    for name, each in zip(names, spec.all, strict=True):
        own = folder / name
        own.mkdir()
        targets[name] = _target(each, platform, own, numbers)
    wanted = targets[spec.baked.target]
    wanted |= {"platforms": [str(platform)], "output": [output(spec, dest)]}
    for name, linked in spec.all_linked.items():
        its = linked.platform_for(str(platform))
        targets[name] |= {"platforms": [its] if its else [], "output": ["type=cacheonly"]}
    file = folder / "docker-bake.json"
    file.write_text(json.dumps(_escaped({"target": targets})))
    words = ["bake", f"--file={file}"]
    if spec.builder:
        words.append(f"--builder={spec.builder}")
    return [*words, spec.baked.target]


def shown_arguments(spec: BuildSpec, platform: Platform) -> list[str]:
    """Return what a person types to build the same with the bake file itself."""
    assert spec.baked  # noqa: S101 (as above)
    name = spec.baked.target
    files = [f"--file={file}" for file in spec.baked.files]
    changed = [f"--set={name}.platform={platform}", f"--set={name}.output=out"]
    return ["bake", *files, *changed, name]


def _target(
    spec: BuildSpec, platform: Platform, folder: Path, numbers: Iterator[int]
) -> dict[str, Any]:
    dockerfile, stdin = prepare(spec, folder)
    body: dict[str, Any] = {"context": str(spec.context)}
    if stdin:  # which bake does not read
        body["dockerfile-inline"] = stdin.read_text()
    else:
        body["dockerfile"] = dockerfile
    sources, destinations = caches(spec, platform)
    hosts: dict[str, list[str]] = {}
    for name, address in spec.add_hosts:
        hosts.setdefault(name, []).append(address)
    body |= {
        "target": spec.target,
        "args": dict(spec.build_args),
        "contexts": dict(spec.build_contexts),
        "labels": dict(spec.labels),
        "network": spec.network,
        "extra-hosts": {name: ",".join(addresses) for name, addresses in hosts.items()},
        "shm-size": spec.shm_size,
        "ulimits": [f"{name}={value}" for name, value in spec.ulimits],
        "secret": [
            csv_of(f"id={name}", attribute(source, next(numbers))) for name, source in spec.secrets
        ],
        "ssh": [f"{name}={socket}" if socket else name for name, socket in spec.ssh],
        "cache-from": sources,
        "cache-to": destinations,
        "attest": attestations(spec),
        "no-cache": spec.no_cache,
        "no-cache-filter": stages_to_run(spec),
        "pull": spec.pull,
    }
    return {key: value for key, value in body.items() if value}


def _escaped(value: Any) -> Any:  # noqa: ANN401 (JSON)
    """Return JSON in which bake finds no template: ``${`` and ``%{`` begin one in any text."""
    if isinstance(value, str):
        signs = {sign: f'${{"{sign}"}}' for sign in "$%"}
        return "".join(signs.get(sign, sign) for sign in value)
    if isinstance(value, dict):
        return {_escaped(key): _escaped(item) for key, item in value.items()}
    return [_escaped(item) for item in value] if isinstance(value, list) else value
