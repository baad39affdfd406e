"""Shards become one file behind the simulation, in a thread of their own."""

import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from types import TracebackType

from seistomo.config import Config
from seistomo.dataset.store import Part
from seistomo.dataset.store.merge import write_merged
from seistomo.files import written_whole
from seistomo.interrupts import interrupts_held, raise_if_interrupted
from seistomo.progress import bar

# Seconds between two looks at how far the thread is.
POLL = 0.1


class Assembly:
    """Joins parts into a data set while later ones are still being made; a context manager.

    Parts are taken in the order of their samples, whatever the order in which they become whole.
    Unless `finish` returned, ``out`` is as it was before.

    Parameters
    ----------
    out
        The file; it appears whole or not at all, and replaces what was there.
    config
        Stored in it.
    wanted
        Its samples.
    parts
        Those that are there already.
    shard
        (i, n) where the file is part i of n of a data set.
    """

    def __init__(
        self,
        out: Path,
        config: Config,
        wanted: range,
        parts: Iterable[Part],
        shard: tuple[int, int] | None = None,
    ) -> None:
        self._out, self._config, self._wanted, self._shard = out, config, wanted, shard
        self._whole = {part.start: part for part in parts}
        self._change = threading.Condition()
        self._stopped = False
        self._failure: BaseException | None = None
        self._written = 0
        self._thread = threading.Thread(target=self._run, name="assembly")

    def __enter__(self) -> "Assembly":
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with interrupts_held():
            with self._change:
                self._stopped = True
                self._change.notify()
            self._thread.join()

    def add(self, part: Part) -> None:
        """Take a part that has become whole.

        Raises
        ------
        InputError
            What has gone wrong in the thread, a full disk say.
        """
        with self._change:
            self._whole[part.start] = part
            self._change.notify()
        self._raise_failure()

    def finish(self) -> None:
        """Wait until all parts are joined and the file is in place.

        Raises
        ------
        InputError
            What has gone wrong in the thread.
        """
        with bar(
            total=len(self._wanted), description="merge", unit="sample", leave=False
        ) as progress:
            while self._thread.is_alive():
                self._thread.join(POLL)
                raise_if_interrupted()
                progress.update(self._written - progress.n)
        self._raise_failure()

    def _raise_failure(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _run(self) -> None:
        try:
            with written_whole(self._out) as temporary:
                samples = len(self._wanted)
                write_merged(
                    temporary,
                    self._config,
                    samples,
                    self._in_order(),
                    self._step,
                    shard=self._shard,
                )
        except _StoppedError:
            return
        except BaseException as error:
            self._failure = error

    def _in_order(self) -> Iterator[Part]:
        start = self._wanted.start
        while start < self._wanted.stop:
            with self._change:
                while start not in self._whole and not self._stopped:
                    self._change.wait()
                if self._stopped:
                    raise _StoppedError
                part = self._whole.pop(start)
            yield part
            start = part.stop

    def _step(self) -> None:
        self._written += 1
        if self._stopped:
            raise _StoppedError


class _StoppedError(Exception):
    """The others have stopped."""
