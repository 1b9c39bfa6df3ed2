"""Our quick dataclasses do what the standard library's do."""

from __future__ import annotations

import copy
import dataclasses
import os
import pickle

import pytest

import pytest_dockerbin
from pytest_dockerbin import Platform, frozen
from pytest_dockerbin.buildx.process import Timeouts


class Shown:
    """Says of itself what its class was told to say."""

    def __repr__(self):
        return "<shown>"


def values_of(dataclass):
    """Return classes as the package has them, made by a decorator."""

    @dataclass(frozen=True, slots=True, kw_only=True)
    class Named:
        name: str
        files: tuple[str, ...] = ()
        log: list[str] = dataclasses.field(default_factory=list, compare=False)
        secret: str = dataclasses.field(default="", repr=False)

        @property
        def first(self):
            return self.files[0]

    @dataclass(frozen=True, slots=True, kw_only=True)
    class More(Named):
        more: int

    @dataclass(frozen=True, slots=True)
    class Placed:
        place: str
        number: int = 1

    @dataclass(frozen=True, slots=True, repr=False)
    class Own(Shown, os.PathLike):
        name: str

        def __eq__(self, other):
            return NotImplemented

        def __hash__(self):
            return 5

        def __fspath__(self):
            return self.name

    return Named, More, Placed, Own


BOTH = [values_of(frozen.dataclass), values_of(dataclasses.dataclass)]
both = pytest.mark.parametrize("classes", BOTH, ids=["ours", "the library's"])


@both
def test_fields_have_what_was_given_or_their_defaults(classes):
    named, more, placed, own = classes
    one = named(name="a", files=("x",))
    assert (one.name, one.files, one.log, one.secret, one.first) == ("a", ("x",), [], "", "x")
    assert named(name="a").log is not named(name="a").log
    assert named(name="a", log=["y"]).log == ["y"]
    assert more(name="a", more=3).more == 3
    assert placed("a", number=2) == placed(place="a", number=2) == placed("a", 2) != placed("a")
    assert os.fspath(own("a")) == "a"


@both
@pytest.mark.parametrize(
    ("which", "args", "given", "said"),
    [
        (0, (), {}, "'name'"),
        (1, (), {"name": "a"}, "'more'"),
        (0, (), {"name": "a", "nmae": "b"}, "unexpected keyword argument 'nmae'"),
        (0, ("a",), {}, "positional argument"),
        (2, ("a", 2, 3), {}, "positional arguments"),
        (2, ("a",), {"place": "b"}, "multiple values for argument 'place'"),
        (2, (), {"number": 2}, "'place'"),
    ],
)
def test_wrong_arguments_are_named(classes, which, args, given, said):
    with pytest.raises(TypeError, match=rf"{classes[which].__name__}.*{said}"):
        classes[which](*args, **given)


@both
def test_nothing_changes_them(classes):
    named, _, placed, _ = classes
    for change in (
        lambda: setattr(named(name="a"), "name", "b"),
        lambda: delattr(placed("a"), "place"),
    ):
        with pytest.raises(dataclasses.FrozenInstanceError, match="cannot"):
            change()


@both
def test_they_are_equal_by_what_is_compared(classes):
    named, more, placed, own = classes
    assert named(name="a", log=["x"]) == named(name="a")
    assert hash(named(name="a", log=["x"])) == hash(named(name="a"))
    assert named(name="a") != named(name="b")
    assert named(name="a", secret="b") != named(name="a")
    assert named(name="a") != more(name="a", more=1)
    assert placed("a") != ("a", 1)
    assert own("a") != own("a")
    assert hash(own("a")) == 5


@both
def test_their_repr_names_the_fields(classes):
    named, _, placed, own = classes
    assert repr(placed("a")).endswith("Placed(place='a', number=1)")
    assert repr(named(name="a", secret="b")).endswith("Named(name='a', files=(), log=[])")
    assert repr(own("a")) == "<shown>"


@both
def test_the_library_knows_them(classes):
    named, more, placed, _ = classes
    assert [field.name for field in dataclasses.fields(more)] == [
        "name",
        "files",
        "log",
        "secret",
        "more",
    ]
    assert dataclasses.asdict(placed("a")) == {"place": "a", "number": 1}
    assert dataclasses.replace(named(name="a", secret="s"), name="b") == named(name="b", secret="s")
    assert copy.copy(placed("a", 2)) == placed("a", 2)


def test_they_go_to_other_processes():
    limits = Timeouts(total=5.0)
    assert pickle.loads(pickle.dumps(limits)) == limits


def test_what_users_hold_is_the_library_s():
    held = [getattr(pytest_dockerbin, name) for name in pytest_dockerbin.__all__]
    values = [kind for kind in held if dataclasses.is_dataclass(kind)]
    assert Platform in values
    assert [kind for kind in values if not kind.__dataclass_params__.frozen] == []
