"""What runs a platform's programs, on hosts that have this and lack that."""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
from contextlib import nullcontext

import pytest

from pytest_dockerbin import platforms
from pytest_dockerbin.errors import EmulatorError, EngineError, SettingsError
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.runner_spec import RunnerSpec
from pytest_dockerbin.runners import chain, qemu
from pytest_dockerbin.runners.chain import Decision, decide
from pytest_dockerbin.runners.containers import Containers
from pytest_dockerbin.runners.proof import ProofError, write_tiny

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="these are Linux programs")

HOST = Platform.host()
FOREIGN = Platform.parse("linux/s390x" if HOST.architecture != "s390x" else "linux/arm64")
NAME = qemu.name_of(FOREIGN.architecture)

# Stands for QEMU: knows one model, and "runs" whatever file is named last
QEMU = """\
#!/bin/sh
case "$*" in
  *--version*) echo "qemu-{name} version 9.1.2 (a script)"; exit 0;;
  *"-cpu help"*) printf 'Available CPUs:\\n  good-cpu\\n'; exit 0;;
  *"-cpu good-cpu"*) ;;
  *-cpu*) echo "unable to find CPU model 'x'" >&2; exit 1;;
esac
test "$QEMU_VERSION" && echo "qemu-{name} version 9.1.2" && exit 0
exit 42
"""


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A folder that alone is PATH, but for the shell's own."""
    folder = tmp_path / "bin with 'quotes'"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}")
    return folder


@pytest.fixture
def no_binfmt(monkeypatch):
    """A host whose kernel starts no emulator."""

    def tiny(platform, folder):
        file = write_tiny(platform, folder)
        if file and not platform.fits_host:
            file.write_bytes(b"\x7fELF of nobody")
        return file

    monkeypatch.setattr(chain, "write_tiny", tiny)


def script(file, text=QEMU):
    file.write_text(text.replace("{name}", NAME))
    file.chmod(0o755)
    return file


def decided(folder, spec="auto", platform=FOREIGN, model=None):
    folder = folder / "staging"
    folder.mkdir(exist_ok=True)
    containers = Containers("of-test-chain", nullcontext)
    return decide(RunnerSpec.parse(spec), platform, folder, model=model, containers=containers)


def failure(*args, error=EmulatorError, **given):
    with pytest.raises(error) as caught:
        decided(*args, **given)
    return caught.value


# -- the chain ------------------------------------------------------------------------------------


def test_this_machine_s_own_programs_run_natively(tmp_path):
    assert decided(tmp_path, platform=HOST) == Decision(name="native")


def test_without_binfmt_the_emulator_on_path_is_started_by_name(tmp_path, path, no_binfmt):
    emulator = script(path / f"qemu-{NAME}-static")
    assert decided(tmp_path) == Decision(
        name="qemu",
        emulated=True,
        prefix=(str(emulator), "-L", "/"),
        argv0="-0",
        version="QEMU 9.1.2",
    )


def test_the_static_emulator_is_preferred_and_the_other_serves(tmp_path, path, no_binfmt):
    other = script(path / f"qemu-{NAME}")
    assert decided(tmp_path).prefix[0] == str(other)
    static = script(path / f"qemu-{NAME}-static")
    assert decided(tmp_path).prefix[0] == str(static)


def test_where_nothing_runs_the_error_says_what_was_tried_and_the_cure(tmp_path, path, no_binfmt):
    error = failure(tmp_path)
    assert error.summary == (
        f"{FOREIGN} programs can't be run on this host: binfmt: Exec format error; "
        f"qemu: neither qemu-{NAME}-static nor qemu-{NAME} is on PATH"
    )
    assert f"--install {FOREIGN.architecture}, or apt-get install qemu-user" in error.hint


def test_an_emulator_that_does_not_work_is_not_taken(tmp_path, path, no_binfmt):
    script(path / f"qemu-{NAME}-static", "#!/bin/sh\necho boom >&2\nexit 1\n")
    assert "qemu: a tiny program ended with 1 instead of 42: boom" in failure(tmp_path).summary


