"""Options, ini keys and environment variables: registered, and found again.

Every pytest run that has the plugin installed executes this file, so it holds plain data, imports
nothing, and leaves the reading to `configuration`.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

# name -> type of the ini key, what argparse gets (None: there is no option) and what it is.
# The variables that are read: PYTEST_DOCKERBIN_<NAME>.
_OPTIONS: dict[str, tuple[str, dict[str, Any] | None, str]] = {
    "platforms": (
        "args",
        {"action": "append", "metavar": "LIST"},
        (
            "platforms to test, such as linux/amd64,linux/arm64; native: this machine's; "
            "auto: all that build and run here (default: native)"
        ),
    ),
    "missing": (
        "string",
        {"choices": ("auto", "skip", "fail")},
        (
            "where docker or an emulator is missing: skip, fail, or auto: fail on CI and for "
            "platforms named on the command line (default: auto)"
        ),
    ),
    "cache": (
        "string",
        {"choices": ("session", "reuse", "only")},
        (
            "session: ask BuildKit once a session; reuse: take results of earlier sessions with "
            "the same inputs; only: never build (default: session)"
        ),
    ),
    "no-cache": (
        "bool",
        {"action": "store_true"},
        "run every build step again and pass over stored results",
    ),
    "cache-max-size": ("string", None, "size of stored results (default: 5 GiB)"),
    "cache-max-age": ("string", None, "age of unused stored results (default: 14 d)"),
    "cache-dir": (
        "string",
        {"metavar": "DIR"},
        "folder of the exported binaries (default: the user's cache folder)",
    ),
    "output": (
        "string",
        {"metavar": "DIR"},
        (
            "after the tests, write the export of each platform of which no test failed into DIR, "
            "as docker buildx build --output DIR does, with SHA256SUMS and dockerbin.json"
        ),
    ),
    "report": (
        "args",
        {"action": "append", "metavar": "PATH"},
        (
            "after the tests, write what was built, run and tested into PATH: .html, .md, .svg or "
            ".json; repeatable"
        ),
    ),
    "github-summary": (
        "bool",
        None,
        "add the report to the summary of a GitHub Actions job (default: true)",
    ),
    "prebuilt": (
        "string",
        {"metavar": "DIR"},
        "build nothing and test what --dockerbin-output wrote into DIR, also without docker",
    ),
    "builder": (
        "args",
        {"action": "append", "metavar": "[PLATFORM=]NAME"},
        "buildx builder, for all platforms or for one (default: buildx's current one)",
    ),
    "runner": (
        "args",
        {"action": "append", "metavar": "[PLATFORM=]SPEC"},
        (
            "what runs the programs, of all platforms or of one: auto, native, binfmt, qemu, "
            "qemu:WORDS, qemu=PATH, container, container:IMAGE, docker:CONTEXT, none, or a command "
            "(default: auto)"
        ),
    ),
    "jobs": (
        "int",
        {"metavar": "N"},
        (
            "builds that run at once, in the background while other tests run; 0: each waits for "
            "the first test that needs it (default: 4)"
        ),
    ),
    "build-timeout": (
        "float",
        {"metavar": "S"},
        "seconds that a build of one platform may take (default: 1800)",
    ),
    "progress": (
        "string",
        {"choices": ("auto", "plain", "quiet")},
        (
            "tell of builds while they run: auto: in one line of the terminal that rewrites "
            "itself, elsewhere in lines; plain: in lines; quiet: not at all (default: auto)"
        ),
    ),
    "run-timeout": ("float", None, "seconds that Binary.run() may take (default: 60)"),
    "emulation-factor": (
        "float",
        None,
        "what run timeouts are multiplied by under emulation (default: 10)",
    ),
}
_VARIABLES = ("platforms", "missing", "cache", "cache-dir", "prebuilt", "runner")
_WITHOUT_INI_KEY = ("no-cache", "output", "prebuilt")

# build settings that can be defaults of a whole project, with the type of their ini key
BUILD_SETTINGS = {
    "bake": ("args", "bake file, or several, whose target is built; target is its name"),
    "context": ("string", "folder that is sent to BuildKit, or a URL (default: the rootdir)"),
    "dockerfile": ("string", "the Dockerfile (default: Dockerfile in the context), or its text"),
    "target": ("string", "stage to export (default: the last one)"),
    "build_args": ("linelist", "build arguments, one NAME=VALUE a line"),
    "build_contexts": ("linelist", "named contexts, one NAME=FOLDER a line"),
    "secrets": ("linelist", "secrets, one ID=env:NAME or ID=file:PATH a line"),
    "ssh": ("linelist", "ssh agents or keys, one ID or ID=PATH a line"),
    "network": ("string", "network of RUN steps: default, host or none"),
    "add_hosts": ("linelist", "hosts that RUN steps know, one NAME:ADDRESS a line"),
    "labels": ("linelist", "labels of an image, one NAME=VALUE a line"),
    "frontend": ("string", "builtin: the Dockerfile's # syntax= line is not followed"),
    "no_cache_filter": ("args", "stages that are built without BuildKit's cache"),
    "pull": ("bool", "ask the registry for newer base images"),
    "cache_from": ("linelist", "caches to read, one a line, such as type=local,src=DIR"),
    "cache_to": ("linelist", "caches to write, one a line, such as type=local,dest=DIR"),
    "no_cache": ("bool", "run every build step again"),
    "shm_size": ("string", "size of /dev/shm in RUN steps, such as 128m"),
    "ulimits": ("linelist", "limits in RUN steps, one NAME=SOFT:HARD a line"),
    "cgroup_parent": ("string", "cgroup of RUN steps"),
    "attests": ("linelist", "attestations, one a line, such as type=provenance,mode=max"),
    "provenance": ("string", "provenance attestation: min, max or attributes"),
    "sbom": ("string", "SBOM attestation: true or attributes"),
    "exporter": ("string", "local: a tree of files (default); tar, oci or docker: an archive"),
    "binary": ("string", "the executable that dockerbin_binary yields (default: the only one)"),
    "sysroot_target": ("string", "stage whose loader and libraries dynamic programs run with"),
    "verify": ("string", "platform: check the platform of executables (default); static; false"),
}


def register(parser: pytest.Parser) -> None:
    """Add every option and ini key to pytest's."""
    group = parser.getgroup("dockerbin", "binaries built by Docker (pytest-dockerbin)")
    for name, (kind, option, text) in _OPTIONS.items():
        key = ini_key(name)
        if option is not None:
            group.addoption(f"--dockerbin-{name}", dest=key, default=None, help=text, **option)
        if name not in _WITHOUT_INI_KEY:
            parser.addini(key, text, type=kind, default=None)  # type: ignore[arg-type] # pytest's
    for name, (kind, text) in BUILD_SETTINGS.items():
        parser.addini(ini_key(name), text, type=kind, default=None)  # type: ignore[arg-type]


