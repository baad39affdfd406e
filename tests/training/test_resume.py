"""A resumed run of the tomography network ends with the bits of one that never stopped."""

import os
import random
import signal
import subprocess
import sys

import pytest

from seistomo.training import train

EPOCH = 'optimizer.options={full_gradient_interval = "epoch", curvature_samples = 3}'


@pytest.mark.parametrize(
    "overrides",
    [
        ["training.cache_memory=0.0", "training.micro_batch=3"],
        [
            "training.averaging=ema",
            "training.noise_snr=[5.0, 20.0]",
            "training.mirror=true",
            "training.amplitude_jitter=3.0",
            "training.wavelet_jitter=0.2",
        ],
        ["optimizer.name=sqgn", "optimizer.learning_rate=0.1", EPOCH],
    ],
)
def test_resumed_after_any_step(dataset, make_config, assert_resumes, overrides):
    assert_resumes(make_config(*overrides), dataset, stops=(7, 15))


# For each line of input starts a process that trains, kills it after so many seconds, and tells
# how it ended. It stands ready, so that the seconds are those of training, not of imports.
SERVER = """
import os, signal, sys, time
import torch
from seistomo.config import load_config
from seistomo.progress import set_quiet
from seistomo.training import train

set_quiet(True)
# Loads what torch loads late.
torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))])
for line in sys.stdin:
    child = os.fork()
    if not child:
        train(load_config(sys.argv[1]), sys.argv[2], sys.argv[3], resume=True)
        os._exit(0)
    time.sleep(float(line))
    os.kill(child, signal.SIGKILL)
    print(os.waitpid(child, 0)[1], flush=True)
"""


def test_kill_at_any_moment(dataset, make_config, tmp_path, assert_same_runs):
    """A real kill -9 at random moments, again and again, until the run is through."""
    config = make_config("training.epochs=15", "training.checkpoint_iterations=3")
    train(config, dataset, tmp_path / "whole")
    moments, errors = random.Random(1), tmp_path / "errors.txt"
    arguments = [tmp_path / "whole" / "config.toml", dataset, tmp_path / "run"]
    kills, ended = 0, False
    with (
        errors.open("w") as stderr,
        subprocess.Popen(
            [sys.executable, "-c", SERVER, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stderr,
            text=True,
        ) as server,
    ):
        while not ended:
            # Longer and longer, so that it gets through on a slow machine too.
            print(moments.uniform(0, 0.1 * 1.25**kills), file=server.stdin, flush=True)
            status = int(server.stdout.readline())
            ended = status == 0
            assert ended or os.WTERMSIG(status) == signal.SIGKILL, errors.read_text()
            kills += not ended
    assert kills >= 3
    assert_same_runs(tmp_path / "whole", tmp_path / "run")
