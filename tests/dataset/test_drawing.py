"""Models drawn in other processes are the same models, and the processes end."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from seistomo.config import load_config
from seistomo.dataset import pipeline as pipeline_module
from seistomo.dataset.drawing import DrawingProcesses
from seistomo.dataset.models import DrawnModels
from seistomo.dataset.pipeline import Pipeline
from seistomo.errors import InputError
from seistomo.velocity import draw_model


def is_alive(process):
    """Tell whether a process is there, other than as a memory of itself."""
    try:
        return Path(f"/proc/{process}/stat").read_text().split(") ")[1][0] != "Z"
    except FileNotFoundError:
        return False


def test_models_are_those_that_this_process_draws(tiny):
    config = tiny("velocity.families={salt = 1.0, faults = 1.0}", "dataset.seed=11")
    with DrawingProcesses(config) as processes:
        drawn = processes.models(range(3)) + processes.models([17])
    for index, model in zip([0, 1, 2, 17], drawn, strict=True):
        expected = draw_model(config.velocity, 11, index)
        np.testing.assert_array_equal(model.velocity, expected.velocity)
        np.testing.assert_array_equal(model.salt_mask, expected.salt_mask)
        assert (model.family, model.parameters) == (expected.family, expected.parameters)


def test_each_thread_has_its_own_process_and_all_end(tiny):
    with DrawingProcesses(tiny()) as processes:
        threads = [threading.Thread(target=processes.models, args=([i],)) for i in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        started = [process.pid for process in processes._processes]
        assert len(set(started)) == 2
        assert all(is_alive(process) for process in started)
    assert not any(is_alive(process) for process in started)


def test_what_goes_wrong_there_is_told_here(tiny):
    with DrawingProcesses(tiny()) as processes:
        with pytest.raises(ValueError, match=r"negative|must be"):
            processes.models([-1])
        # And the process goes on.
        assert len(processes.models([0])) == 1
        os.kill(processes._processes[0].pid, signal.SIGKILL)
        with pytest.raises(InputError, match="its process ended with status -9"):
            processes.models([1])


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at /proc")
def test_they_do_not_outlive_a_killed_parent(tmp_path):
    code = (
        "import sys, time\n"
        "from seistomo.config import load_config\n"
        "from seistomo.dataset.drawing import DrawingProcesses\n"
        "processes = DrawingProcesses(load_config(''))\n"
        "processes.models([0])\n"
        "print(processes._processes[0].pid, flush=True)\n"
        "time.sleep(100)\n"
    )
    parent = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    assert is_alive(child)
    parent.kill()
    parent.wait()
    parent.stdout.close()
    deadline = time.monotonic() + 30
    while is_alive(child) and time.monotonic() < deadline:
        time.sleep(0.02)
    assert not is_alive(child)


def test_the_way_of_a_gpu_gives_the_same_samples(tiny, monkeypatch):
    """Workers share the device, models come from other processes."""
    config = tiny()
    with Pipeline(config, "cpu", DrawnModels(config)) as pipeline:
        expected = list(pipeline.run(pipeline.work_on((0, 10))))
    monkeypatch.setattr(pipeline_module, "on_gpu", lambda simulator: True)
    with Pipeline(config, "cpu", DrawnModels(config)) as pipeline:
        assert pipeline.workers == pipeline_module.GPU_WORKERS
        found = list(pipeline.run(pipeline.work_on((0, 10))))
        processes = [process.pid for process in pipeline._drawing._processes]
    assert processes
    assert not any(is_alive(process) for process in processes)
    one, other = (
        [values for _, samples in made for values in samples] for made in (expected, found)
    )
    for left, right in zip(one, other, strict=True):
        assert left["crc32"] == right["crc32"]
        np.testing.assert_array_equal(left["salt_mask"], right["salt_mask"])
        assert left["parameters"] == right["parameters"]


def test_the_default_configuration_travels_whole():
    config = load_config("salt")
    with DrawingProcesses(config) as processes:
        (model,) = processes.models([3])
    expected = draw_model(config.velocity, config.dataset.seed, 3)
    np.testing.assert_array_equal(model.velocity, expected.velocity)
