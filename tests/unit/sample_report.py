"""A session as reports show it: 3 platforms, 60 tests, and each kind of trouble."""

from __future__ import annotations

import sys
from hashlib import sha256
from pathlib import Path

from pytest_dockerbin.manifest import FileRecord
from pytest_dockerbin.report.model import (
    BuildReport,
    PlatformReport,
    Report,
    RunReport,
    TestReport,
)
from pytest_dockerbin.steps import StepRecord

AMD, ARM, V7 = "linux/amd64", "linux/arm64", "linux/arm/v7"
EMULATORS = {AMD: "", ARM: "QEMU 7.2.22", V7: "QEMU 7.2.22"}
BEGUN = 1_795_000_000.0
FILES = {"test_cli": 24, "test_config": 12, "test_formats": 14, "test_server": 10}
WORDS = ("help", "version", "roundtrip", "stdin", "unicode", "exit_code", "large_file", "signals")

LOG = """\
build failed for linux/arm/v7: Dockerfile:12 RUN make -C src (exit code 2)
  #14 11.62 cc -O2 -c -o main.o main.c
  #14 11.80 ld: main.o: undefined reference to `__atomic_load_8'
  #14 11.81 make: *** [Makefile:14: server] Error 1
  #14 ERROR: process "/bin/sh -c make -C src" did not complete successfully: exit code: 2
hint: 32-bit ARM needs -latomic
full log: .pytest_cache/d/dockerbin/9be210-linux-arm-v7.log"""

FAULT = "qemu: uncaught target signal 11 (Segmentation fault) - core dumped"


def run(platform, program="server", *args, **more):
    facts = {
        "program": program,
        "platform": platform,
        "args": (f"/cache/session/{platform.replace('/', '_')}/tree/bin/{program}", *args),
        "variables": {"QEMU_CPU": "cortex-a15"} if platform == V7 else {},
        "kind": "exited",
        "returncode": 0,
        "signal": "",
        "runner": "qemu" if EMULATORS[platform] else "native",
        "emulator": EMULATORS[platform],
        "emulated": bool(EMULATORS[platform]),
        "started": BEGUN + 60,
        "seconds": 0.31 if EMULATORS[platform] else 0.012,
        "max_rss": 14_336_000 if EMULATORS[platform] else 1_822_720,
        "cpu_time": 0.2,
        "stdout": "server 1.4.2\n",
        "stderr": "",
        "hint": "",
    }
    return RunReport(**(facts | more))


def result(name, platform, outcome="passed", case="", **more):
    facts = {
        "node": f"{name}[{'-'.join(filter(None, (platform, case)))}]",
        "name": name,
        "case": case,
        "platform": platform,
        "outcome": outcome,
        "started": BEGUN + 60,
        "seconds": 0.4 if EMULATORS.get(platform) else 0.05,
    }
    return TestReport(**(facts | more))


def timeline(factor, emulated, error=""):
    steps = [
        ("[internal] load build definition from Dockerfile", 0.0, 0.1, False, None),
        (
            "[internal] load metadata for docker.io/library/debian:stable-slim",
            0.1,
            0.9,
            False,
            None,
        ),
        ("[build 1/5] FROM docker.io/library/debian:stable-slim", 1.0, 0.0, True, None),
        ("[build 2/5] RUN apt-get install -y gcc make", 1.0, 0.0, True, None),
        ("[build 3/5] COPY src /src", 1.1, 0.2, False, None),
        ("[build 4/5] RUN make -C src", 1.3, 2.9 * factor, False, emulated),
    ]
    end = 1.3 + 2.9 * factor
    if not error:
        steps += [
            ("[build 5/5] RUN strip src/server", end, 0.2 * factor, False, emulated),
            (
                "[stage-1 1/1] COPY --from=build /src/server /bin/",
                end + 0.2 * factor,
                0.1,
                False,
                None,
            ),
            ("exporting to client directory", end + 0.2 * factor + 0.1, 0.4, False, None),
        ]
    return tuple(
        StepRecord(
            name=name,
            started=round(started, 3),
            seconds=round(seconds, 3),
            cached=cached,
            emulated=ran_emulated,
            error=error if name.endswith("make -C src") else "",
        )
        for name, started, seconds, cached, ran_emulated in steps
    )


