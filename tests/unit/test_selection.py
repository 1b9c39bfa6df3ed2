"""The rules of "which platforms a test runs for", one by one."""

from __future__ import annotations

import gc
import weakref

import pytest

from pytest_dockerbin.errors import SettingsError
from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.selection import (
    build_marks,
    choose,
    in_order,
    is_parametrised,
    marks_of_nearest_node,
)
from pytest_dockerbin.settings import Selection

platform = pytest.mark.platform


@pytest.fixture(autouse=True)
def host(monkeypatch):
    """Whatever this machine is, it is linux/amd64 in these tests, and runs no other natively."""
    amd64 = Platform.parse("linux/amd64")
    monkeypatch.setattr(Platform, "host", lambda: amd64)
    monkeypatch.setattr(Platform, "native", property(lambda self: self == amd64))


def chosen(
    marks=(),
    *,
    chosen=None,
    default=("native",),
    auto=(),
    source="--dockerbin-platforms",
    baked=(),
):
    selection = Selection(chosen=chosen, default=default, source=source)
    return choose(
        [decorator.mark for decorator in marks],
        selection,
        lambda: tuple(map(Platform.parse, auto)),
        tuple(map(Platform.parse, baked)),
    )


def names(*args, **options):
    choice = chosen(*args, **options)
    assert choice.skipped is None
    return [str(one) for one in choice.platforms]


# -- without a marker -----------------------------------------------------------------------------


def test_an_unmarked_test_runs_natively():
    assert names() == ["linux/amd64"]


def test_an_unmarked_test_runs_for_the_ini_file_s_platforms():
    assert names(default=("linux/arm64", "arm/v7")[:1]) == ["linux/arm64"]


def test_an_unmarked_test_runs_for_exactly_the_chosen_platforms():
    assert names(chosen=("linux/riscv64", "arm64"), default=("linux/s390x",)) == [
        "linux/riscv64",
        "linux/arm64",
    ]


def test_native_and_auto_are_words_of_lists():
    assert names(chosen=("native",)) == ["linux/amd64"]
    assert names(chosen=("auto",), auto=("linux/amd64", "linux/arm64")) == [
        "linux/amd64",
        "linux/arm64",
    ]


def test_a_platform_is_taken_once_however_it_is_spelled():
    words = ("linux/amd64", "x86_64", "native", "auto", "amd64")
    assert names(chosen=words, auto=("linux/amd64",)) == ["linux/amd64"]


def test_auto_is_asked_for_only_where_it_is_said():
    def never():
        raise AssertionError("docker was asked")

    choose([], Selection(), never)
    choose([platform("linux/arm64").mark], Selection(), never)


def test_nothing_that_builds_and_runs_here_is_one_skipped_item_that_says_so():
    choice = chosen(chosen=("auto",), auto=())
    assert choice.platforms == ()
    assert choice.skipped == "--dockerbin-platforms=auto: nothing that can be built and run here"


def test_a_bake_file_s_platforms_take_the_place_of_the_native_one():
    baked = ("linux/s390x", "linux/arm64")
    assert names(source="default", baked=baked) == ["linux/s390x", "linux/arm64"]
    assert names([platform("linux/arm*")], source="default", baked=baked) == ["linux/arm64"]
    assert names(source="default") == ["linux/amd64"]


def test_a_list_is_stronger_than_a_bake_file():
    assert names(chosen=("arm64",), baked=("linux/s390x",)) == ["linux/arm64"]
    assert names(default=("arm64",), source="ini", baked=("linux/s390x",)) == ["linux/arm64"]


def test_the_order_is_that_of_the_list_and_then_of_tests():
    tests = [Platform.parse(name) for name in ("s390x", "arm64", "amd64")]

    def order(words, source):
        selection = Selection(chosen=None, default=words, source=source)
        auto = (Platform.parse("riscv64"),)
        return [each.architecture for each in in_order(selection, lambda: auto, tests)]

    assert order(("native",), "default") == ["s390x", "arm64", "amd64"]
    assert order(("amd64", "386"), "ini") == ["amd64", "386", "s390x", "arm64"]
    assert order(("auto", "arm64"), "ini") == ["riscv64", "arm64", "s390x", "amd64"]


# -- with a marker --------------------------------------------------------------------------------


def test_a_marker_names_the_platforms():
    assert names([platform("linux/arm64", "linux/arm/v7")]) == ["linux/arm64", "linux/arm/v7"]


