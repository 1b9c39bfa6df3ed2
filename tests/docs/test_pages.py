"""What the pages show is understood: code, settings, commands, links."""

from __future__ import annotations

import ast
import hashlib
import inspect
import itertools
import json
import os
import pathlib
import re
import shlex
import tomllib
from xml.etree import ElementTree as ET

import pages
import pytest
import yaml

import pytest_dockerbin
from pytest_dockerbin import __main__ as command_line
from pytest_dockerbin import errors

KNOWN = {
    "console", "dockerfile", "docker", "hcl", "ini", "json", "markdown", "python", "rust", "text",
    "toml", "yaml", "go", "c", "c++", "make", "",
}  # fmt: skip


def of(*languages):
    """Return the blocks in these languages that stand in a page, as parameters.

    Files that a page shows are run as parts of their projects.
    """
    return [
        pytest.param(block, id=str(block))
        for block in pages.ALL
        if block.language in languages and not block.source
    ]


@pytest.fixture
def folder(pytester, monkeypatch, tmp_path):
    """An empty project, far from CI and from the user's cache."""
    for name in ("CI", "BUILD_NUMBER", "GITHUB_STEP_SUMMARY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("PYTEST_DOCKERBIN_CACHE_DIR", str(tmp_path / "cache"))
    (pytester.path / "Dockerfile").write_text("FROM scratch AS bin\n")
    return pytester


def test_each_block_says_its_language():
    assert {block.language for block in pages.ALL} <= KNOWN


# -- Python ---------------------------------------------------------------------------------------


def is_script(block):
    """Tell whether Python does something when it is imported but define names."""
    return any(
        isinstance(node, ast.Try | ast.With | ast.For) for node in ast.parse(block.text).body
    )


def test_python_is_collected_by_pytest(folder):
    """Markers, settings, hooks and fixtures that do not exist would be errors."""
    (folder.path / "pytest.ini").write_text("[pytest]\naddopts = --import-mode=importlib\n")
    samples = [each.values[0] for each in of("python") if not is_script(each.values[0])]
    for number, block in enumerate(samples):
        place = folder.path / f"sample{number}"
        for name in ("Dockerfile", "app/Dockerfile", "server/Dockerfile", "client/Dockerfile"):
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            (place / name).write_text("FROM scratch AS bin\n")
        of_hooks = "def pytest_" in block.text
        shown = f"# {block}\n{without_bake(block.text)}"
        (place / ("conftest.py" if of_hooks else "test_it.py")).write_text(shown)
    result = folder.runpytest("--setup-plan", "-p", "no:cacheprovider")
    assert result.ret == pytest.ExitCode.OK, result.stdout.str()
    collected = {line.split("/")[0] for line in result.outlines if line.startswith("sample")}
    assert len(collected) > len(samples) / 2


def without_bake(source):
    """Take the bake files out: docker would be asked for what is in them."""
    return re.sub(r'bake="[^"]*"(?:, target="[^"]*")?', 'context="app"', source)


# -- settings -------------------------------------------------------------------------------------


@pytest.mark.parametrize("block", of("ini", "toml", "json"))
def test_settings_are_understood(block, folder):
    if block.language == "json":
        json.loads(block.text)
        return
    name = "pytest.ini" if block.language == "ini" else "pyproject.toml"
    text = block.text
    if block.language == "ini" and not text.startswith("["):
        text = f"[pytest]\n{text}"
    (folder.path / name).write_text(text)
    (folder.path / "docker-bake.hcl").write_text("")
    result = folder.runpytest("--strict-config", "--collect-only")
    assert result.ret == pytest.ExitCode.NO_TESTS_COLLECTED, result.stderr.str()


# -- commands -------------------------------------------------------------------------------------


def steps(node):
    """Yield each line that a CI file has run, wherever it stands."""
    if isinstance(node, dict):
        for key, value in node.items():
            script = [value] if isinstance(value, str) else value
            if key in {"run", "script", "before_script"} and isinstance(script, list):
                yield from (line for text in script for line in text.splitlines())
            else:
                yield from steps(value)
    elif isinstance(node, list):
        for value in node:
            yield from steps(value)


COMMANDS = [
    command
    for block in pages.ALL
    for command in (
        [command for command, _ in pages.commands(block)]
        if block.language == "console"
        else steps(yaml.safe_load(block.text))
        if block.language == "yaml"
        else ()
    )
]


def words_of(command):
    """Return the words of a command, without variables before it."""
    text = re.sub(r"\$\{\{ matrix\.platform \}\}", "linux/arm64", command).replace("\\\n", " ")
    return [word for word in shlex.split(text) if not re.fullmatch(r"[A-Z_]+=.*", word)]


def options_of(command):
    """Return what a command says to our plugin."""
    options, words = [], iter(words_of(command))
    if next(words, "") == "pytest":
        for word in words:
            if word in {"-o", "--dockerbin-platforms"}:
                options += [word, next(words)]
            elif word.startswith("--dockerbin-"):
                options.append(word)
    return tuple(options)


OPTIONS = sorted({options for command in COMMANDS if (options := options_of(command))})


@pytest.mark.parametrize("options", OPTIONS, ids=" ".join)
def test_options_are_understood(options, folder, monkeypatch):
    """They exist, and take the values that are shown."""
    if any("prebuilt" in word for word in options):
        (folder.path / "dist/linux_arm64").mkdir(parents=True)
        (folder.path / "dist/linux_arm64/hello").write_text("")
    if any(":board" in word for word in options):  # a docker context that the reader has made
        meta = folder.path / "docker/contexts/meta" / hashlib.sha256(b"board").hexdigest()
        meta.mkdir(parents=True)
        host = {"docker": {"Host": "tcp://192.0.2.1:2375"}}
        (meta / "meta.json").write_text(json.dumps({"Name": "board", "Endpoints": host}))
        (folder.path / "docker/config.json").write_text("{}")
        monkeypatch.setenv("DOCKER_CONFIG", str(folder.path / "docker"))
    for program in ("run-on-board", "bin/wine"):
        (folder.path / program).parent.mkdir(exist_ok=True)
        (folder.path / program).write_text("#!/bin/sh\n")
        (folder.path / program).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder.path}/bin{os.pathsep}{os.environ['PATH']}")
    folder.parseconfigure(*options)  # a pytest.UsageError where one is not