def exported(platform, size):
    def file(name, size, **more):
        digest = sha256(f"{platform}{name}".encode()).hexdigest()
        return FileRecord(name=name, size=size, sha256=digest, mode=0o755, **more)

    files = [file("bin/server", size, program=True), file("bin/serverd", 0, link="server")]
    files.append(file("share/licence.txt", 1_071))
    if platform == AMD:
        files.append(file("lib/simd/kernels-avx2.bin", 412_160))
    return tuple(files)


def builds():
    for platform, factor, size in ((AMD, 1.0, 8_812_544), (ARM, 13.0, 8_126_464)):
        steps = timeline(factor, bool(EMULATORS[platform]))
        yield BuildReport(
            key="1f3c9a",
            label="./Dockerfile --target bin",
            names=("server",),
            platform=platform,
            source="built",
            seconds=steps[-1].started + steps[-1].seconds + 0.6,
            steps=6,
            cached_steps=2,
            started=BEGUN,
            timeline=steps,
            log_path=f".pytest_cache/d/dockerbin/1f3c9a-{platform.replace('/', '-')}.log",
            ref="default/default/k1v0",
            digest=sha256(platform.encode()).hexdigest(),
            files=exported(platform, size),
        )
    yield BuildReport(
        key="1f3c9a",
        label="./Dockerfile --target bin",
        names=("server",),
        platform=V7,
        source="failed",
        started=BEGUN,
        timeline=timeline(4.0, emulated=True, error="exit code: 2"),
        log_path=".pytest_cache/d/dockerbin/9be210-linux-arm-v7.log",
        error="BuildError",
        reason=LOG.splitlines()[0],
        text=LOG,
        place=("Dockerfile", 12),
    )
    for platform, seconds in ((AMD, 0.7), (ARM, 0.9), (V7, 0.8)):
        yield BuildReport(
            key="77aa01",
            label="tools/Dockerfile",
            names=("probe",),
            platform=platform,
            source="built",
            seconds=seconds,
            steps=1,
            cached_steps=0,
            started=BEGUN + 45,
            timeline=(
                StepRecord(name="[1/1] COPY probe /", started=0.1, seconds=0.3),
                StepRecord(name="exporting to client directory", started=0.4, seconds=0.2),
            ),
            files=(
                FileRecord(name="probe", size=5_120, sha256="ab" * 32, mode=0o755, program=True),
            ),
        )


def names(many):
    """Return that many names of tests, spread over files as people do."""
    made = [
        f"tests/{file}.py::test_{WORDS[number % len(WORDS)]}"
        + (f"_{number // len(WORDS) + 1}" if number >= len(WORDS) else "")
        for file, count in FILES.items()
        for number in range(count)
    ]
    made += [f"tests/test_many_{number // 50}.py::test_{number}" for number in range(60, many)]
    return made[:many]


