"""What takes longer than a page may: made once, in the background, and kept."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from concurrent.futures import Future
from typing import Any, TypeVar, cast

Made = TypeVar("Made")


class StillPreparing(Exception):
    """What a page shows is still being made.

    Args:
        what: it is, as a person would say it.
    """

    def __init__(self, what: str) -> None:
        super().__init__(what)
        self.what = what


class Prepared:
    """Results by a key that says everything they rest on, so that they never grow old.

    Args:
        patience_s: how long a page waits for one, in seconds.
        most: results that are kept; the ones that nobody asked for longest go first.
        at_once: how many are made at the same time.
    """

    def __init__(self, patience_s: float, most: int = 64, at_once: int = 2) -> None:
        self.patience_s = patience_s
        self.most = most
        self._turns = threading.BoundedSemaphore(at_once)
        self._lock = threading.Lock()
        self._known: OrderedDict[Hashable, Future[Any]] = OrderedDict()

    def get(self, key: Hashable, what: str, make: Callable[[], Made]) -> Made:
        """The result for a key, made at the first call.

        Args:
            key: everything that the result rests on.
            what: it is, for whoever waits.
            make: makes it, in a thread of its own.

        Raises:
            StillPreparing: it is not done yet; ask again.
            Exception: what `make` raised; it is made again at the next call.
        """
        found = self._begun(key, make)
        try:
            return cast(Made, found.result(self.patience_s))
        except Exception as error:
            if not found.done():
                raise StillPreparing(what) from None
            self._forget(key, found)
            raise error from None

    def peek(self, key: Hashable) -> Future[Any] | None:
        """The work on a key, done or not; None where it was not begun, or is forgotten."""
        with self._lock:
            return self._known.get(key)

    def begin(self, key: Hashable, make: Callable[[], object]) -> None:
        """Make the result for a key anew, unless that is going on."""
        if (known := self.peek(key)) is not None and known.done():
            self._forget(key, known)
        self._begun(key, make)

    def _forget(self, key: Hashable, made: Future[Any]) -> None:
        with self._lock:
            if self._known.get(key) is made:
                del self._known[key]

    def _begun(self, key: Hashable, make: Callable[[], object]) -> Future[Any]:
        with self._lock:
            if (known := self._known.get(key)) is not None:
                self._known.move_to_end(key)
                return known
            made: Future[Any] = Future()
            self._known[key] = made
            while len(self._known) > self.most:
                self._known.popitem(last=False)

        def work() -> None:
            with self._turns:
                try:
                    made.set_result(make())
                except BaseException as error:
                    made.set_exception(error)

        # a daemon, so that Ctrl-C does not wait for it
        threading.Thread(target=work, name=f"prepare {str(key)[:60]}", daemon=True).start()
        return made
