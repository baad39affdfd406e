import io
import math
import time
from dataclasses import asdict, replace

import pytest
import torch

from seistomo.benchmarks import mnist
from seistomo.benchmarks.mnist import MnistRun, epoch_batches
from seistomo.benchmarks.settings import RunSettings
from seistomo.errors import InputError

CPU = torch.device("cpu")
ADAM = RunSettings("adam", 0.01, {}, batch_size=40, epochs=4, pixels="unit")
SQGN = RunSettings(
    "sqgn",
    0.1,
    {"history": 4, "full_gradient_interval": 3, "curvature_samples": 20},
    batch_size=40,
    epochs=4,
    pixels="unit",
)


class Exploding(torch.optim.SGD):
    """Leaves the numbers behind in its second epoch."""

    def __init__(self, params, lr):
        super().__init__(params, lr)
        self.steps = 0

    def step(self, closure):
        self.steps += 1
        loss = super().step(closure)
        return loss * math.nan if self.steps > 6 else loss


@pytest.fixture
def start(digits):
    def build(settings):
        torch.manual_seed(99)
        return MnistRun(
            settings, digits.train(settings.pixels, CPU), digits.test(settings.pixels, CPU)
        )

    return build


def comparable(run):
    """Return all of a run but its times."""
    looks = run.result().looks()
    history = [asdict(entry) | {"seconds": 0.0} for entry in looks]
    weights = [parameter.detach().clone() for parameter in run.network.parameters()]
    return history, weights


def test_learns_and_tells_what_it_did(start):
    run = start(replace(ADAM, epochs=12))
    while not run.finished:
        run.run_epoch()
    last = run.history[-1]
    assert last.test_accuracy > 0.9
    assert (last.epoch, last.iteration, last.gradient_evaluations) == (12, 72, 72.0)
    seconds = [entry.seconds for entry in run.history]
    assert seconds == sorted(seconds)
    assert seconds[0] > 0


@torch.no_grad()
def test_entries_are_what_a_plain_loop_gives(start, digits):
    run = start(ADAM)
    with torch.enable_grad():
        run.run_epoch()
    test = digits.test("unit", CPU)
    outputs = run.network(test.images)
    loss = torch.nn.functional.cross_entropy(outputs, test.labels)
    [entry] = run.history
    assert entry.test_loss == pytest.approx(float(loss), rel=1e-5)
    right = (outputs.argmax(1) == test.labels).float().mean()
    assert entry.test_accuracy == pytest.approx(float(right))


@pytest.mark.parametrize(
    "settings",
    [ADAM, SQGN, replace(ADAM, schedule="cosine"), replace(ADAM, judge_iterations=2)],
)
def test_a_run_put_away_goes_on_with_the_same_bits(start, settings):
    whole, first = start(settings), start(settings)
    for _ in range(4):
        whole.run_epoch()
    first.run_epoch()
    first.run_epoch()
    file = io.BytesIO()
    torch.save(first.state(), file)
    file.seek(0)
    second = start(settings)
    second.load_state(torch.load(file, weights_only=True))
    assert len(second.history) == 2
    second.run_epoch()
    second.run_epoch()
    history, weights = comparable(whole)
    resumed_history, resumed_weights = comparable(second)
    assert resumed_history == history
    assert all(map(torch.equal, weights, resumed_weights))
    assert second.finished


def test_optimizers_share_start_weights_and_seeds_differ(start):
    def weights(settings):
        return torch.cat([p.detach().flatten() for p in start(settings).network.parameters()])

    assert torch.equal(weights(ADAM), weights(SQGN))
    assert not torch.equal(weights(ADAM), weights(replace(ADAM, seed=1)))


def test_cosine_ends_at_zero_and_constant_stays(start):
    cosine = start(replace(ADAM, schedule="cosine"))
    constant = start(ADAM)
    for run in (cosine, constant):
        while not run.finished:
            run.run_epoch()
    rates = [entry.learning_rate for entry in cosine.history]
    assert rates == sorted(rates, reverse=True)
    assert rates[1] == pytest.approx(0.005)
    assert rates[-1] == pytest.approx(0, abs=1e-9)
    assert {entry.learning_rate for entry in constant.history} == {0.01}


