"""Frozen keyword-only classes without the import cost: annotations in, an immutable class out.

The OCI hook starts twice for every container; `dataclasses` or `msgspec` would add 12 to 25 ms to each start.
Type checkers see an ordinary frozen dataclass.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, TypeVar, dataclass_transform

    T = TypeVar("T")

    @dataclass_transform(kw_only_default=True, frozen_default=True)
    def frozen(cls: type[T]) -> type[T]: ...

    @dataclass_transform(kw_only_default=True, frozen_default=True)
    def compact(cls: type[T]) -> type[T]: ...

    def replace(instance: T, **changes: Any) -> T: ...

    def bare(cls: type[T]) -> Any: ...

else:

    def _init(self, **values):
        cls = type(self)
        for name in cls.__fields__:
            if name in values:
                value = values.pop(name)
            elif name in cls.__defaults__:
                value = cls.__defaults__[name]
            else:
                raise TypeError(f"{cls.__name__}: {name} is missing")
            object.__setattr__(self, name, value)
        if values:
            raise TypeError(f"{cls.__name__}: unknown {', '.join(sorted(values))}")
        self.__post_init__()

    def _refuse(self, name, *value):
        raise AttributeError(f"{type(self).__name__} is frozen: {name} cannot be changed")

    def _key(self):
        return tuple(getattr(self, name) for name in self.__fields__)

    def _eq(self, other):
        return self._key() == other._key() if type(other) is type(self) else NotImplemented

    def _repr(self):
        inner = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__fields__)
        return f"{type(self).__name__}({inner})"

    def _reduce(self):
        return _copied, (type(self), self._key())

    def _copied(cls, values):
        return cls(**dict(zip(cls.__fields__, values, strict=True)))

    def frozen(cls):
        """Make `cls` immutable, compared by value, built by keyword, checked by its `__post_init__`."""
        cls.__fields__ = tuple(cls.__annotations__)
        cls.__defaults__ = {name: cls.__dict__[name] for name in cls.__fields__ if name in cls.__dict__}
        return _furnished(cls)

    def compact(cls):
        """As `frozen`, without a dictionary in each instance, for what there is a million of; it has no base class."""
        fields = tuple(cls.__annotations__)
        kept = {
            name: value
            for name, value in cls.__dict__.items()
            if name not in (*fields, "__dict__", "__weakref__")
        }
        made = type(cls.__name__, (), kept | {"__slots__": fields})
        made.__fields__ = fields
        made.__defaults__ = {name: cls.__dict__[name] for name in fields if name in cls.__dict__}
        made.__bare__ = type(cls.__name__, (), {"__slots__": fields, "__module__": cls.__module__})
        # What copies and pickles sets the fields of classes with slots one by one, which is refused.
        made.__reduce__ = _reduce
        return _furnished(made)

    def _furnished(cls):
        cls.__init__ = _init
        cls.__setattr__ = cls.__delattr__ = _refuse
        cls._key = _key
        cls.__eq__ = _eq
        cls.__hash__ = lambda self: hash(self._key())
        cls.__repr__ = _repr
        if not hasattr(cls, "__post_init__"):
            cls.__post_init__ = lambda self: None
        return cls

    def bare(cls):
        """The class of a `compact` one's unfrozen instances: who has checked all fields sets them, and `__class__`.

        For who makes a million of them, in a fraction of the time.
        """
        return cls.__bare__

    def replace(instance, **changes):
        """The same value with some fields changed, checked again."""
        return type(instance)(**{name: getattr(instance, name) for name in instance.__fields__} | changes)
