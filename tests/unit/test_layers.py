"""The drawing of the package: who may import whom, and what merely installing it costs."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest
from linked import Linked, mac_program, windows_program

import pytest_dockerbin

PACKAGE = Path(pytest_dockerbin.__file__).parent

# from the bottom to the top; a module imports from lower layers only
LAYERS = (
    {"frozen", "errors", "commands_in_text", "steps", "surroundings"},
    # frozen values, and readers of formats
    {"platforms", "secret", "spec", "settings", "runner_spec", "job", "artifact", "results"}
    | {"executables", "progress", "redaction", "dockerfile", "dockerignore", "tables"}
    | {
        "checks",
        "comparison",
        "build_settings",
        "attestations",
        "hooks",
        "reproducibility",
        "manifest",
        "shipment",
        "build_name",
        "bake_target",
        "invocation",
        "journal",
        "activity",
    }
    | {"report", "report.model", "report.wording", "report.grid", "report.timeline"}
    | {"report.exports", "report.telemetry", "report.templating"}
    | {"report.document", "report.html", "report.markdown", "report.svg"}
    | {"inspection", "inspection.info", "inspection.elf", "inspection.pe", "inspection.macho"},
    # one thing of the outside world each
    {
        "store",
        "entries",
        "locks",
        "fingerprint",
        "digests",
        "engine",
        "export",
        "watchdog",
        "watching",
        "stamps",
    }
    | {"folders", "known_inputs", "record", "prebuilt"}
    | {
        "buildx",
        "buildx.bake",
        "buildx.build",
        "buildx.caches",
        "buildx.command",
        "buildx.diagnosis",
        "buildx.docker",
        "buildx.linked",
    }
    | {"buildx.process", "runners", "runners.hints", "runners.host", "runners.lineage"}
    | {"runners.listening", "runners.quarters"}
    | {"runners.mounts", "runners.process", "runners.procfs", "runners.proof", "runners.refusal"}
    | {"runners.registry", "runners.running", "runners.spool", "runners.tiny", "runners.verdict"}
    | {"archive", "runners.container", "runners.containers"}
    | {"runners.chain", "runners.launcher", "runners.qemu", "runners.binfmt", "buildx.inventory"},
    {
        "ahead",
        "answers",
        "baking",
        "maker",
        "session",
        "session_runners",
        "sysroot",
        "command",
        "cache_command",
        "shipping",
    }
    | {"doctor", "doctor.command", "doctor.examination", "doctor.findings", "doctor.report"},
    # these know pytest
    {"options", "configuration", "selection", "outcomes", "suite"}
    | {"reporting", "reporting.collector", "reporting.folding", "reporting.header"}
    | {
        "reporting.between",
        "reporting.live",
        "reporting.matrix",
        "reporting.notes",
        "reporting.relay",
        "reporting.reporter",
        "reporting.tracing",
    }
    | {"reporting.matrix", "reporting.runs", "reporting.services", "reporting.writing"}
    | {"lifetimes", "overlap", "plan", "plugin_hooks", "delivery"},
    {"fixtures", "hookspecs", "plugin", "__main__"},
)
VALUES, ADAPTERS, PYTEST, TOP = LAYERS[1], LAYERS[2], LAYERS[4], LAYERS[5]

# which outside thing may be imported where
OUTSIDE = {
    "pytest": PYTEST | TOP,
    "_pytest": set(),
    "docker": {"engine"},
    "filelock": {"locks"},
    "tarfile": {"archive", "attestations"},
    "subprocess": {
        "buildx.bake",
        "buildx.docker",
        "buildx.inventory",
        "buildx.process",
        "watchdog",
        "watching",
        "artifact",
        "invocation",
        "runners.container",
        "runners.host",
        "runners.proof",
        "runners.process",
        "runners.running",
    },
    "platformdirs": set(),
    "opentelemetry": {"report.telemetry"},
    "jinja2": {"report.templating"},
    "elftools": {"inspection.elf"},
    "pefile": {"inspection.pe"},
    "macholib": {"inspection.macho"},
}


def modules():
    for path in sorted(PACKAGE.rglob("*.py")):
        name = ".".join(path.relative_to(PACKAGE).with_suffix("").parts)
        if name != "__init__":  # the package's names, taken from everywhere on first use
            yield name.removesuffix(".__init__"), ast.parse(path.read_text())


MODULES = dict(modules())


def imported(tree):
    """Every module that a tree names in an import, wherever it stands."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "an import says the whole name"
            if node.module == "pytest_dockerbin":
                yield from (f"pytest_dockerbin.{alias.name}" for alias in node.names)
            else:
                yield node.module