def tests(many):
    for name in names(many):
        for platform in (AMD, ARM, V7):
            if platform == V7 and "test_formats" not in name and "test_many" not in name:
                first = name.endswith("test_cli.py::test_help")
                text = LOG if first else f"{LOG.splitlines()[0]} (told in full at another test)"
                yield result(name, platform, "error", reason=LOG.splitlines()[0], text=text)
            elif name.endswith("test_cli.py::test_roundtrip"):
                for case in "123":
                    bad = platform == ARM and case == "2"
                    yield result(
                        name,
                        platform,
                        "failed" if bad else "passed",
                        case,
                        reason="AssertionError: assert 'tëst' == 't\\xebst'" if bad else "",
                        text="def test_roundtrip(dockerbin_binary, n):\n>   assert run(n) == text\n"
                        "E   AssertionError: assert 'tëst' == 't\\xebst'\n\ntests/test_cli.py:31"
                        if bad
                        else "",
                        runs=(run(platform, "server", "--echo", case),),
                    )
            elif name.endswith("test_server.py::test_signals") and platform == ARM:
                fault = run(
                    platform,
                    "server",
                    "--threads=8",
                    kind="emulator-fault",
                    returncode=-11,
                    signal="SIGSEGV",
                    stdout="listening on 8080\n",
                    stderr=f"{FAULT}\n",
                    hint="QEMU itself failed: run it on real hardware, or with a newer QEMU",
                )
                text = f"RunError: server ended with SIGSEGV\n{FAULT}"
                reason = "RunError: server ended with SIGSEGV (the emulator failed)"
                yield result(name, platform, "failed", reason=reason, text=text, runs=(fault,))
            elif name.endswith("test_cli.py::test_large_file") and platform != AMD:
                yield result(name, platform, "skipped", reason="too slow under emulation")
            elif name.endswith("test_cli.py::test_unicode") and platform == ARM:
                yield result(name, platform, "xfailed", runs=(run(platform, "server", "--u"),))
            elif not (name.endswith("test_config.py::test_stdin") and platform == AMD):
                program = run(platform, "server", "--version")
                yield result(name, platform, runs=(program,), worker="gw0")
    yield result("tests/test_same.py::test_same_version", "", runs=(run(AMD), run(ARM)))


def report(many=60, extra=()):
    """Return a session's report.

    Args:
        many: number of its tests on each platform.
        extra: further tests.
    """
    return Report(
        started=BEGUN,
        seconds=83.4,
        version="0.1.0",
        exit_status=1,
        platforms=(
            PlatformReport(platform=AMD, runner="native"),
            PlatformReport(platform=V7, runner="qemu", emulator=EMULATORS[V7], emulated=True),
            PlatformReport(
                platform=ARM,
                runner="qemu",
                emulator=EMULATORS[ARM],
                emulated=True,
                said="qemu, from --dockerbin-runner",
            ),
        ),
        builds=tuple(sorted(builds(), key=lambda build: (build.platform, build.title))),
        tests=(*tests(many), *extra),
        missing=(("linux/riscv64 programs can't be run on this host: no emulator", 14),),
    )


HOSTILE = "</script><img src=x onerror=alert(1)>|`@octocat ::error::\u202egnp.exe\x1b[2J\x07\udcff"
"""What a stranger may call a test or a file, or print."""


def hostile():
    """Return a report in which all that a stranger can choose is hostile."""
    fault = run(ARM, "evil", HOSTILE, stdout=f"{HOSTILE}\n", stderr=HOSTILE, returncode=1)
    node = f"tests/test_evil.py::test_{HOSTILE}"
    reason = f"first {HOSTILE}\nsecond"
    evil = result(node, ARM, "failed", reason=reason, text=HOSTILE, runs=(fault,))
    build = BuildReport(
        key="k",
        label=HOSTILE,
        names=(),
        platform=ARM,
        source="failed",
        error="BuildError",
        reason=HOSTILE,
        text=f"{HOSTILE}\n\n</pre></details>\n# head",
        log_path=HOSTILE,
        timeline=(StepRecord(name=HOSTILE, started=0, seconds=1, error=HOSTILE),),
        files=(FileRecord(name=HOSTILE, size=1, sha256="0" * 64, mode=0o644),),
    )
    platform = PlatformReport(platform=ARM, runner=HOSTILE, said=HOSTILE)
    return Report(
        started=BEGUN,
        seconds=1.0,
        version="0.1.0",
        exit_status=1,
        platforms=(platform,),
        builds=(build,),
        tests=(evil,),
        missing=((HOSTILE, 1),),
        notes=(HOSTILE,),
    )


if __name__ == "__main__":
    from pytest_dockerbin.report.document import document
    from pytest_dockerbin.report.html import html
    from pytest_dockerbin.report.markdown import markdown
    from pytest_dockerbin.report.svg import svg

    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for suffix, write in ((".json", document), (".md", markdown), (".svg", svg), (".html", html)):
        (folder / f"sample{suffix}").write_text(write(report()), encoding="utf-8")
    (folder / "large.html").write_text(html(report(1700)), encoding="utf-8")
    (folder / "hostile.html").write_text(html(hostile()), encoding="utf-8")
