"""Base images for machines without an image registry, made of Debian's packages.

A stand-in has the name of a real image and is enough like it for the project's examples.
It is only made where no registry answers, and taken away again where one does.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from engine import apt, debs, docker, oci, tree
from engine.errors import EngineError
from engine.locks import locked
from engine.shell import LONG, SECOND, run, say, why

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from engine.layout import Layout

LABEL = "io.github.pytest-dockerbin.stand-in"

# Beside the layout's own files, where readers of layouts do not look.
_FINGERPRINT = "recipe"

_REGISTRY_PATIENCE = 20 * SECOND

_BASE = (
    *("base-files", "base-passwd", "bash", "coreutils", "dash", "debianutils", "diffutils"),
    *("findutils", "grep", "gzip", "hostname", "libc-bin", "mawk", "sed", "tar"),
)

_RUSTC = """\
#!/bin/sh
# The image that this one stands for links statically by default; Debian's rustc does not.
# Procedural macros are loaded by rustc itself and cannot be static.
case " $* " in
*proc-macro*) exec /usr/bin/rustc "$@" ;;
*) exec /usr/bin/rustc -C target-feature=+crt-static "$@" ;;
esac
"""

# The image that this one stands for has apt and its sources.
_APT_GET = """\
#!/bin/sh
# This is a stand-in: what the examples install is in it from the beginning, and nothing else is.
for word do
    case $word in
    -* | update | install) continue ;;
    esac
    case " {packages} " in
    *" $word "*) ;;
    *)
        echo "E: this stand-in has no $word: see tools/engine/images.py" >&2
        exit 100
        ;;
    esac
done
"""

_CROSS = (
    *("gcc-x86-64-linux-gnu", "gcc-aarch64-linux-gnu", "gcc-arm-linux-gnueabihf"),
    *("g++-x86-64-linux-gnu", "g++-aarch64-linux-gnu", "gcc", "g++"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """How a stand-in is made."""

    packages: tuple[str, ...]
    architectures: tuple[str, ...] = ()
    """Debian's names, which are Docker's for these. None: this machine's, for cross-compiling."""
    programs: Mapping[str, str] = field(default_factory=dict)
    """Scripts to add, by path."""

    @property
    def fingerprint(self) -> str:
        """A text that changes when the recipe, and so the image, does."""
        return hashlib.sha256(f"{self!r}{tree.RULES}".encode()).hexdigest()


RECIPES = {
    "rust:alpine": Recipe(
        packages=(*_BASE, "rustc", "cargo", "gcc", "libc6-dev"),
        architectures=("amd64", "arm64"),
        programs={"usr/local/bin/rustc": _RUSTC},
    ),
    # The real one has a library of C++ too, for its apt.
    "debian:stable-slim": Recipe(packages=(*_BASE, "libstdc++6"), architectures=("amd64", "arm64")),
    # libc6-dev and the like are what the real one would install since they are recommended.
    "debian:stable": Recipe(
        packages=(
            *(*_BASE, *_CROSS, "libc6-dev"),
            *(f"libc6-dev-{name}-cross" for name in ("amd64", "arm64", "armhf")),
        ),
        programs={"usr/local/bin/apt-get": _APT_GET.format(packages=" ".join(_CROSS))},
    ),
    "golang:alpine": Recipe(packages=(*_BASE, "golang-go")),
}


def images(names: Sequence[str], layout: Layout) -> bool:
    """Have the images usable by name; return whether a registry answers."""
    wanted = list(names) or list(RECIPES)
    if unknown := [name for name in wanted if name not in RECIPES]:
        raise EngineError(
            f"no recipe for {', '.join(unknown)}", f"there is one for {', '.join(RECIPES)}"
        )
    if not (answer := docker.ask()).is_enough:
        why_not = answer.complaint or "no Docker Engine with buildx answers"
        raise EngineError(why_not, "run `python3 tools/engine start` first")
    registry = True
    for name in wanted:
        if problem := _ask_registry(name):
            registry = False
            say(f"{name}: no registry serves it ({problem})")
            _provide(name, layout)
        else:
            say(f"{name}: a registry serves it")
            _withdraw(name)
    return registry


def _ask_registry(name: str) -> str:
    """Ask for the image where a build would get it; return why it is not to be had."""
    done = run(
        ["docker", "buildx", "imagetools", "inspect", name],
        timeout=_REGISTRY_PATIENCE,
        check=False,
    )
    return "" if done.returncode == 0 else why(done).rpartition(": ")[2]