def test_a_marker_may_name_what_is_not_in_the_ini_list():
    assert names([platform("linux/riscv64")], default=("linux/arm64",)) == ["linux/riscv64"]


def test_a_marker_may_hold_platform_objects():
    assert names([platform(Platform.parse("arm64"))]) == ["linux/arm64"]


def test_several_markers_of_one_node_add_up():
    marks = [platform("linux/arm64"), platform("linux/amd64"), platform("linux/arm64")]
    assert names(marks) == ["linux/arm64", "linux/amd64"]


def test_the_words_of_lists_are_words_of_markers_too():
    assert names([platform("native", "linux/arm64")]) == ["linux/amd64", "linux/arm64"]
    assert names([platform("auto")], auto=("linux/s390x",)) == ["linux/s390x"]


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("linux/*", ["linux/amd64", "linux/arm64", "linux/arm/v7"]),
        ("*/amd64", ["linux/amd64", "windows/amd64"]),
        ("linux/arm*", ["linux/arm64", "linux/arm/v7"]),
        ("LINUX/ARM*", ["linux/arm64", "linux/arm/v7"]),
        ("linux/arm/v[67]", ["linux/arm/v7"]),
        ("linux/a?d64", ["linux/amd64"]),
    ],
)
def test_a_pattern_matches_the_chosen_platforms_else_the_ini_file_s(pattern, expected):
    words = ("linux/amd64", "linux/arm64", "linux/arm/v7", "windows/amd64")
    assert names([platform(pattern)], chosen=words) == expected
    assert names([platform(pattern)], default=words) == expected


def test_a_pattern_beside_a_name_adds_up():
    assert names([platform("linux/s390x", "linux/amd*")]) == ["linux/s390x", "linux/amd64"]


def test_a_pattern_that_matches_nothing_is_one_skipped_item_that_says_so():
    choice = chosen([platform("windows/*")], chosen=("linux/amd64", "linux/arm64"))
    assert choice.platforms == ()
    assert choice.skipped == "no platform of linux/amd64,linux/arm64 is windows/*"
    choice = chosen([platform("windows/*", "*/386")], chosen=("linux/amd64",))
    assert choice.skipped == "no platform of linux/amd64 is windows/*, */386"


def test_the_list_narrows_a_marked_test_to_what_both_name():
    marks = [platform("linux/arm64", "linux/amd64", "linux/arm/v7")]
    assert names(marks, chosen=("linux/arm/v7", "linux/arm64", "linux/s390x")) == [
        "linux/arm64",
        "linux/arm/v7",
    ]


def test_the_ini_list_does_not_narrow_a_marked_test():
    assert names([platform("linux/arm64")], default=("linux/amd64",)) == ["linux/arm64"]


def test_nothing_in_common_is_one_skipped_item_that_says_so():
    choice = chosen([platform("linux/arm64", "arm")], chosen=("linux/amd64",))
    assert choice.platforms == ()
    assert [str(one) for one in choice.asked] == ["linux/arm64", "linux/arm/v7"]
    assert choice.skipped == (
        "linux/arm64,linux/arm/v7 not among --dockerbin-platforms=linux/amd64"
    )


def test_emulated_false_keeps_what_runs_natively():
    marks = [platform("linux/amd64", "linux/arm64", emulated=False)]
    assert names(marks) == ["linux/amd64"]
    assert names([platform(emulated=False)], default=("linux/arm64", "native")) == ["linux/amd64"]
    choice = chosen([platform("linux/arm64", emulated=False)], chosen=("linux/arm64",))
    assert choice.skipped == "linux/arm64 needs an emulator here, and emulated=False"
    choice = chosen([platform("arm64", "s390x", emulated=False)])
    assert choice.skipped == "linux/arm64,linux/s390x need an emulator here, and emulated=False"


def test_emulated_true_is_as_if_nothing_was_said():
    assert names([platform("linux/arm64", emulated=True)]) == ["linux/arm64"]


# -- what is wrong --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("mark", "message"),
    [
        (
            platform("linux/arm46"),
            "@pytest.mark.platform: unknown platform 'linux/arm46'; did you mean 'linux/arm64'?",
        ),
        (
            platform(["linux/arm64"]),
            "@pytest.mark.platform: platform=['linux/arm64']: expected text such as 'linux/arm64'",
        ),
        (
            platform("linux/arm64", emulate=False),
            "@pytest.mark.platform: unknown argument 'emulate'; did you mean 'emulated'?",
        ),
        (
            platform("linux/arm64", emulated="no"),
            "@pytest.mark.platform: emulated='no': expected True or False",
        ),
    ],
)
def test_a_marker_that_makes_no_sense_is_refused_in_one_line(mark, message):
    with pytest.raises(SettingsError) as caught:
        chosen([mark])
    assert str(caught.value) == message