def test_our_own_commands_are_understood():
    own = [words_of(command)[3:] for command in COMMANDS if "-m pytest_dockerbin" in command]
    assert own
    for words in own:
        with pytest.raises(SystemExit) as stopped:
            command_line.main([*words, "--help"])
        assert stopped.value.code == 0


def test_steps_of_workflows_are_found():
    assert [*steps({"jobs": [{"run": "a\nb"}, {"script": ["c"]}]})] == ["a", "b", "c"]


# -- files and links ------------------------------------------------------------------------------


def test_each_file_that_is_shown_belongs_to_a_project_that_is_run():
    """Each has a test: test_projects.py runs the samples, and examples have theirs."""
    for block in pages.ALL:
        if block.source and block.source.parent.name != "examples":  # CI files: by their schemas
            project = next(
                (p for p in block.source.parents if p.parent.name in {"samples", "examples"}), None
            )
            assert project, f"{block}: {block.source}"
            assert [*project.glob("**/test_*.py")], f"{block}: {project} has no test"


def targets(page):
    """Yield each place in the repository that a page links to, and the heading there."""
    text = re.sub(r"^(`{3,}).*?^\1", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    links = re.findall(r"\]\(([^)\s]+)\)", text) + re.findall(
        r'(?:src|srcset|href)="([^"]+)"', text
    )
    for link in links:
        if not re.match(r"[a-z]+:", link):
            place, _, heading = link.partition("#")
            yield link, (page.parent / place).resolve() if place else page, heading


def headings(page):
    """Return the anchors of a page's headings, as MyST and GitHub make them."""
    lines = re.findall(r"^#{1,6} +(.+)$", page.read_text(), re.MULTILINE)
    lines += re.findall(r"^\(([\w-]+)\)=$", page.read_text(), re.MULTILINE)
    plain = (re.sub(r"\[([^]]*)\]\([^)]*\)|[`*]", r"\1", line) for line in lines)
    return {re.sub(r"[^\w\- ]", "", line.lower()).replace(" ", "-") for line in plain}


@pytest.mark.parametrize("page", [*pages.PAGES, *sorted(pages.REPOSITORY.glob("*.md"))], ids=str)
def test_links_lead_somewhere(page):
    for link, place, heading in targets(page):
        assert place.exists(), f"{page}: {link}"
        if heading and place.suffix == ".md":
            wanted = heading.replace("_", "-")
            assert wanted in {name.replace("_", "-") for name in headings(place)}, f"{page}: {link}"


# -- what the reference has to have ---------------------------------------------------------------


def tree(root):
    """Return an error and all that are made of it."""
    return [root, *(error for child in root.__subclasses__() for error in tree(child))]


def test_each_error_has_its_cause_and_cure():
    """One section each, with a cause and a cure."""
    text = (pages.REPOSITORY / "docs/reference/errors.md").read_text()
    sections = dict(re.findall(r"^## (\w+)\n(.*?)(?=^## |\Z)", text, re.MULTILINE | re.DOTALL))
    ours = [error for error in tree(errors.DockerbinError) if error.__module__ == errors.__name__]
    assert sections.keys() == {error.__name__ for error in ours}
    for name, section in sections.items():
        assert "**Cause:**" in section, name
        assert "**Cure:**" in section, name
        assert hasattr(pytest_dockerbin, name), f"{name} is not public"


SAMPLES = {
    "str": ["X"],
    "str | None": ["X", None],
    "int": [0],
    "Path": [pathlib.Path("X")],
    "Iterable[str]": [["X"]],
}


def first_lines(error):
    """Yield the first line of each message that an error's named constructors make."""
    for name, constructor in vars(error).items():
        if isinstance(constructor, classmethod):
            make = getattr(error, name)
            kinds = [each.annotation for each in inspect.signature(make).parameters.values()]
            for values in itertools.product(*map(SAMPLES.__getitem__, kinds)):
                yield make(*values).summary


@pytest.mark.parametrize("error", [errors.EngineError, errors.ArtifactError])
def test_errors_are_found_by_their_first_lines(error):
    """The table of an error's page has each, and no other."""
    page = (pages.REPOSITORY / "docs/reference/errors.md").read_text()
    table = page.split(f"\n## {error.__name__}\n")[1].split("|---|---|\n")[1].split("\n\n")[0]
    shown = [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines()]
    forms = [re.sub(r"NAME|\\\.\\\.\\\.", ".*", re.escape(text.replace("`", ""))) for text in shown]
    said = list(first_lines(error))
    assert [line for line in said if not any(re.match(form, line) for form in forms)] == []
    assert [form for form in forms if not any(re.match(form, line) for line in said)] == []


def test_the_readme_names_the_oldest_versions_that_are_tested():
    project = tomllib.loads((pages.REPOSITORY / "pyproject.toml").read_text())["project"]
    engine = (pages.REPOSITORY / "tools/engine/toolsets.py").read_text()
    python = project["requires-python"].removeprefix(">=")
    [own] = [each.removeprefix("pytest>=") for each in project["dependencies"] if "pytest>" in each]
    docker = re.search(r'^FLOOR_VERSION = "(\d+\.\d+)\.', engine, re.MULTILINE)[1]
    readme = (pages.REPOSITORY / "README.md").read_text()
    assert f"needs Python {python}, pytest {own}, and Docker {docker} with buildx" in readme


def test_each_public_name_is_in_the_reference():
    """As code, so that it can be searched for."""
    folder = pages.REPOSITORY / "docs/reference"
    text = "\n".join(page.read_text() for page in sorted(folder.glob("*.md")))
    code = re.findall(r"```.*?```|`[^`]+`", text, re.DOTALL)
    assert sorted(set(pytest_dockerbin.__all__) - set(re.findall(r"\w+", " ".join(code)))) == []


def test_configuration_has_each_option_and_ini_key(folder):
    """As ``pytest --help`` lists them, with the types of the keys."""
    said = folder.runpytest("--help").stdout.str()
    page = (pages.REPOSITORY / "docs/reference/configuration.md").read_text()
    of_session, of_builds = page.split("| name | ini type | value |")
    options = re.findall(r"^\| \[`(--dockerbin-[\w-]+)", of_session, re.MULTILINE)
    assert sorted(options) == sorted(re.findall(r"^  (--dockerbin-[\w-]+)", said, re.MULTILINE))
    keys = {
        name: kind or "string"
        for name, kind in re.findall(
            r"^\|.*`dockerbin_(\w+)`(?:\]\(#[\w-]+\))?(?: \((\w+)\))?", of_session, re.MULTILINE
        )
    }
    for cell, types in re.findall(r"^\| ([^|]*`[^|]*) \| ([\w, ]+) \|", of_builds, re.MULTILINE):
        names, kinds = re.findall(r"`(\w+)`", cell), types.split(", ")
        keys |= dict(zip(names, kinds if len(kinds) > 1 else kinds * len(names), strict=True))
    assert keys == dict(re.findall(r"^  dockerbin_(\w+) \((\w+)\):", said, re.MULTILINE))


@pytest.mark.parametrize(
    "picture",
    sorted((pages.REPOSITORY / "docs/pictures").glob("*.svg")),
    ids=lambda path: path.name,
)
def test_a_picture_is_for_light_and_dark_pages(picture):
    """It fetches nothing, and is well-formed."""
    text = picture.read_text()
    ET.fromstring(text)
    assert "prefers-color-scheme: dark" in text
    assert not re.findall(r"(?:href|src|url)[=(][^#)]*https?:", text)