def test_native_programs_are_never_emulated_unasked(tmp_path, path, monkeypatch):
    """Else a native test would be ten times slower for a reason that nobody is told."""
    script(path / f"qemu-{qemu.name_of(HOST.architecture)}-static")
    monkeypatch.setattr(chain, "write_tiny", lambda *_: script(tmp_path / "tiny", "no program"))
    assert "native: Exec format error" in failure(tmp_path, platform=HOST).summary


@pytest.mark.parametrize(
    ("platform", "example"), [("windows/amd64", ", such as wine"), ("darwin/arm64", "")]
)
@pytest.mark.parametrize("spec", ["auto", "native", "qemu", "container"])
def test_programs_of_another_system_need_a_command_that_the_user_names(
    platform, example, spec, tmp_path
):
    error = failure(tmp_path, spec, platform=Platform.parse(platform))
    system = platform.partition("/")[0]
    assert error.summary == (
        f"{platform} programs can't be run on this host: no runner here is for {system}"
    )
    assert error.hint == (
        f"name a program that runs them: --dockerbin-runner={platform}=COMMAND{example}; "
        "to inspect them, the fixture dockerbin needs none"
    )
    assert list((tmp_path / "staging").iterdir()) == []


def test_a_command_for_another_system_is_taken_as_it_is(tmp_path):
    """There is no tiny program of it that could be tried."""
    tool = script(tmp_path / "fakewine", "#!/bin/sh\nexit 7\n")
    windows = Platform("windows", HOST.architecture)
    decision = decided(tmp_path, f"{tool} --flag", windows)
    assert decision == Decision(name="fakewine", prefix=(str(tool), "--flag"))
    assert decided(tmp_path, str(tool), Platform("darwin", FOREIGN.architecture)).emulated
    spec = RunnerSpec.parse(str(tool))
    tool.unlink()  # it was there when the settings were read
    with pytest.raises(EmulatorError) as caught:
        decide(spec, windows, tmp_path, containers=Containers("of-test-chain", nullcontext))
    assert caught.value.summary.endswith(f"by the runner {str(tool)!r}: no such executable file")


def test_a_decision_travels_between_processes(tmp_path, path, no_binfmt):
    script(path / f"qemu-{NAME}-static")
    decision = decided(tmp_path)
    assert Decision.from_json(json.loads(json.dumps(decision.to_json()))) == decision
    binfmt = Decision(name="binfmt", variables=(("QEMU_CPU", "max"),))
    assert Decision.from_json(json.loads(json.dumps(binfmt.to_json()))) == binfmt


# -- emulators that the kernel starts -------------------------------------------------------------


@pytest.fixture
def handler(monkeypatch, tmp_path):
    """Let the kernel start a script for foreign programs, as binfmt_misc would."""

    def register(text=QEMU):
        def tiny(platform, folder):
            return script(folder / f"probe-{platform.slug}", text)

        monkeypatch.setattr(chain, "write_tiny", tiny)

    return register


def test_what_answers_as_qemu_is_binfmt(tmp_path, handler):
    handler()
    expected = Decision(name="binfmt", emulated=True, version="QEMU 9.1.2")
    assert decided(tmp_path) == expected


def test_an_emulator_other_than_qemu_is_binfmt_of_no_version(tmp_path, handler):
    """Rosetta, FEX or box64: they know no QEMU_VERSION, and run the program."""
    handler("#!/bin/sh\nexit 42\n")
    assert decided(tmp_path) == Decision(name="binfmt", emulated=True)
    assert "its emulator is not QEMU" in failure(tmp_path, "binfmt", model="good-cpu").summary