@pytest.mark.parametrize(("allowed", "restarts", "end"), [(2, 2, 0.5), (1, 1, 0.5), (0, 0, 0.1)])
def test_a_stuck_run_begins_anew_as_often_as_allowed(start, monkeypatch, allowed, restarts, end):
    run = start(replace(ADAM, epochs=8, restarts=allowed))
    first = comparable(run)[1]
    # Stuck for as long as two attempts last.
    accuracies = iter([0.1] * 2 * mnist.STUCK_EPOCHS + [0.5] * 8)
    monkeypatch.setattr(run, "_judge", lambda: (2.3, next(accuracies)))
    monkeypatch.setattr(run, "_steps", lambda: (torch.zeros(2), 0.0))
    weights = []
    while not run.finished:
        run.run_epoch()
        weights.append(comparable(run)[1])
    result = run.result()
    assert (result.restarts, len(result.history), result.last.test_accuracy) == (restarts, 8, end)
    assert (result.lost_seconds > 0) == (restarts > 0)
    assert torch.equal(first[0], weights[-1][0]) == (restarts == 0)


def test_numbers_that_are_not_finite_end_the_run(start, monkeypatch):
    monkeypatch.setattr(
        mnist, "make_optimizer", lambda name, params, lr, options: Exploding(params, lr)
    )
    run = start(ADAM)
    while not run.finished:
        run.run_epoch()
    assert len(run.history) == 2
    assert run.result().diverged.startswith("the loss was")
    assert run.result().stuck
    again = start(replace(ADAM, restarts=1))
    while not again.finished:
        again.run_epoch()
    assert again.restarts == 1


def test_looks_within_an_epoch_change_nothing_and_cost_no_optimizer_time(start, monkeypatch):
    plain, watched = (
        start(replace(ADAM, epochs=2)),
        start(replace(ADAM, epochs=2, judge_iterations=2)),
    )
    judge = watched._judge

    def slowly():
        time.sleep(0.2)
        return judge()

    monkeypatch.setattr(watched, "_judge", slowly)
    for run in (plain, watched):
        while not run.finished:
            run.run_epoch()
    looks = watched.result().looks()
    assert [seen.iteration for seen in looks] == [2, 4, 6, 8, 10, 12]
    assert [seen.seconds for seen in looks] == sorted(seen.seconds for seen in looks)
    assert comparable(plain)[0][-1] == comparable(watched)[0][-1]
    assert looks[-1].seconds < plain.history[-1].seconds + 0.2


def test_a_run_ends_at_its_target_or_its_budget(start):
    run = start(replace(ADAM, epochs=50, stop_accuracy=0.5))
    while not run.finished:
        run.run_epoch()
    assert run.history[-1].test_accuracy >= 0.5
    assert all(entry.test_accuracy < 0.5 for entry in run.history[:-1])
    run = start(replace(ADAM, epochs=50, stop_seconds=1e-9))
    run.run_epoch()
    assert run.finished


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"batch_size": 241}, "batch_size = 241: there are 240 training samples"),
        ({"optimizer": "adm"}, "did you mean adam"),
        ({"options": {"beta": 1}}, "unknown option beta"),
        ({"optimizer": "svrg", "options": {"full_gradient_interval": 4}}, "does not divide"),
    ],
)
def test_bad_settings_are_one_line(start, changes, words):
    with pytest.raises(InputError, match=words) as caught:
        start(replace(ADAM, **changes)).run_epoch()
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("samples", "batch_size", "batches"),
    [(60_000, 1000, 60), (60_000, 100, 60), (50_000, 1000, 50), (3334, 100, 30), (240, 40, 6)],
)
def test_epochs_are_the_papers_and_divisible_by_its_interval(samples, batch_size, batches):
    assert epoch_batches(samples, batch_size) == batches
