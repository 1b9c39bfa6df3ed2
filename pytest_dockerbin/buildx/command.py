"""The words of a ``docker buildx build`` command: nothing that a user wrote becomes a flag."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from pytest_dockerbin.buildx.caches import destinations, sources
from pytest_dockerbin.secret import attribute

if TYPE_CHECKING:
    from pytest_dockerbin.platforms import Platform
    from pytest_dockerbin.spec import BuildSpec

ATTESTATION = ".pytest-dockerbin."
"""Begins the names of the files that attestations are exported to."""


def arguments(spec: BuildSpec, platform: Platform, dockerfile: str, *, dest: str) -> list[str]:
    """Return buildx's arguments: always ``--flag=value``, and the context behind ``--``.

    Args:
        spec: what to build.
        platform: for which platform.
        dockerfile: what `dockerfile.prepare` says of it.
        dest: where the export goes.
    """
    words = [
        "build",
        f"--platform={platform}",
        f"--output={output(spec, dest)}",
        f"--file={dockerfile}",
    ]
    for flag, value in (
        ("builder", spec.builder),
        ("target", spec.target),
        ("network", spec.network),
        ("shm-size", spec.shm_size),
        ("cgroup-parent", spec.cgroup_parent),
    ):
        if value:
            words.append(f"--{flag}={value}")
    for flag, pairs in (
        ("build-arg", spec.build_args),
        ("build-context", spec.build_contexts),
        ("label", spec.labels),
        ("ulimit", spec.ulimits),
    ):
        words += [f"--{flag}={name}={value}" for name, value in pairs]
    words += [f"--add-host={name}:{address}" for name, address in spec.add_hosts]
    words += [
        f"--secret={csv_of(f'id={name}', attribute(source, number))}"
        for number, (name, source) in enumerate(spec.secrets)
    ]
    words += [f"--ssh={name}={socket}" if socket else f"--ssh={name}" for name, socket in spec.ssh]
    read, written = caches(spec, platform)
    words += [f"--cache-from={cache}" for cache in read]
    words += [f"--cache-to={cache}" for cache in written]
    words += [f"--attest={attestation}" for attestation in attestations(spec)]
    words += [f"--no-cache-filter={stage}" for stage in stages_to_run(spec)]
    if spec.no_cache:
        words.append("--no-cache")
    if spec.pull:
        words.append("--pull")
    context = "-" if spec.is_archive else str(spec.context)
    return [*words, "--", context]


def output(spec: BuildSpec, dest: str) -> str:
    """Return where and how a build is exported, as ``--output`` has it."""
    apart = (f"attestation-prefix={ATTESTATION}",) if spec.attests else ()
    return csv_of(f"type={spec.exporter}", f"dest={dest}", *apart)


def caches(spec: BuildSpec, platform: Platform) -> tuple[list[str], list[str]]:
    """Return the caches that a build reads and those that it writes."""
    read = [csv_of(*cache) for cache in sources(spec.cache_from, platform)]
    return read, [csv_of(*cache) for cache in destinations(spec.cache_to, platform)]


def stages_to_run(spec: BuildSpec) -> list[str]:
    """Return the stages that run again; none where all do, for buildx refuses to be told both."""
    return [] if spec.no_cache else list(spec.no_cache_filter)


def attestations(spec: BuildSpec) -> list[str]:
    """Return both kinds of attestations, each as it is asked for or disabled.

    Neither is made unless asked for: they would land among the exported files.
    """
    asked = dict(spec.attests)
    return [
        csv_of(f"type={kind}", *(f"{name}={value}" for name, value in asked[kind]))
        if kind in asked
        else f"type={kind},disabled=true"
        for kind in ("provenance", "sbom")
    ]


def csv_of(*fields: str) -> str:
    """Quote as buildx reads ``--output``: a comma in a folder's name begins no attribute."""
    line = io.StringIO()
    # a line break in a value is quoted only where the writer ends its lines by one
    csv.writer(line).writerow(fields)
    return line.getvalue().removesuffix("\r\n")