def test_32_bit_arm_on_64_bit_arm_is_native_where_it_runs(tmp_path, handler, monkeypatch):
    handler("#!/bin/sh\nexit 42\n")
    monkeypatch.setattr(platforms.host_platform, "machine", lambda: "aarch64")
    armv7 = Platform.parse("linux/arm/v7")
    assert decided(tmp_path, platform=armv7) == Decision(name="native")
    handler()
    assert decided(tmp_path, platform=armv7).name == "binfmt"


def test_all_of_this_inside_an_emulator_is_emulated(tmp_path, handler):
    """A container of a foreign platform: its own programs are emulated, and pytest too."""
    handler()
    assert decided(tmp_path, platform=HOST).name == "binfmt"


def test_a_default_prefix_that_is_there_is_turned_off(tmp_path, handler, monkeypatch):
    """Else a static program's open("/etc/x") would find another file than on other machines."""
    handler()
    (tmp_path / NAME).mkdir()
    monkeypatch.setattr(qemu, "_PREFIXES", (f"{tmp_path}/{{name}}",))
    assert decided(tmp_path).variables == (("QEMU_LD_PREFIX", "/"),)


# -- what the user asks for -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ("native", "an emulator is what runs them here"),
        ("qemu=/bin/false", "a tiny program ended with 1 instead of 42"),
        ("/bin/false", "a tiny program ended with 1 instead of 42"),
    ],
)
def test_a_runner_that_can_t_is_an_error_and_no_other_is_tried(tmp_path, handler, spec, said):
    handler("#!/bin/sh\nexit 42\n")
    error = failure(tmp_path, spec)
    assert error.summary == f"{FOREIGN} programs can't be run by the runner {spec!r}: {said}"
    assert error.hint.startswith(f"--dockerbin-runner={FOREIGN}=auto tries ")


def test_binfmt_is_not_what_runs_native_programs(tmp_path):
    said = failure(tmp_path, "binfmt", platform=HOST).summary
    assert said.endswith("'binfmt': this host's own processor runs them")


def test_none_runs_nothing(tmp_path):
    assert failure(tmp_path, "none", platform=HOST).summary == (
        f"{HOST} programs are not run here: their runner is 'none'"
    )


def test_qemu_s_file_and_words_are_taken_as_they_are(tmp_path, path):
    emulator = script(tmp_path / "my-qemu")
    decision = decided(tmp_path, f"qemu={emulator}")
    assert (decision.name, decision.prefix) == ("qemu", (str(emulator), "-L", "/"))
    emulator.rename(path / f"qemu-{NAME}-static")
    decision = decided(tmp_path, "qemu:-cpu good-cpu -s 1000")
    assert decision.prefix[3:] == ("-cpu", "good-cpu", "-s", "1000")
    assert decision.cpu == "good-cpu"


def test_a_command_of_the_user_s_is_proved_too(tmp_path):
    tool = script(tmp_path / "wrap it", '#!/bin/sh\nshift\nexec "$@"\n')
    decision = decided(tmp_path, f"'{tool}' --flag", HOST)
    assert decision == Decision(name="wrap it", prefix=(str(tool), "--flag"))
    script(tool, "#!/bin/sh\nexit 7\n")
    assert "ended with 7 instead of 42" in failure(tmp_path, f"'{tool}'", HOST).summary


def test_a_command_that_starts_qemu_is_an_emulator(tmp_path):
    tool = script(tmp_path / "wrap")
    decision = decided(tmp_path, str(tool), HOST)
    assert (decision.emulated, decision.version) == (True, "QEMU 9.1.2")


# -- containers -----------------------------------------------------------------------------------


@pytest.fixture
def docker(path, monkeypatch, tmp_path):
    """A docker command whose engine does not answer."""
    # by TCP: a Unix socket that can't be connected docker-py leaves to the garbage collector
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")
    monkeypatch.setenv("DOCKER_CONFIG", str(tmp_path))
    return script(path / "docker", "#!/bin/sh\nexit 1\n")


