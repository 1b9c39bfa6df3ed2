"""How a test becomes one for each of its platforms and builds: ids, parameters, what is skipped."""

from __future__ import annotations

import pytest

from pytest_dockerbin.platforms import Platform
from pytest_dockerbin.suite import Suite

AMD, ARM, S390 = (Platform.parse(name) for name in ("linux/amd64", "linux/arm64", "linux/s390x"))


@pytest.fixture(autouse=True)
def surroundings(monkeypatch):
    """This machine is linux/amd64, and nothing of the one that runs the tests is seen."""
    monkeypatch.delenv("PYTEST_DOCKERBIN_PLATFORMS", raising=False)
    monkeypatch.setattr(Platform, "host", lambda: AMD)
    monkeypatch.setattr(Platform, "native", property(lambda self: self == AMD))


@pytest.fixture
def bake(monkeypatch):
    """Let builds stand for targets, which a function gives for their settings."""

    def bake(targets):
        answer = targets if callable(targets) else lambda _settings, _named: targets
        monkeypatch.setattr(
            Suite, "bake_targets", lambda _, settings, *, named: answer(settings, named)
        )

    return bake


@pytest.fixture
def collected(pytester):
    """Return the tests of a module by the ids that follow their names."""

    def collected(source):
        items = pytester.getitems(f"import pytest, pytest_dockerbin\n{source}")
        return {item.name.partition("[")[2].rstrip("]"): item for item in items}

    return collected


def param(item, name):
    return item.callspec.params[name]


def settings(item, name="dockerbin"):
    return dict(param(item, name).settings)


def platforms(items):
    return [param(item, "dockerbin_platform") for item in items.values()]


def why_skipped(item):
    return [mark.args[0] for mark in item.iter_markers("skip")]


TWO = '@pytest.mark.platform("linux/arm64", "linux/amd64")'


@pytest.mark.parametrize("fixture", ["dockerbin", "dockerbin_binary", "dockerbin_platform"])
def test_a_test_is_one_for_each_platform(collected, fixture):
    items = collected(f"{TWO}\ndef test_x({fixture}): pass")
    assert list(items) == ["linux/arm64", "linux/amd64"]
    assert platforms(items) == [ARM, AMD]


def test_the_parameter_is_the_fixture_s_and_not_the_test_s(collected):
    (item,) = collected("def test_x(dockerbin): pass").values()
    for name in ("dockerbin", "dockerbin_platform"):
        fixture = item._fixtureinfo.name2fixturedefs[name][-1]
        assert fixture.func.__module__ == "pytest_dockerbin.fixtures"
        assert fixture.scope == "session"


def test_the_platform_is_the_first_part_of_the_id(collected):
    items = collected('@pytest.mark.parametrize("n", [1])\ndef test_x(dockerbin, n): pass')
    assert list(items) == ["linux/amd64-1"]


def test_what_markers_say_of_the_build_is_hidden_in_the_id(collected):
    (item,) = collected(
        '@pytest.mark.dockerbin(target="bin", network="none")\ndef test_x(dockerbin): pass'
    ).values()
    marks = param(item, "dockerbin")
    assert item.name == "test_x[linux/amd64]"
    assert marks.settings == (("network", "none"), ("target", "bin"))
    assert marks.overrides == ""


def test_defaults_of_a_conftest_are_known_to_be_overridden(collected, pytester):
    pytester.makeconftest("import pytest\n@pytest.fixture\ndef dockerbin_defaults(): return {}")
    (item,) = collected("def test_x(dockerbin): pass").values()
    assert "conftest.py:dockerbin_defaults" in param(item, "dockerbin").overrides


def test_what_is_built_on_a_fixture_lives_as_long_as_the_same_defaults_hold(pytester):
    """Else a server of session scope would start anew for each module."""
    override = (
        "import pytest\n@pytest.fixture(scope='session')\ndef dockerbin_defaults(): return {}"
    )
    for name in ("a/test_a", "a/test_b", "b/test_c", "test_d"):
        path = pytester.path / f"{name}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text("def test_it(dockerbin): pass\n\ndef test_by_call(dockerbin_build): pass\n")
        (path.parent / "__init__.py").touch()
    (pytester.path / "a" / "conftest.py").write_text(override)
    (pytester.path / "b" / "conftest.py").write_text(override)
    items, _ = pytester.inline_genitems()
    for fixture in ("dockerbin", "dockerbin_build"):
        given = [param(item, fixture) for item in items if fixture in item.callspec.params]
        assert given[0] == given[1]
        assert len(set(given)) == 3


def test_a_test_that_parametrises_the_platform_itself_keeps_its_own(collected):
    items = collected(
        """
given = pytest_dockerbin.Platform.parse("s390x")
@pytest.mark.parametrize("dockerbin_platform", [given], indirect=True, ids=["mine"])
def test_x(dockerbin, dockerbin_platform): pass
"""
    )
    assert list(items) == ["mine"]
    assert platforms(items) == [S390]
    assert settings(items["mine"]) == {}


def test_a_named_build_is_another_parameter(collected):
    (item,) = collected(
        """
server = pytest_dockerbin.fixture(target="server")
@pytest.mark.dockerbin(target="marked")
def test_x(server): pass
"""
    ).values()
    assert item.name == "test_x[linux/amd64]"
    assert settings(item, "server") == {"target": "server"}
    assert "dockerbin" not in item.callspec.params


def test_a_named_build_that_the_test_parametrises_is_left_alone(collected):
    items = collected(
        """
server = pytest_dockerbin.fixture(target="server")
@pytest.mark.parametrize("server", ["mine"])
def test_x(server, dockerbin_platform): pass
"""
    )
    assert list(items) == ["linux/amd64-mine"]
    assert param(items["linux/amd64-mine"], "server") == "mine"