def own_imports(name):
    prefix = "pytest_dockerbin."
    return {
        module.removeprefix(prefix)
        for module in imported(MODULES[name])
        if module.startswith(prefix)
    }


def layer_of(name):
    return next(index for index, layer in enumerate(LAYERS) if name in layer)


def test_every_module_has_its_place_in_the_drawing():
    assert set(MODULES) <= set().union(*LAYERS)


def test_every_module_is_on_the_map():
    """CONTRIBUTING.md; packages of modules are named by these."""
    contributing = Path(__file__).parents[2] / "CONTRIBUTING.md"
    if not contributing.is_file():  # the tests alone, beside an installed wheel
        pytest.skip("there is no checkout")
    on_map = contributing.read_text().partition("## The map")[2].partition("## How a change")[0]
    named = {name.replace("/", ".") for name in re.findall(r"`([a-z_/]+)`", on_map)}
    packages = {name.rpartition(".")[0] for name in MODULES if "." in name}
    assert set(MODULES) - packages - named == set()
    assert {name for name in named if "." in name} <= set(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_imports_go_down_only(name):
    assert {other for other in own_imports(name) if layer_of(other) > layer_of(name)} == set()


@pytest.mark.parametrize("name", sorted(ADAPTERS & set(MODULES)))
def test_adapters_do_not_import_one_another(name):
    """But for a few that are parts of another: why a build failed, how its end is waited for."""
    parts = {"buildx.inventory": {"engine"}, "store": {"locks", "folders"}}
    parts |= {"entries": {"locks", "folders", "record"}, "record": {"folders"}}
    parts |= {"engine": {"archive"}, "runners.containers": {"archive", "engine"}}
    parts |= {f"runners.{part}": {"engine"} for part in ("chain", "container")}
    parts |= {
        "watching": {"folders", "runners.lineage"},
        "watchdog": {"watching"},
        "runners.quarters": {"folders"},
    }
    parts |= {"fingerprint": {"known_inputs"}, "export": {"digests"}}
    package = name.partition(".")[0]
    siblings = {other for other in ADAPTERS if other.startswith(f"{package}.")}
    assert own_imports(name) & ADAPTERS <= parts.get(name, set()) | siblings


def test_there_is_no_circle():
    TopologicalSorter({name: own_imports(name) for name in MODULES}).prepare()


@pytest.mark.parametrize("outside", OUTSIDE)
def test_an_outside_thing_is_known_to_its_own_modules_only(outside):
    users = {
        name
        for name, tree in MODULES.items()
        if any(module.split(".")[0] == outside for module in imported(tree))
    }
    assert users <= OUTSIDE[outside]


@pytest.mark.parametrize(("name", "heavy"), [("engine", "docker"), ("locks", "filelock")])
def test_what_is_heavy_is_imported_inside_functions(name, heavy):
    at_import = [
        node
        for node in MODULES[name].body
        if isinstance(node, ast.Import | ast.ImportFrom)
        and heavy in {module.split(".")[0] for module in imported(ast.Module([node], []))}
    ]
    assert at_import == []


def loaded_by(code, *watched):
    """Return which of some modules are loaded in a new interpreter once it has run ``code``."""
    # old releases of coverage are imported, with sqlite3, into every process that begins meanwhile
    program = f"import sys\nbefore = set(sys.modules)\n{code}\n"
    program += f"print(*[n for n in {watched!r} if n in sys.modules.keys() - before])"
    # and every release into whatever it measures
    environment = {key: text for key, text in os.environ.items() if "COVERAGE" not in key}
    run = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        check=True,
        env=environment,
    )
    return run.stdout.split()


HEAVY = (
    "jinja2",
    "docker",
    "requests",
    "urllib3",
    "filelock",
    "ssl",
    "sqlite3",
    "platformdirs",
    "asyncio",
)
READERS = ("elftools", "pefile", "macholib")


