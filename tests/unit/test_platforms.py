from __future__ import annotations

import pickle
import platform
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_dockerbin.errors import SettingsError
from pytest_dockerbin.platforms import _VARIANTS, Platform, _host_has_level


def platforms():
    """Every platform that can be asked for, in its parts."""
    systems = st.sampled_from(["linux", "windows", "darwin", "freebsd"])
    return systems.flatmap(
        lambda system: st.sampled_from(
            [
                f"{system}/{arch}/{v}".rstrip("/")
                for arch, vs in _VARIANTS.items()
                for v in ("", *vs)
            ]
        )
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("arm64", "linux/arm64"),
        ("aarch64", "linux/arm64"),
        ("linux/arm64/v8", "linux/arm64"),
        ("linux/arm64/8", "linux/arm64"),
        ("linux/aarch64", "linux/arm64"),
        ("x86_64", "linux/amd64"),
        ("x86-64", "linux/amd64"),
        ("linux/x86_64", "linux/amd64"),
        ("linux/amd64/v1", "linux/amd64/v1"),
        ("linux/amd64/v2", "linux/amd64/v2"),
        ("linux/amd64/v3", "linux/amd64/v3"),
        ("linux/amd64/v4", "linux/amd64/v4"),
        ("linux/arm", "linux/arm/v7"),
        ("arm", "linux/arm/v7"),
        ("linux/arm/7", "linux/arm/v7"),
        ("linux/arm/v6", "linux/arm/v6"),
        ("linux/arm/6", "linux/arm/v6"),
        ("linux/arm/v5", "linux/arm/v5"),
        ("armhf", "linux/arm/v7"),
        ("armel", "linux/arm/v6"),
        ("i386", "linux/386"),
        ("i686", "linux/386"),
        ("linux/386", "linux/386"),
        ("linux/arm/v8", "linux/arm/v8"),
        ("armv8l", "linux/arm/v7"),
        ("mips64el", "linux/mips64le"),
        ("riscv64", "linux/riscv64"),
        ("s390x", "linux/s390x"),
        ("windows/amd64", "windows/amd64"),
        ("macos/arm64", "darwin/arm64"),
        ("wasip1/wasm", "wasip1/wasm"),
        ("LINUX/ARM64", "linux/arm64"),
        ("Linux/Arm/V7", "linux/arm/v7"),
        (" linux/amd64 ", "linux/amd64"),
    ],
)
def test_every_spelling_of_docker_is_read(text, expected):
    assert str(Platform.parse(text)) == expected


@pytest.mark.parametrize("text", ["linux/armhf/v6", "linux/armel/v7"])
def test_an_alias_that_says_the_variant_wins_over_the_variant_given(text):
    """As containerd's ``normalizeArch`` has it."""
    alias, _, _ = text.rpartition("/")
    assert Platform.parse(text) == Platform.parse(alias)


def test_what_is_no_text_is_one_line():
    with pytest.raises(SettingsError, match=r"platform=1: expected text such as 'linux/arm64'"):
        Platform.parse(1)


def test_a_word_that_is_only_a_system_means_the_processor_of_this_host():
    assert Platform.parse("linux") == Platform.host()
    assert Platform.parse("windows").architecture == Platform.host().architecture


@pytest.mark.parametrize(
    ("text", "suggestion"),
    [
        ("linux/amd46", "linux/amd64"),
        ("linux/arm46", "linux/arm64"),
        ("LINUX/ARM46", "linux/arm64"),
        ("linux/arm/v9", "linux/arm/v7"),
        ("linux/amd64/v9", "linux/amd64/v4"),
        ("lunix/amd64", "linux/amd64"),
        ("nativ", "native"),
        ("linux/x68_64", "linux/x86_64"),
        ("linux/aarch46", "linux/aarch64"),
        ("linux/arm/v55", "linux/arm/v5"),
        ("linux/arm/v65", "linux/arm/v6"),
        ("windows/amd46", "windows/amd64"),
        ("darwin/arm46", "darwin/arm64"),
        ("wasip1/wasn", "wasip1/wasm"),
        ("autp", "auto"),
    ],
)
def test_a_mistyped_platform_is_answered_with_the_closest_one(text, suggestion):
    with pytest.raises(SettingsError) as caught:
        Platform.parse(text)
    assert repr(text) in caught.value.summary
    assert f"did you mean '{suggestion}'?" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "/",
        "linux/",
        "/amd64",
        "linux//v7",
        "linux/arm/v7/x",
        "qqqqqqqqqqqq",
        "linux/arm\n64",
        "linux/386/v1",
        "linux/arm64/v",
        "--load",
        "linux/\x00",
    ],
)
def test_nonsense_is_refused_in_one_line(text):
    with pytest.raises(SettingsError) as caught:
        Platform.parse(text)
    assert str(caught.value).startswith(f"unknown platform {text!r}; ")
    assert "\n" not in str(caught.value)