@pytest.mark.parametrize(
    ("fixtures", "builds"),
    [
        ("server, dockerbin", [("marked", False), ("server", True)]),
        ("server, dockerbin_matrix", [("marked", False), ("server", True)]),
        ("server", [("server", True)]),
        ("dockerbin_platform", []),
    ],
)
def test_bake_is_asked_of_the_builds_that_a_test_asks_for(collected, bake, fixtures, builds):
    asked = []
    bake(lambda settings, named: asked.append((settings["target"], named)))
    collected(
        f"""
server = pytest_dockerbin.fixture(target="server")
@pytest.mark.dockerbin(target="marked")
def test_x({fixtures}): pass
"""
    )
    assert asked == builds


def test_the_one_target_of_a_bake_file_is_hidden_and_says_the_platforms(collected, bake):
    bake({"app": (S390, ARM)})
    items = collected("def test_x(dockerbin): pass")
    assert list(items) == ["linux/s390x", "linux/arm64"]
    assert settings(items["linux/arm64"]) == {}


def test_each_target_of_a_bake_file_is_a_test_beside_each_of_its_platforms(collected, bake):
    """In the order of platforms, as where there are no targets."""
    bake({"one": (ARM, AMD), "two": (AMD, ARM)})
    items = collected("def test_x(dockerbin): pass")
    assert list(items) == [
        "linux/arm64-one",
        "linux/arm64-two",
        "linux/amd64-one",
        "linux/amd64-two",
    ]
    assert platforms(items) == [ARM, ARM, AMD, AMD]
    assert [settings(item)["target"] for item in items.values()] == ["one", "two", "one", "two"]


def test_a_target_without_a_platform_that_was_asked_for_is_skipped(collected, bake, monkeypatch):
    bake({"one": (ARM,), "two": (S390,)})
    monkeypatch.setenv("PYTEST_DOCKERBIN_PLATFORMS", "auto")
    monkeypatch.setattr(Suite, "auto_platforms", lambda _: ())
    items = collected("def test_x(dockerbin): pass")
    assert list(items) == ["no platform-one", "no platform-two"]
    assert platforms(items) == [None, None]
    for item in items.values():
        assert why_skipped(item) == [
            "dockerbin: PYTEST_DOCKERBIN_PLATFORMS=auto: nothing that can be built and run here"
        ]


def test_targets_stand_alone_where_the_test_has_its_own_platforms(collected, bake):
    bake({"one": (ARM,), "two": (AMD,)})
    items = collected(
        """
given = pytest_dockerbin.Platform.parse("s390x")
@pytest.mark.parametrize("dockerbin_platform", [given], indirect=True, ids=["mine"])
def test_x(dockerbin, dockerbin_platform): pass
"""
    )
    assert list(items) == ["one-mine", "two-mine"]
    assert [settings(item)["target"] for item in items.values()] == ["one", "two"]


def test_two_builds_of_a_test_have_the_platforms_that_both_have(collected, bake):
    bake(lambda settings, _: {"app": (ARM, AMD) if settings["target"] == "a" else (S390, AMD, ARM)})
    items = collected(
        """
a = pytest_dockerbin.fixture(target="a")
b = pytest_dockerbin.fixture(target="b")
def test_x(a, b): pass
"""
    )
    assert list(items) == ["linux/arm64", "linux/amd64"]


def test_two_builds_of_several_targets_are_every_pair(collected, bake):
    bake(lambda settings, _: {f"{settings['target']}{n}": (AMD,) for n in (1, 2)})
    items = collected(
        """
a = pytest_dockerbin.fixture(target="a")
b = pytest_dockerbin.fixture(target="b")
def test_x(a, b): pass
"""
    )
    assert list(items) == [f"linux/amd64-{pair}" for pair in ("a1-b1", "a1-b2", "a2-b1", "a2-b2")]
    assert [settings(item, "b")["target"] for item in items.values()] == ["b1", "b2", "b1", "b2"]


def test_a_matrix_is_one_test_that_has_all_platforms(collected):
    (item,) = collected(f"{TWO}\ndef test_x(dockerbin_matrix): pass").values()
    given, marks = param(item, "dockerbin_matrix")
    assert item.name == "test_x"
    assert (given, marks.settings) == ((ARM, AMD), ())
    assert why_skipped(item) == []
    assert not {"dockerbin", "dockerbin_platform"} & set(item.callspec.params)


def test_a_matrix_of_several_targets_is_a_test_for_each(collected, bake):
    bake({"one": (ARM, AMD), "two": (S390,)})
    items = collected("def test_x(dockerbin_matrix): pass")
    found = {name: param(item, "dockerbin_matrix") for name, item in items.items()}
    assert {name: given for name, (given, _) in found.items()} == {
        "one": (ARM, AMD),
        "two": (S390,),
    }
    assert [dict(marks.settings) for _, marks in found.values()] == [
        {"target": "one"},
        {"target": "two"},
    ]


@pytest.mark.parametrize(
    ("fixture", "test_id"), [("dockerbin", "linux/arm64,linux/amd64"), ("dockerbin_matrix", "")]
)
def test_nothing_in_common_is_one_skipped_test(collected, monkeypatch, fixture, test_id):
    monkeypatch.setenv("PYTEST_DOCKERBIN_PLATFORMS", "linux/s390x")
    items = collected(f"{TWO}\ndef test_x({fixture}): pass")
    assert list(items) == [test_id]
    assert why_skipped(items[test_id]) == [
        "dockerbin: linux/arm64,linux/amd64 not among PYTEST_DOCKERBIN_PLATFORMS=linux/s390x"
    ]
    if test_id:
        assert platforms(items) == [ARM]
