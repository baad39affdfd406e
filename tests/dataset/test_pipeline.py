"""Models drawn ahead, gathers packed behind: in order, bounded, and over when asked."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from seistomo.dataset import pipeline as module
from seistomo.dataset.models import DrawnModels
from seistomo.dataset.pipeline import Pipeline
from seistomo.dataset.store.writer import compress
from seistomo.errors import InputError
from seistomo.simulation import Simulator, Survey


@pytest.fixture
def workers():
    """Two workers, wherever the test runs."""
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield 2
    torch.set_num_threads(before)


class Watched:
    """Models that note who asked for them when."""

    def __init__(self, config, fail_at=None):
        self._models, self._fail_at = DrawnModels(config), fail_at
        self.asked, self._lock = [], threading.Lock()

    def model(self, index):
        with self._lock:
            self.asked.append(index)
        if index == self._fail_at:
            raise InputError("no such model")
        return self._models.model(index)


def packed(gathers):
    return compress(gathers, float(np.abs(gathers).max()))


def made_by(pipeline, shard=(0, 10)):
    return list(pipeline.run(pipeline.work_on(shard)))


def worker_threads():
    return [thread for thread in threading.enumerate() if thread.name.startswith("samples")]


def test_samples_are_what_the_simulator_gives_one_by_one(tiny, workers):
    config = tiny(
        "simulation.models_per_call=3", "survey.dead_traces=0.3", "survey.source_jitter=9"
    )
    with Pipeline(config, "cpu", DrawnModels(config)) as pipeline:
        made = made_by(pipeline)
    samples = [sample for _, group in made for sample in group]
    assert [sample["index"] for sample in samples] == list(range(10))
    simulator, models = Simulator(config, "cpu"), DrawnModels(config)
    for index in (0, 2, 3, 9):
        velocity = models.model(index).velocity
        gathers, scale = packed(simulator(velocity[None], [index])[0])
        np.testing.assert_array_equal(samples[index]["velocity"], velocity)
        np.testing.assert_array_equal(samples[index]["gathers"], gathers)
        assert samples[index]["gathers_scale"] == scale
        survey = Survey.draw(config, 3, index)
        np.testing.assert_array_equal(samples[index]["dead_trace"], survey.dead_trace)
        np.testing.assert_array_equal(samples[index]["source_x"], survey.source_x)


def test_what_waits_is_not_overwritten_by_the_next_call(tiny, workers):
    config = tiny("dataset.storage=float32", "simulation.models_per_call=1")
    with Pipeline(config, "cpu", DrawnModels(config)) as pipeline:
        made = made_by(pipeline)
    simulator, models = Simulator(config, "cpu"), DrawnModels(config)
    for index, (_, (sample,)) in enumerate(made):
        velocity = models.model(index).velocity
        np.testing.assert_array_equal(sample["gathers"], simulator(velocity[None], [index])[0])


def test_a_slow_writer_stops_the_drawing(tiny, workers):
    config = tiny("simulation.models_per_call=1", "dataset.samples=40")
    models = Watched(config)
    with Pipeline(config, "cpu", models) as pipeline:
        made = pipeline.run(pipeline.work_on((0, 40)))
        for count in range(1, 4):
            next(made)
            time.sleep(0.2)
            # Two calls a worker, of which the first has been handed over.
            assert count <= len(models.asked) <= count - 1 + 2 * workers
    assert len(models.asked) <= 3 + 2 * workers, "and nothing is drawn after the end"


def test_a_failure_comes_out_after_the_samples_before_it(tiny, workers):
    config = tiny("simulation.models_per_call=1")
    seen = []

    def collect(pipeline):
        for work, _ in pipeline.run(pipeline.work_on((0, 10))):
            seen.append(work.indices.start)

    with Pipeline(config, "cpu", Watched(config, fail_at=4)) as pipeline:
        with pytest.raises(InputError, match="no such model"):
            collect(pipeline)
        assert worker_threads()
    assert seen == [0, 1, 2, 3]
    assert not worker_threads()


@pytest.fixture
def on_gpu(monkeypatch):
    """Go the way of a GPU: workers share the device, models come from other processes."""
    monkeypatch.setattr(module, "on_gpu", lambda simulator: True)


def test_the_way_of_a_gpu_gives_the_same_samples(tiny, workers, request, monkeypatch):
    config = tiny("velocity.families={salt = 1.0, faults = 1.0}")
    with Pipeline(config, "cpu", DrawnModels(config)) as pipeline:
        expected = made_by(pipeline)
    request.getfixturevalue("on_gpu")
    monkeypatch.setattr(module, "GPU_WORKERS", 2)
    with Pipeline(config, "cpu", DrawnModels(config)) as pipeline:
        assert pipeline.workers == 2
        found = made_by(pipeline)
        started = list(pipeline._drawing._processes.values())
    assert started
    assert not any(process.is_alive() for process in started)
    one, other = ([s for _, samples in made for s in samples] for made in (expected, found))
    assert [s["crc32"] for s in one] == [s["crc32"] for s in other]


def test_a_drawing_process_that_dies_is_told(tiny, on_gpu):
    config = tiny()
    with Pipeline(config, "cpu", DrawnModels(config)) as pipeline:
        assert len(pipeline._draw([0])) == 1
        for process in pipeline._drawing._processes.values():
            os.kill(process.pid, signal.SIGKILL)
        with pytest.raises(InputError, match="drawing models: a process died"):
            pipeline._draw([1])


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at /proc")
def test_drawing_processes_do_not_outlive_a_killed_parent():
    code = (
        "import time\n"
        "from seistomo.config import load_config\n"
        "from seistomo.dataset import pipeline\n"
        "from seistomo.dataset.models import DrawnModels\n"
        "pipeline.on_gpu, pipeline.GPU_WORKERS = lambda simulator: True, 1\n"
        "config = load_config('')\n"
        "made = pipeline.Pipeline(config, 'cpu', DrawnModels(config))\n"
        "made._draw([0])\n"
        "print(*[p.pid for p in made._drawing._processes.values()], flush=True)\n"
        "time.sleep(100)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    children = [Path(f"/proc/{number}/stat") for number in parent.stdout.readline().split()]
    assert children
    parent.kill()
    parent.communicate()
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline and any(map(is_alive, children)):
        time.sleep(0.02)
    assert not any(map(is_alive, children))


def is_alive(stat):
    """Tell whether a process is there, other than as a memory of itself."""
    try:
        return stat.read_text().split(") ")[1][0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