def test_the_plugin_s_import_costs_nothing_of_what_builds_need():
    """Every pytest run in the environment pays for it, whether it has a test of ours or not."""
    assert loaded_by("import pytest", *HEAVY) == []  # else this test would prove nothing
    assert (
        loaded_by(
            "import pytest_dockerbin.plugin",
            *HEAVY,
            *READERS,
            *(f"pytest_dockerbin.{name}" for name in sorted(LAYERS[2] | LAYERS[3])),
        )
        == []
    )


def test_a_session_that_builds_nothing_loads_nothing_that_builds(tmp_path):
    """Results of earlier sessions are there at once: so must be the plugin."""
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    code = (
        "from pathlib import Path\n"
        "from pytest_dockerbin import Builder, CacheMissError, CacheMode, Settings, build_spec\n"
        f"tmp_path = Path({str(tmp_path)!r})\n"
        "settings = Settings(cache=CacheMode.ONLY, cache_dir=tmp_path / 'cache')\n"
        "with Builder(settings) as builder:\n"
        "    try:\n"
        "        builder.build(build_spec(tmp_path), 'linux/amd64')\n"
        "    except CacheMissError:\n"
        "        pass\n"
        "    else:\n"
        "        raise AssertionError('it was there')\n"
    )
    names = ("buildx.bake", "buildx.build", "buildx.inventory", "buildx.process", "bake_target")
    names += ("prebuilt", "runners.chain", "runners.containers", "runners.host")
    watched = [f"pytest_dockerbin.{name}" for name in names]
    assert loaded_by(code, "docker", *watched) == []
    everything = "".join(f"import {name}\n" for name in watched)
    assert loaded_by(everything, *watched) == watched  # else this test would prove nothing


def test_a_build_that_succeeds_loads_nothing_that_explains_failures():
    watched = [f"pytest_dockerbin.{n}" for n in ("buildx.diagnosis", "buildx.inventory", "engine")]
    assert loaded_by("import pytest_dockerbin.buildx.build", *watched) == []
    assert sorted(loaded_by("import pytest_dockerbin.buildx.diagnosis", *watched)) == watched


def test_pytest_reads_the_package_as_python_does(pytester):
    """It would rewrite the assertions, of which there are none, and read each module slower."""
    pytester.makeconftest(
        """
        import sys

        def pytest_report_header():
            loaded = [m for name, m in sys.modules.items() if name.startswith("pytest_dockerbin.")]
            assert len(loaded) > 2
            return sorted({type(m.__loader__).__name__ for m in loaded})
        """
    )
    result = pytester.runpytest_subprocess("--dockerbin-platforms=linux/amd64")
    result.stdout.fnmatch_lines(["SourceFileLoader"])
    assert "AssertionRewritingHook" not in result.stdout.str()


def test_the_package_s_import_costs_nothing_at_all():
    watched = [f"pytest_dockerbin.{name}" for name in MODULES]
    assert loaded_by("import pytest_dockerbin", "pytest", *HEAVY, *READERS, *watched) == []


def test_programs_are_read_with_the_library_of_their_format_only(tmp_path):
    """Tests that only run a program pay for none of them."""
    written = {"elftools": bytes(Linked()), "pefile": windows_program(), "macholib": mac_program()}
    code = "from pytest_dockerbin import Artifact, Binary, Platform, compare\n"
    assert loaded_by(code, *READERS) == []
    code += (
        "from pathlib import Path\n"
        "platform = Platform.parse('linux/amd64')\n"
        "program = Binary(path=Path({!r}), platform=platform, size=0, sha256='', runner=None)\n"
    )
    for library, data in written.items():
        path = tmp_path / library
        path.write_bytes(data)
        assert loaded_by(code.format(str(path)), *READERS) == []
        assert loaded_by(code.format(str(path)) + "program.info", *READERS) == [library]


def test_pytest_is_not_needed_to_build_in_a_script():
    code = "from pytest_dockerbin import Builder, Platform, Settings, BuildError, build_spec"
    assert loaded_by(code, "pytest", "_pytest") == []


def test_pytest_is_not_needed_for_commands():
    assert loaded_by("import pytest_dockerbin.__main__", "pytest", "_pytest", "docker") == []


def test_every_public_name_is_there():
    for name in pytest_dockerbin.__all__:
        assert getattr(pytest_dockerbin, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'Nonsense'"):
        pytest_dockerbin.Nonsense  # noqa: B018