def ini_key(name: str) -> str:
    """Return the ini key of an option or build setting."""
    return f"dockerbin_{name.replace('-', '_')}"


def given(config: pytest.Config, name: str) -> tuple[Any, str] | None:
    """Return what the user gave for an option, and where; None when nothing.

    Precedence: command line, environment, ini file.
    """
    return next(all_given(config, name), None)


def all_given(config: pytest.Config, name: str) -> Iterator[tuple[Any, str]]:
    """Yield what each source gives for an option, and which it is; first what counts most."""
    key = ini_key(name)
    option = _OPTIONS[name][1]
    if option is not None and (value := config.getoption(key)) is not None:
        yield value, f"--dockerbin-{name}"
    if name in _VARIABLES and (value := os.environ.get(f"PYTEST_{key.upper()}")):
        repeatable = option is not None and "action" in option
        yield [value] if repeatable else value, f"PYTEST_{key.upper()}"
    if name not in _WITHOUT_INI_KEY and (value := config.getini(key)) not in (None, [], ""):
        yield value, f"ini {key}"


def runs_nothing(config: pytest.Config) -> bool:
    """Tell whether tests are only collected, or their fixtures only listed."""
    return bool(config.option.collectonly or getattr(config.option, "setupplan", False))


def anything_given(config: pytest.Config) -> bool:
    """Tell whether the user set anything of ours, so that it is to be checked at the start."""
    build_settings = (config.getini(ini_key(name)) for name in BUILD_SETTINGS)
    return any(given(config, name) for name in _OPTIONS) or any(build_settings)
