"""Sources of images with questions, statements or expressions, which their files list one by one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from crawl.entries import Entry
from crawl.listed import Indexed, IndexedParams
from crawl.source import RowError

Q = TypeVar("Q", bound=IndexedParams)


@dataclass(frozen=True, slots=True)
class Fault:
    """Something said of an image that cannot be used: it becomes a failed row of its own.

    Attributes:
        where: what people call it, `question 262148000` or `line 17`; two faults never share it.
        failure: class under which it is counted.
        detail: one line for people.
    """

    where: str
    failure: str
    detail: str


class Annotated(Indexed[Q]):
    """Images in the order in which their files name them first; behind them what cannot be used.

    An image goes in with all that is well said of it, so that one bad question costs no other.
    """

    @property
    def groups(self) -> Mapping[Any, Any]:
        """Image -> what its files say of it."""
        raise NotImplementedError

    @property
    def faults(self) -> Sequence[Fault]:
        """What cannot be used, in the order of the files."""
        raise NotImplementedError

    def image(self, name: Any) -> Entry:
        """The row of one image of `groups`."""
        raise NotImplementedError

    def __len__(self) -> int:
        return len(self.groups) + len(self.faults)

    def entry(self, number: int) -> Entry:
        """One image, or one fault."""
        if number < len(self.groups):
            return self.image(self._names[number])
        fault = self.faults[number - len(self.groups)]
        error = RowError(fault.failure, f"{fault.where}: {fault.detail}")
        return Entry(where=fault.where, id=fault.where, error=error)

    @cached_property
    def _names(self) -> list[Any]:
        return list(self.groups)