# -- which markers count --------------------------------------------------------------------------

SUITE = """
    import pytest
    pytestmark = [
        pytest.mark.platform("module"),
        pytest.mark.dockerbin(target="module", build_args={"A": "module"}, no_cache=True),
    ]

    @pytest.mark.platform("class")
    @pytest.mark.platform("class too")
    @pytest.mark.dockerbin(target="class", context="sub")
    class TestClass:
        @pytest.mark.platform("function")
        @pytest.mark.dockerbin(target="function")
        def test_function(self): pass
        def test_class(self): pass

    def test_module(): pass
"""


@pytest.fixture
def items(pytester):
    return {item.name: item for item in pytester.getitems(SUITE)}


def marks_of(item):
    return list(item.iter_markers_with_node())


def words(item):
    return {
        word for mark in marks_of_nearest_node(marks_of(item), "platform") for word in mark.args
    }


def test_the_nearest_node_that_has_a_platform_marker_decides(items):
    assert words(items["test_function"]) == {"function"}
    assert words(items["test_class"]) == {"class", "class too"}
    assert words(items["test_module"]) == {"module"}


def test_a_test_without_markers_has_none(pytester):
    item = pytester.getitem("def test_func(): pass")
    assert words(item) == set()
    assert build_marks(marks_of(item)) == {}


def test_build_markers_merge_key_by_key_from_module_to_function(items):
    merged = build_marks(marks_of(items["test_function"]))
    assert merged["target"] == "function"
    assert merged["context"] == items["test_function"].path.parent / "sub"
    assert merged["build_args"] == (("A", "module"),)
    assert merged["no_cache"] is True
    assert build_marks(marks_of(items["test_class"]))["target"] == "class"
    assert "context" not in build_marks(marks_of(items["test_module"]))


def test_build_markers_can_be_a_fixture_s_parameter(items):
    for item in items.values():
        hash(tuple(build_marks(marks_of(item)).items()))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            "'bin'",
            "@pytest.mark.dockerbin: arguments=('bin',): expected names and values, such as",
        ),
        ("traget='bin'", "@pytest.mark.dockerbin: unknown build setting 'traget'; did you mean"),
        ("pull='yes'", "@pytest.mark.dockerbin: pull='yes': expected True or False"),
    ],
)
def test_a_build_marker_that_makes_no_sense_is_refused_in_one_line(pytester, arguments, message):
    item = pytester.getitem(
        f"import pytest\n@pytest.mark.dockerbin({arguments})\ndef test_func(): 0"
    )
    with pytest.raises(SettingsError) as caught:
        build_marks(marks_of(item))
    assert str(caught.value).startswith(message)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("parametrize", "arguments", "expected"),
    [
        ("'dockerbin_platform', [1], indirect=True", "dockerbin_platform", True),
        ("'x, dockerbin_platform', [(1, 2)]", "x, dockerbin_platform", True),
        ("('dockerbin_platform',), [(1,)]", "dockerbin_platform", True),
        ("argnames=['dockerbin_platform'], argvalues=[(1,)]", "dockerbin_platform", True),
        ("'x', [1]", "x", False),
        ("'dockerbin_platform_x', [1]", "dockerbin_platform_x", False),
    ],
)
def test_a_test_that_parametrises_the_platform_itself_is_known(
    pytester, parametrize, arguments, expected
):
    (item,) = pytester.getitems(f"""
        import pytest
        @pytest.mark.xfail
        @pytest.mark.parametrize({parametrize})
        @pytest.mark.xfail
        def test_func({arguments}): pass
    """)
    assert is_parametrised(marks_of(item), "dockerbin_platform") is expected


def test_nothing_of_a_session_is_kept_when_it_is_over():
    """All its tests would be, up to the end of the process, which they make slow."""

    class Suite:
        def auto_platforms(self):
            return (Platform.host(),)

    suite = Suite()
    selection = Selection(chosen=("auto",), source="--dockerbin-platforms")
    assert choose([], selection, suite.auto_platforms).platforms == (Platform.host(),)
    kept = weakref.ref(suite)
    del suite
    gc.collect()
    assert kept() is None
