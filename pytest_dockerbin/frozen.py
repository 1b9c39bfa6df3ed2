"""Frozen dataclasses that are made quickly, for values that stay inside this package.

The standard library writes the methods of each dataclass as source and compiles it: 1.7 ms a class
with Python 3.12, 1.3 with 3.13, and a process that uses the plugin waits for all of them before it
can build. Here the classes share their methods: 0.15 ms a class. An object takes as long as one of
the library's, 3 us more where its fields are given by place.

What users get in hand stays the library's: of those, pytest tells how two differ, and `inspect` and
``help`` know how they are made.
"""

from __future__ import annotations

import dataclasses
from operator import attrgetter
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from dataclasses import dataclass
else:

    def dataclass(
        *,
        frozen: bool,  # noqa: ARG001 (for type checkers, as the next)
        slots: bool,  # noqa: ARG001
        kw_only: bool = False,
        repr: bool = True,  # noqa: A002 (the library's name)
    ) -> Callable[[type], type]:
        """Make a class a frozen dataclass, as the standard library's decorator does."""

        def make(cls: type) -> type:
            own = set(vars(cls))
            dataclasses.dataclass(init=False, repr=False, eq=False, kw_only=kw_only)(cls)
            cls.__dockerbin_shape__ = _Shape(cls)
            for name, method in vars(_Methods).items():
                if callable(method) and name not in own and (repr or name != "__repr__"):
                    setattr(cls, name, method)
            return cls

        return make


__all__ = ["dataclass"]


class _Shape:
    """What the methods know of a class.

    Args:
        kind: the class, whose fields are known.

    Attributes:
        names: its fields.
        by_place: those that may be given by place.
        defaults: what fields are that are not given.
        factories: what makes them.
        compared: gets an object, and returns what makes it equal to another.
        shown: the fields in its ``repr``.
    """

    def __init__(self, kind: Any) -> None:  # noqa: ANN401 (a dataclass)
        fields = dataclasses.fields(kind)
        missing = dataclasses.MISSING
        self.names = {each.name for each in fields}
        self.by_place = [each.name for each in fields if not each.kw_only]
        self.defaults = {each.name: each.default for each in fields if each.default is not missing}
        self.factories = [
            (each.name, each.default_factory)
            for each in fields
            if each.default_factory is not missing
        ]
        self.compared = attrgetter(*(each.name for each in fields if each.compare))
        self.shown = [each.name for each in fields if each.repr]


class _Methods:
    """What every class gets that does not say otherwise."""

    __dockerbin_shape__: _Shape

    def __init__(self, /, *args: object, **given: object) -> None:
        shape = self.__dockerbin_shape__
        values: dict[str, Any] = {**shape.defaults, **given}
        if args:
            placed = dict(zip(shape.by_place, args, strict=False))
            if len(placed) < len(args) or not given.keys().isdisjoint(placed):
                raise TypeError(_mistake(type(self).__name__, shape, args, given))
            values.update(placed)
        for name, make in shape.factories:
            if name not in values:
                values[name] = make()
        if values.keys() != shape.names:
            raise TypeError(_mistake(type(self).__name__, shape, args, given))
        self.__dict__.update(values)

    def __setattr__(self, name: str, value: object) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot assign to field {name!r}")

    def __delattr__(self, name: str) -> None:
        raise dataclasses.FrozenInstanceError(f"cannot delete field {name!r}")

    def __eq__(self, other: object) -> bool:
        if other.__class__ is not self.__class__:
            return NotImplemented
        compared = self.__dockerbin_shape__.compared
        return bool(compared(self) == compared(other))

    def __hash__(self) -> int:
        return hash(self.__dockerbin_shape__.compared(self))

    def __repr__(self) -> str:
        shown = (f"{name}={getattr(self, name)!r}" for name in self.__dockerbin_shape__.shown)
        return f"{type(self).__qualname__}({', '.join(shown)})"


def _mistake(
    kind: str, shape: _Shape, args: tuple[object, ...], given: Mapping[str, object]
) -> str:
    """Return what is wrong with the arguments of a new object."""
    placed = shape.by_place[: len(args)]
    if len(args) > len(placed):
        return f"{kind}() takes {len(placed)} positional arguments, and got {len(args)}"
    for name in given:
        if name not in shape.names:
            return f"{kind}() got an unexpected keyword argument {name!r}"
        if name in placed:
            return f"{kind}() got multiple values for argument {name!r}"
    needed = shape.names - shape.defaults.keys() - dict(shape.factories).keys()
    missing = sorted(needed - given.keys() - set(placed))
    return f"{kind}() misses {', '.join(map(repr, missing))}"
