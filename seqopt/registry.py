"""Names to objects, with an error that lists the names that exist."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from seqopt.errors import SeqoptError

T = TypeVar("T")


class Registry(Generic[T]):
    """A named table: ``@table.register("radial")`` adds, ``table["radial"]`` looks up."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._items: dict[str, T] = {}

    def register(self, name: str) -> Callable[[T], T]:
        """Decorator that adds one entry; a name is given once."""

        def add(item: T) -> T:
            if name in self._items:
                raise SeqoptError(f"{self.kind} {name!r} is registered twice")
            self._items[name] = item
            return item

        return add

    def __getitem__(self, name: str) -> T:
        if name not in self._items:
            raise SeqoptError(f"unknown {self.kind} {name!r}; known: {', '.join(self._items)}")
        return self._items[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._items)

    def __contains__(self, name: object) -> bool:
        return name in self._items
