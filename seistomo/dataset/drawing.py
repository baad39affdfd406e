"""Models drawn in processes of their own, where the wave equation is faster than the drawing.

Drawing is Python code, and holds Python's lock: in a thread it would keep the others from feeding
the GPU.
"""

import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

import seistomo
from seistomo.config import Config
from seistomo.errors import InputError
from seistomo.velocity import VelocityModel

COMMAND = (
    "import sys; sys.path.insert(0, {!r}); from seistomo.velocity.service import serve; serve()"
)


class DrawingProcesses:
    """Draws models like `draw_model`, one process for each thread that asks; a context manager.

    Parameters
    ----------
    config
        What to draw.
    """

    def __init__(self, config: Config) -> None:
        self._settings = config.velocity.model_dump_json(), config.dataset.seed
        self._own = threading.local()
        self._lock = threading.Lock()
        self._processes: list[subprocess.Popen] = []

    def __enter__(self) -> "DrawingProcesses":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for process in self._processes:
            # They have nothing to lose.
            process.kill()
            process.wait()
            process.stdin.close()
            process.stdout.close()

    def models(self, indices: Iterable[int]) -> list[VelocityModel]:
        """Return the models of some samples.

        Raises
        ------
        InputError
            If the process has died.
        """
        if not hasattr(self._own, "process"):
            self._own.process = self._start()
            self._send(self._own.process, self._settings)
        process = self._own.process
        self._send(process, list(indices))
        try:
            answer = pickle.load(process.stdout)
        except (EOFError, pickle.UnpicklingError):
            raise _died(process) from None
        if isinstance(answer, Exception):
            raise answer
        return answer

    def _start(self) -> subprocess.Popen:
        root = str(Path(seistomo.__file__).parents[1])
        process = subprocess.Popen(
            [sys.executable, "-c", COMMAND.format(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            # Ctrl-C is for this process alone; theirs ends with its input.
            start_new_session=True,
        )
        with self._lock:
            self._processes.append(process)
        return process

    def _send(self, process: subprocess.Popen, message: object) -> None:
        try:
            pickle.dump(message, process.stdin, pickle.HIGHEST_PROTOCOL)
            process.stdin.flush()
        except BrokenPipeError:
            raise _died(process) from None


def _died(process: subprocess.Popen) -> InputError:
    return InputError(
        f"drawing models: its process ended with status {process.wait()}; is there enough memory?"
    )