@pytest.mark.parametrize("spec", ["container", "container:debian", "docker:far"])
def test_a_container_needs_the_docker_command(tmp_path, path, spec):
    said = "the docker command is not on PATH"
    assert failure(tmp_path, spec).summary.endswith(f"by the runner {spec!r}: {said}")


def test_a_container_that_was_asked_for_needs_its_engine(tmp_path, docker):
    error = failure(tmp_path, "container", error=EngineError)
    assert error.summary.startswith("the Docker daemon does not answer (")
    assert "systemctl start docker" in error.hint


def test_without_an_engine_the_others_are_named_too(tmp_path, docker, no_binfmt):
    said = failure(tmp_path).summary
    assert "binfmt: Exec format error; qemu: neither " in said
    assert "; container: the Docker daemon does not answer (" in said


def test_a_context_that_is_not_there_is_named_with_the_closest(tmp_path, docker):
    (tmp_path / "config.json").write_text("{}")
    for name in ("board", "farm"):
        folder = tmp_path / "contexts" / "meta" / hashlib.sha256(name.encode()).hexdigest()
        folder.mkdir(parents=True)
        meta = {"Name": name, "Metadata": {}, "Endpoints": {}}
        (folder / "meta.json").write_text(json.dumps(meta))
    error = failure(tmp_path, "docker:bord", error=SettingsError)
    assert str(error) == "unknown docker context 'bord'; did you mean 'board'?"


