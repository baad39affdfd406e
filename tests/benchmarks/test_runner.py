import json
import subprocess
import sys
import time
from dataclasses import asdict, replace

import pytest
import torch

from seistomo.benchmarks import runner as runner_module
from seistomo.benchmarks.mnist import MnistRun
from seistomo.benchmarks.runner import Job, Runner
from seistomo.benchmarks.settings import RunSettings
from seistomo.benchmarks.store import BenchmarkFolder
from seistomo.errors import InputError

ADAM = RunSettings("adam", 0.01, {}, batch_size=40, epochs=3, pixels="unit")
# A run that tells when an epoch is saved, in a process that is then killed.
SCRIPT = """
import json, sys
from seistomo.benchmarks.mnist_data import load_mnist
from seistomo.benchmarks.runner import Job, Runner
from seistomo.benchmarks.settings import RunSettings
from seistomo.benchmarks.store import BenchmarkFolder
data = load_mnist(sys.argv[1])
runner = Runner(BenchmarkFolder(sys.argv[2]), data, "cpu", threads=1)
runner.run(Job(RunSettings(**json.loads(sys.argv[3])), "run"))
"""
SQGN = RunSettings(
    "sqgn",
    0.1,
    {"history": 4, "full_gradient_interval": 3, "curvature_samples": 20},
    batch_size=40,
    epochs=30,
    pixels="unit",
)


@pytest.fixture
def make(tmp_path, digits):
    def build(name="out", **options):
        return Runner(BenchmarkFolder(tmp_path / name), digits, "cpu", threads=1, **options)

    return build


def counted(monkeypatch):
    """Count the epochs that are trained from now on."""
    epochs = []
    train = MnistRun.run_epoch
    monkeypatch.setattr(MnistRun, "run_epoch", lambda run: (epochs.append(1), train(run)))
    return epochs


def test_a_state_of_another_version_is_one_line(make, tmp_path):
    make().run(Job(replace(SQGN, epochs=1), "run"))
    (path,) = (tmp_path / "out" / "runs").glob("*.pt")
    state = torch.load(path, weights_only=True)
    del state["optimizer"]["memory"]
    torch.save(state, path)
    with pytest.raises(InputError, match=r"\.pt: was begun by another version") as caught:
        make().run(Job(replace(SQGN, epochs=2), "run"))
    assert "\n" not in str(caught.value)


def test_what_is_done_is_not_done_again(make, monkeypatch):
    first = make().run(Job(ADAM, "run"))
    epochs = counted(monkeypatch)
    assert make().run(Job(ADAM, "run")) == first
    assert make().run(Job(replace(ADAM, epochs=2), "run")) == first.first_epochs(2)
    assert not epochs
    longer = make().run(Job(replace(ADAM, epochs=5), "run"))
    assert len(epochs) == 2
    assert longer.first_epochs(3) == first


def test_overwrite_makes_runs_anew_but_once(make, monkeypatch):
    make().run(Job(ADAM, "run"))
    epochs = counted(monkeypatch)
    runner = make(overwrite=True)
    runner.run(Job(ADAM, "run"))
    runner.run(Job(ADAM, "the same in another row"))
    assert len(epochs) == 3


def test_validation_runs_do_not_see_the_test_split(make, monkeypatch, digits):
    seen, begin = [], MnistRun.__init__
    monkeypatch.setattr(MnistRun, "__init__", lambda *given: (seen.append(given), begin(*given))[1])
    make().run(Job(replace(ADAM, epochs=1), "run", "validation"))
    [(_, _, trained, judged)] = seen
    assert len(trained.labels) == 200
    assert len(judged.labels) == 40
    rows = (digits.train_images[200:] / 255).astype("float32")
    assert torch.equal(judged.images[:, 0], torch.from_numpy(rows))


def test_runs_that_another_process_holds_are_left_to_it(make, digits):
    runner = make()
    jobs = [Job(replace(ADAM, epochs=1, seed=seed), f"run {seed}") for seed in (0, 1)]
    key = jobs[0].settings.key(digits.identity, "cpu")
    with (
        runner.folder.locked(key),
        pytest.raises(InputError, match="another process is at 1 of the 2 runs"),
    ):
        runner.run_all(jobs)
    assert runner.folder.result(key, jobs[0].settings) is None
    assert len(runner.run_all(jobs)) == 2


def test_random_numbers_outside_are_left_alone(make):
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    make().run(Job(replace(ADAM, epochs=1), "run"))
    assert torch.equal(torch.rand(1), expected)


@pytest.mark.slow
def test_a_killed_run_goes_on_with_the_same_bits(make, tmp_path, mnist_folder, digits):
    whole = make("whole")
    whole.run(Job(SQGN, "run"))
    broken = tmp_path / "broken"
    settings = json.dumps(asdict(SQGN))
    command = [sys.executable, "-c", SCRIPT, str(mnist_folder), str(broken), settings]
    victim = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 60
    while not list(broken.glob("runs/*.pt")) and time.monotonic() < deadline:
        time.sleep(0.005)
    victim.kill()
    victim.wait()
    key = SQGN.key(digits.identity, "cpu")
    saved = BenchmarkFolder(broken).state(key)
    assert 1 <= len(saved["history"]) < SQGN.epochs, "killed at the wrong moment"
    resumed = make("broken")
    resumed.run(Job(SQGN, "run"))
    ends = [runner.folder.state(key) for runner in (whole, resumed)]
    for name, weights in ends[0]["network"].items():
        assert torch.equal(weights, ends[1]["network"][name])
    histories = [[{**entry, "seconds": 0} for entry in end["history"]] for end in ends]
    assert histories[0] == histories[1]


def test_an_outcome_is_told_in_words(make):
    result = make().run(Job(replace(ADAM, epochs=1), "run"))
    text = runner_module.outcome(result)
    assert f"{result.last.test_accuracy:.2%}" in text
    assert "after epoch 1" in text