def _present(name: str) -> tuple[str, bool]:
    """Return the id of the engine's image of this name, and whether it is a stand-in."""
    done = run(["docker", "image", "inspect", name], check=False)
    if done.returncode != 0:
        return "", False
    facts: dict[str, Any] = json.loads(done.stdout)[0]
    labels = facts.get("Config", {}).get("Labels") or {}
    return str(facts.get("Id", "")), LABEL in labels


def _withdraw(name: str) -> None:
    """Remove a stand-in: builds would go on using it instead of the real image."""
    _, is_ours = _present(name)
    if is_ours:
        run(["docker", "image", "rm", "--force", name])
        say(f"{name}: removed the stand-in that an earlier run had made")


def _provide(name: str, layout: Layout) -> None:
    place = layout.images / name.replace(":", "-").replace("/", "-")
    identifier, is_ours = _present(name)
    kept = oci.digest(place) if _is_current(name, place) else ""
    if identifier and (not is_ours or identifier == kept):
        what = "the stand-in" if is_ours else "the image"
        say(f"{name}: {what} is in the image store already")
        return
    if docker.store() != "containerd":
        raise EngineError(
            f"this engine's image store cannot hold {name} for several platforms",
            'switch it on with "containerd-snapshotter" in daemon.json',
        )
    with locked(layout.images / "lock"):
        if not _is_current(name, place):
            _make(name, place, layout)
        _load(name, place)


def _is_current(name: str, place: Path) -> bool:
    """Tell whether the layout was made by today's recipe."""
    try:
        made_by = (place / _FINGERPRINT).read_text(encoding="ascii")
    except OSError:
        return False
    return made_by == RECIPES[name].fingerprint


def _load(name: str, place: Path) -> None:
    with subprocess.Popen(
        ["docker", "load", "--quiet"],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as process:
        try:
            if process.stdin:
                oci.stream(place, process.stdin)
            _, errors = process.communicate(timeout=LONG)
        except BrokenPipeError:
            _, errors = process.communicate(timeout=LONG)
        except BaseException:
            process.kill()
            raise
    if process.returncode != 0:
        message = errors.decode(errors="replace").strip().rpartition("\n")[2]
        raise EngineError(f"docker load of {name} failed: {message}", f"delete {place}, try again")
    say(f"{name}: put the stand-in into the image store")


def _make(name: str, place: Path, layout: Layout) -> None:
    recipe = RECIPES[name]
    if not apt.machine().is_debian:
        raise EngineError(
            f"a stand-in for {name} can only be made on Debian", "let the engine reach a registry"
        )
    with debs.scratch(layout.images) as new:
        new_layout = new / "layout"
        variants = []
        used = []
        for architecture in recipe.architectures or (apt.machine().architecture,):
            suite, files = _download(name, recipe, architecture, layout)
            used.append(suite)
            with oci.BlobWriter(new_layout) as blob:
                tree.write_tree(blob, files, recipe.programs)
            variants.append(
                oci.Variant(
                    architecture=architecture,
                    layer=oci.layer_descriptor(blob),
                    settings={
                        "Env": [
                            "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
                        ],
                        "Cmd": ["/bin/sh"],
                        "Labels": {LABEL: name},
                    },
                )
            )
            say(f"{name}: made the {architecture} part")
        oci.write_layout(new_layout, _full_name(name), variants)
        (new_layout / _FINGERPRINT).write_text(recipe.fingerprint, encoding="ascii")
        debs.replace_folder(new_layout, place)
    # Only now: an interrupted run goes on with what was downloaded.
    for suite in used:
        suite.forget_downloads()
    say(f"{name}: kept as an OCI layout in {place}")


def _full_name(name: str) -> str:
    return f"docker.io/{name}" if "/" in name else f"docker.io/library/{name}"


def _download(
    name: str, recipe: Recipe, architecture: str, layout: Layout
) -> tuple[apt.Suite, list[Path]]:
    problems = []
    for suite_name in dict.fromkeys(("stable", "testing", apt.machine().codename)):
        try:
            suite = apt.Suite.open(suite_name, architecture, layout.apt)
            suite.update()
            say(f"{name}: downloading {architecture} packages of Debian {suite_name}")
            return suite, suite.download_with_dependencies(recipe.packages)
        except EngineError as error:
            problems.append(f"{suite_name}: {error.message}")
    raise EngineError(
        f"no packages for {name} on {architecture} ({'; '.join(problems)})",
        "see that `apt-get update` works on this machine, then try again",
    )