def test_where_nothing_is_close_the_form_is_told():
    with pytest.raises(SettingsError) as caught:
        Platform.parse("qqqqqqqqqqqq")
    assert str(caught.value) == (
        "unknown platform 'qqqqqqqqqqqq'; expected OS/ARCHITECTURE[/VARIANT], such as linux/arm64"
    )


@given(platforms())
def test_what_is_printed_is_read_as_the_same_platform(text):
    try:
        one = Platform.parse(text)
    except SettingsError:
        return  # a variant that this architecture has not
    assert Platform.parse(str(one)) == one
    assert Platform.parse(str(one).upper()) == one
    assert Platform.parse(one.to_json()) == one
    assert one.slug == str(one).replace("/", "_")


@given(st.text())
def test_any_text_is_a_platform_or_a_settings_error(text):
    try:
        one = Platform.parse(text)
    except SettingsError as error:
        assert "\n" not in str(error)  # noqa: PT017 (most texts are none)
    else:
        assert Platform.parse(str(one)) == one


def test_the_parts_are_docker_s():
    one = Platform.parse("linux/arm/7")
    assert (one.os, one.architecture, one.variant) == ("linux", "arm", "v7")
    assert one.slug == "linux_arm_v7"


def test_two_spellings_are_one_key():
    assert len({Platform.parse("arm64"), Platform.parse("linux/arm64/v8")}) == 1


def test_a_platform_travels_between_processes():
    one = Platform.parse("linux/arm/v6")
    assert pickle.loads(pickle.dumps(one)) == one


@pytest.mark.parametrize(
    ("machine", "expected"),
    [
        ("x86_64", "linux/amd64"),
        ("AMD64", "linux/amd64"),
        ("aarch64", "linux/arm64"),
        ("arm64", "linux/arm64"),
        ("armv7l", "linux/arm/v7"),
        ("armv6l", "linux/arm/v6"),
        ("riscv64", "linux/riscv64"),
        ("ppc64le", "linux/ppc64le"),
        ("loongarch64", "linux/loong64"),
        ("", "linux/amd64"),  # what Python says where it can't tell
    ],
)
def test_native_is_the_linux_platform_of_this_processor(monkeypatch, machine, expected):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    assert str(Platform.host()) == expected


@pytest.mark.parametrize(
    ("machine", "system", "text", "native"),
    [
        ("x86_64", "linux", "linux/amd64", True),
        ("x86_64", "linux", "linux/386", True),
        ("x86_64", "linux", "linux/arm64", False),
        ("x86_64", "linux", "windows/amd64", False),
        ("x86_64", "linux", "darwin/amd64", False),
        ("aarch64", "linux", "linux/arm64", True),
        ("aarch64", "linux", "linux/arm64/v9", False),
        ("aarch64", "linux", "linux/386", False),
        ("armv7l", "linux", "linux/arm/v7", True),
        ("armv7l", "linux", "linux/arm/v6", False),
        ("armv7l", "linux", "linux/arm/v5", False),
        ("armv6l", "linux", "linux/arm/v6", True),
        ("armv6l", "linux", "linux/arm/v7", False),
        ("arm64", "darwin", "darwin/arm64", True),
        ("arm64", "darwin", "linux/arm64", False),
        ("AMD64", "win32", "windows/amd64", True),
        ("AMD64", "win32", "linux/amd64", False),
    ],
)
def test_native_is_what_this_processor_and_system_run_themselves(
    monkeypatch, machine, system, text, native
):
    monkeypatch.setattr(platform, "machine", lambda: machine)
    monkeypatch.setattr(sys, "platform", system)
    assert Platform.parse(text).native is native