def test_docker_py_finds_no_context_without_a_config_file(tmp_path, docker, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    error = failure(tmp_path, "docker:board", error=SettingsError)
    assert "where there is a config.json only; make one" in str(error)


def test_a_decision_for_a_container_travels_too(tmp_path):
    decision = Decision(name="docker", prefix=("docker", "--context", "x"), image="y", context="x")
    assert Decision.from_json(json.loads(json.dumps(decision.to_json()))) == decision


# -- CPU models -----------------------------------------------------------------------------------


def test_a_model_that_a_test_asks_for_needs_qemu_also_for_native_programs(tmp_path, path):
    error = failure(tmp_path, platform=HOST, model="good-cpu")
    assert error.summary.startswith(f"{HOST} programs can't be run on the CPU model 'good-cpu' ")
    assert error.hint == "install QEMU for its CPU models: apt-get install qemu-user-static"
    emulator = script(path / f"qemu-{qemu.name_of(HOST.architecture)}")
    decision = decided(tmp_path, platform=HOST, model="good-cpu")
    assert decision.prefix == (str(emulator), "-L", "/", "-cpu", "good-cpu")
    assert (decision.name, decision.emulated, decision.cpu) == ("qemu", True, "good-cpu")


@pytest.mark.parametrize(
    ("spec", "why"),
    [
        ("native", "this host's own processor is no good-cpu"),
        ("env -i", "a CPU model needs qemu"),
    ],
)
def test_a_runner_without_cpu_models_says_so(tmp_path, spec, why):
    error = failure(tmp_path, spec, platform=HOST, model="good-cpu")
    assert why in str(error)


def test_where_nothing_may_be_executed_the_folder_is_told(tmp_path, monkeypatch):
    def refused(_):
        raise ProofError("Permission denied")

    monkeypatch.setattr(chain, "is_noexec", lambda _: True)
    monkeypatch.setattr(chain, "emulator_of", refused)
    error = failure(tmp_path, "native", platform=HOST)
    assert "is mounted noexec" in error.summary
    assert error.hint == "name another folder: --dockerbin-cache-dir=DIR"


def test_a_model_wins_over_the_one_of_the_setting(tmp_path, path):
    script(path / f"qemu-{NAME}-static")
    decision = decided(tmp_path, "qemu:-cpu other", model="good-cpu")
    assert decision.prefix[3:] == ("-cpu", "other", "-cpu", "good-cpu")


def test_an_unknown_model_is_named_with_the_closest(tmp_path, path, no_binfmt):
    script(path / f"qemu-{NAME}-static")
    error = failure(tmp_path, model="god-cpu", error=SettingsError)
    assert str(error) == "unknown CPU model 'god-cpu'; did you mean 'good-cpu'?"
    error = failure(tmp_path, "qemu:-cpu xyz", error=SettingsError)
    expected = f"expected one that `qemu-{NAME}-static -cpu help` lists"
    assert str(error) == f"unknown CPU model 'xyz'; {expected}"
    own = script(tmp_path / "my-qemu")
    error = failure(tmp_path, f"qemu={own}", model="xyz", error=SettingsError)
    assert str(error).endswith(f"`{own} -cpu help` lists")


def test_a_new_enough_processor_is_taken_where_qemu_s_default_is_old(tmp_path, path, monkeypatch):
    """And QEMU's default where it does not know the word."""
    monkeypatch.setattr(qemu, "_OLD_DEFAULTS", (FOREIGN.architecture,))
    emulator = script(path / f"qemu-{NAME}-static", QEMU.replace("good-cpu", "max"))
    assert decided(tmp_path, "qemu").prefix == (str(emulator), "-L", "/", "-cpu", "max")
    script(emulator)
    assert decided(tmp_path, "qemu").prefix == (str(emulator), "-L", "/")


@pytest.mark.parametrize(
    "printed",
    [
        "Available CPUs:\n  cortex-a53\n  max\n",
        "x86 cortex-a53            (alias)\nx86 max    x\n\nRecognized CPUID flags:\n  fpu\n",
        "s390 cortex-a53   IBM\ns390 max   Enables all\n",
        "PowerPC cortex-a53   PVR 00050\nPowerPC max (alias for x)\n",
        "MIPS 'cortex-a53'\nMIPS 'max'\n",
    ],
)
def test_the_list_of_models_is_read_in_every_layout(printed):
    assert qemu.known_models(printed) == ["cortex-a53", "max"]


# -- the real thing -------------------------------------------------------------------------------

needs_qemu = pytest.mark.skipif(
    not all(shutil.which(f"qemu-{name}-static") for name in ("aarch64", "arm", "x86_64")),
    reason="needs qemu-user-static",
)


@needs_qemu
@pytest.mark.parametrize("name", ["arm/v6", *sorted(platforms._VARIANTS.keys() - {"wasm"})])
def test_qemu_by_name_runs_every_platform(name, tmp_path):
    decision = decided(tmp_path, "qemu", Platform.parse(f"linux/{name}"))
    assert (decision.name, decision.emulated) == ("qemu", True)
    assert decision.version.startswith("QEMU ")


@needs_qemu
def test_where_the_kernel_shows_no_handler_qemu_is_started_by_name(tmp_path):
    """In a user namespace with a binfmt_misc of its own, which is empty."""
    program = (
        "from contextlib import nullcontext; from pathlib import Path; import sys\n"
        "from pytest_dockerbin.runners.containers import Containers\n"
        "from pytest_dockerbin.platforms import Platform\n"
        "from pytest_dockerbin.runner_spec import RunnerSpec\n"
        "from pytest_dockerbin.runners.chain import decide\n"
        f"foreign = Platform.parse({str(FOREIGN)!r})\n"
        "containers = Containers('of-test-chain', nullcontext)\n"
        "folder = Path(sys.argv[1])\n"
        "print(decide(RunnerSpec(), foreign, folder, containers=containers).name)\n"
    )
    binfmt = "mount -t binfmt_misc none /proc/sys/fs/binfmt_misc"
    inside = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c"]
    if subprocess.run([*inside, binfmt], check=False, capture_output=True).returncode:
        pytest.skip("no user namespace with a binfmt_misc of its own")
    command = [*inside, f'{binfmt} && exec "$@"', "sh", sys.executable, "-c", program, tmp_path]
    run = subprocess.run(command, check=True, capture_output=True, text=True)
    assert run.stdout == "qemu\n"


def instruction(*code):
    """Return an amd64 program that executes one instruction and ends with 0."""
    tiny = _tiny_amd64()
    start = tiny.index(b"\xbf")  # mov edi, code: the first of its three instructions
    grown = tiny[:start] + bytes(code) + tiny[start:]
    size = len(tiny).to_bytes(8, "little")
    return grown.replace(size, len(grown).to_bytes(8, "little"))


def _tiny_amd64():
    from pytest_dockerbin.runners.tiny import tiny_program  # noqa: PLC0415

    return tiny_program(Platform.parse("linux/amd64"), 0)


SSE3 = (0x66, 0x0F, 0x7C, 0xC0)  # haddpd xmm0, xmm0
POPCNT = (0xF3, 0x48, 0x0F, 0xB8, 0xC0)  # popcnt rax, rax
AVX2 = (0xC5, 0xFD, 0xFE, 0xC0)  # vpaddd ymm0, ymm0, ymm0
AVX512 = (0x62, 0xF1, 0x7D, 0x48, 0xFE, 0xC0)  # vpaddd zmm0, zmm0, zmm0


@needs_qemu
@pytest.mark.skipif(HOST.architecture != "amd64", reason="needs qemu for this processor")
@pytest.mark.parametrize(
    ("level", "instructions"),
    [("v1", []), ("v2", [SSE3, POPCNT]), ("v3", [SSE3, POPCNT, AVX2])],
)
def test_a_level_of_amd64_has_its_instructions_and_no_more(level, instructions, tmp_path):
    decision = decided(tmp_path, "qemu", Platform.parse(f"linux/amd64/{level}"))
    assert decision.cpu == f"x86-64-{level}"
    program = tmp_path / "program"
    ended = {}
    for code in (SSE3, POPCNT, AVX2, AVX512):
        program.write_bytes(instruction(*code))
        program.chmod(0o755)
        run = subprocess.run([*decision.prefix, program], check=False, capture_output=True)
        ended[code] = run.returncode
        assert b"warning" not in run.stderr
    assert [code for code, end in ended.items() if end == 0] == instructions
    assert {end for end in ended.values() if end} == {-4}


@pytest.mark.skipif(HOST.architecture != "amd64", reason="levels of this processor")
def test_a_level_is_not_run_on_a_newer_processor_unasked(tmp_path, path, monkeypatch):
    monkeypatch.setattr(platforms, "_host_has_level", lambda _: True)
    v1 = Platform.parse("linux/amd64/v1")
    error = failure(tmp_path, platform=v1)
    assert error.summary == (
        "linux/amd64/v1 programs can't be run on a processor of that level here: "
        "binfmt: this host's own processor runs them; "
        "qemu: neither qemu-x86_64-static nor qemu-x86_64 is on PATH"
    )
    assert error.hint == (
        "install QEMU for its CPU models: apt-get install qemu-user-static; "
        "--dockerbin-runner=linux/amd64/v1=native takes this newer processor"
    )
    assert decided(tmp_path, "native", v1) == Decision(name="native")


@pytest.mark.skipif(HOST.architecture != "amd64", reason="levels of this processor")
def test_a_level_that_neither_processor_nor_qemu_has_is_refused(tmp_path, path, monkeypatch):
    monkeypatch.setattr(platforms, "_host_has_level", lambda level: level != "v4")
    script(path / "qemu-x86_64-static")
    said = failure(tmp_path, platform=Platform.parse("linux/amd64/v4")).summary
    assert "native: this host's processor is not amd64/v4" in said
    assert "qemu: QEMU emulates no AVX-512" in said


def test_an_option_that_qemu_does_not_have_is_a_mistake_and_nothing_missing(tmp_path, path):
    said = "#!/bin/sh\necho \"qemu: unknown option 'bogus'\" >&2\nexit 1\n"
    script(path / f"qemu-{NAME}-static", said)
    error = failure(tmp_path, "qemu:-bogus", error=SettingsError)
    assert str(error) == "'qemu:-bogus': qemu: unknown option 'bogus'"