_V2 = "cx16 lahf_lm popcnt pni sse4_1 sse4_2 ssse3"
_V3 = f"{_V2} avx avx2 bmi1 bmi2 f16c fma abm movbe xsave"


@pytest.mark.parametrize(
    ("flags", "levels"),
    [
        ("fpu sse2", ["v1"]),
        (_V2, ["v1", "v2"]),
        (_V3, ["v1", "v2", "v3"]),
        (_V3.replace("bmi2", ""), ["v1", "v2"]),
        (f"{_V3} avx512f avx512bw avx512cd avx512dq avx512vl", ["v1", "v2", "v3", "v4"]),
        ("avx512f avx512bw avx512cd avx512dq avx512vl", ["v1"]),
    ],
)
def test_an_amd64_level_fits_where_the_processor_has_all_its_instructions(
    monkeypatch, tmp_path, flags, levels
):
    """And it is native where the processor has no more than these."""
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nflags\t\t: {flags}\nbugs\t\t: spectre\n")
    path = {"/proc/cpuinfo": cpuinfo}.__getitem__
    monkeypatch.setattr("pytest_dockerbin.platforms.Path", path)
    monkeypatch.setattr(platform, "machine", lambda: "x86_64")
    monkeypatch.setattr(sys, "platform", "linux")
    _host_has_level.cache_clear()
    try:
        platforms = [Platform.parse(f"linux/amd64/{v}") for v in ("v1", "v2", "v3", "v4")]
        fits = [p.variant for p in platforms if p.fits_host]
        native = [p.variant for p in platforms if p.native]
    finally:
        _host_has_level.cache_clear()
    assert fits == levels
    assert native == levels[-1:]
    assert Platform.parse("linux/amd64").native


def test_an_amd64_level_is_not_native_where_nothing_tells_the_processor_s(monkeypatch, tmp_path):
    monkeypatch.setattr("pytest_dockerbin.platforms.Path", lambda _: tmp_path / "nowhere")
    assert _host_has_level.__wrapped__("v2") is False
    assert all(map(_host_has_level.__wrapped__, ("", "v1")))  # any amd64 has these


def test_level_1_of_amd64_is_built_as_what_it_is_a_level_of():
    """BuildKit knows no linux/amd64/v1: it is the program of linux/amd64 on an older processor."""
    built = {text: str(Platform.parse(text).built_as) for text in ("amd64", "linux/amd64/v2")}
    assert built == {"amd64": "linux/amd64", "linux/amd64/v2": "linux/amd64/v2"}
    assert Platform.parse("linux/amd64/v1").built_as == Platform.parse("linux/amd64")
    assert Platform.parse("linux/amd64/v1") != Platform.parse("linux/amd64")


def test_native_is_this_machine():
    assert Platform.parse("native") == Platform.parse(" Native ") == Platform.host()


@pytest.mark.parametrize("word", ["auto", "linux/*", "*", "linux/amd64,linux/arm64"])
def test_what_may_be_several_platforms_is_not_one(word):
    with pytest.raises(SettingsError) as caught:
        Platform.parse(word)
    assert str(caught.value) == f"{word!r} is not one platform; expected one, such as linux/arm64"


@pytest.mark.parametrize("os", ["linux", "windows", "darwin", "freebsd", "netbsd", "openbsd"])
def test_every_system_is_spelled_as_it_is_read(os):
    platform = Platform.parse(f"{os}/amd64")
    assert (str(platform), platform.os) == (f"{os}/amd64", os)


@pytest.mark.parametrize(
    "architecture",
    [
        *("386", "loong64", "mips", "mipsle", "mips64", "mips64le"),
        *("ppc64", "ppc64le", "riscv64", "s390x", "wasm"),
    ],
)
def test_an_architecture_of_one_kind_has_no_variant(architecture):
    platform = Platform.parse(architecture)
    assert (platform.architecture, platform.variant) == (architecture, "")
    assert str(platform) == f"linux/{architecture}"
    with pytest.raises(SettingsError):
        Platform.parse(f"linux/{architecture}/v1")
