"""Noise and dead traces in training: what evaluation adds, fixed by seed, epoch and sample."""

import numpy as np
import pytest
import torch

from seistomo.config import parse_config
from seistomo.dataset import open_dataset
from seistomo.errors import InputError
from seistomo.simulation.noise import add_noise, draw_dead_traces
from seistomo.training import load_run, train
from seistomo.training.augmentation import Augmentation, Corruption, corrupts
from seistomo.training.data import EpochData, SplitData
from seistomo.training.losses import squared_error
from seistomo.training.normalization import learn_normalization
from seistomo.training.objective import BatchObjective
from seistomo.training.room import GIB

CPU = torch.device("cpu")
NOISE, DEAD = "training.noise_snr=[5.0, 15.0]", "training.dead_traces=[0.1, 0.3]"
KINDS = ("none", "standard", "asinh", "trace", "gain")


class Replayed:
    """Stands for numpy's generator: gives noise that was drawn elsewhere."""

    def __init__(self, noise):
        self._noise = noise

    def standard_normal(self, shape, dtype):
        assert shape == self._noise.shape
        return self._noise.astype(dtype)


@pytest.fixture
def gathers():
    """Return gathers as recorded, float32 [sample, source, receiver, time]."""
    random = torch.Generator().manual_seed(0)
    return torch.randn(3, 4, 25, 40, generator=random) * torch.exp(-torch.arange(40) / 8)


SAMPLES = torch.tensor([5, 70, 9])


@pytest.mark.parametrize("dead", [None, (0.2, 0.2)])
def test_noise_is_that_of_evaluation(gathers, dead, monkeypatch):
    drawn = torch.randn(4, 25, 40)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "randn", lambda *_shape, **_options: drawn)
        noisy = Corruption((7.0, 7.0), dead, seed=1, epoch=2)(gathers, SAMPLES)
    for row in range(3):
        silent = (noisy[row] == 0).all(dim=-1).numpy()
        assert silent.sum() == (20 if dead else 0)
        expected = add_noise(gathers[row].numpy(), 7.0, Replayed(drawn.numpy()), silent)
        np.testing.assert_allclose(noisy[row], expected, atol=1e-6)


def test_noise_is_white_and_another_for_each_sample(gathers):
    noise = Corruption((7.0, 7.0), None, seed=1, epoch=2)(gathers, SAMPLES) - gathers
    unit = noise / noise.square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
    assert unit.mean(dim=(1, 2, 3)).abs().max() < 0.05
    assert (unit[..., 1:] * unit[..., :-1]).mean(dim=(1, 2, 3)).abs().max() < 0.05
    assert (unit[0] * unit[1]).mean().abs() < 0.05
    assert (unit.pow(4).mean(dim=(1, 2, 3)) - 3).abs().max() < 0.4  # Normal.


def test_dead_traces_are_as_many_as_in_evaluation(gathers):
    spoiled = Corruption(None, (0.13, 0.13), seed=1, epoch=2)(gathers, SAMPLES)
    wanted = draw_dead_traces((4, 25), 0.13, np.random.default_rng(0)).sum()
    silent = (spoiled == 0).all(dim=-1)
    assert (silent.sum(dim=(1, 2)) == wanted).all()
    assert torch.equal(spoiled[~silent], gathers[~silent])
    assert not torch.equal(silent[0], silent[1])


def test_traces_that_are_dead_already_get_no_noise(gathers):
    gathers[:, 1, 3] = 0
    noisy = Corruption((0.0, 0.0), None, seed=1, epoch=2)(gathers, SAMPLES)
    assert not noisy[:, 1, 3].any()
    assert noisy.any(dim=-1).sum() == 3 * 99


def test_ratios_and_shares_are_drawn_from_their_ranges(gathers):
    samples = torch.arange(200)
    many = gathers[:1].expand(200, -1, -1, -1)
    noise = Corruption((0.0, 20.0), None, seed=0, epoch=0)(many, samples) - many
    signal = gathers[0].square().mean()
    ratios = 10 * torch.log10(signal / noise.square().mean(dim=(1, 2, 3)))
    assert ratios.min() > -0.5
    assert ratios.max() < 20.5
    assert ratios.std() == pytest.approx(20 / 12**0.5, rel=0.15)
    spoiled = Corruption(None, (0.1, 0.5), seed=0, epoch=0)(many, samples)
    shares = (spoiled == 0).all(dim=-1).float().mean(dim=(1, 2))
    assert shares.min() >= 0.1
    assert shares.max() <= 0.5
    assert shares.std() == pytest.approx(0.4 / 12**0.5, rel=0.15)


def test_fixed_by_seed_epoch_and_sample_alone(gathers):
    first = Corruption((5.0, 15.0), (0.1, 0.3), seed=1, epoch=2)
    together = first(gathers, SAMPLES)
    for row in (2, 0, 1):
        alone = first(gathers[row : row + 1], SAMPLES[row : row + 1])
        assert torch.equal(alone[0], together[row])
    for seed, epoch in ((2, 2), (1, 3)):
        other = Corruption((5.0, 15.0), (0.1, 0.3), seed, epoch)
        assert not torch.equal(other(gathers, SAMPLES), together)
    moved = first(gathers, SAMPLES + 1)
    assert not torch.equal(moved, together)


def split_of(data, config, memory=GIB):
    normalization = learn_normalization(data, config.training)
    late = corrupts(config.training)
    return SplitData(data, data.indices("train"), normalization, CPU, memory, scale_late=late)


@pytest.mark.parametrize("kind", KINDS)
def test_batches_hold_scaled_corrupted_gathers(dataset, make_config, kind):
    """What evaluation would do: corrupt what was recorded, then scale it."""
    config = make_config(NOISE, DEAD, f"training.gather_scaling={kind}")
    corruption = Corruption.of(config.training, 3)
    with open_dataset(dataset) as data:
        split = split_of(data, config)
        rows = np.array([2, 0, 11])
        samples = split.samples[rows]
        augmentation = Augmentation(split.samples, None, corruption)
        (batch,) = split.batches([rows], augmentation)
        inputs, _ = batch.take(torch.arange(3))
        recorded = torch.from_numpy(data.read_gathers(samples))
        spoiled = corruption(recorded, torch.from_numpy(samples))
        expected = learn_normalization(data, config.training).gathers(spoiled.numpy())
    np.testing.assert_allclose(inputs[:, 0], expected, rtol=1e-4, atol=1e-4)
    assert not np.allclose(spoiled, recorded, atol=0.01)


@pytest.mark.parametrize("memory", [0, GIB])
@pytest.mark.parametrize("kind", ["float32", "float16"])
def test_the_same_batch_twice_whether_kept_or_read(dataset, make_config, memory, kind):
    config = make_config(NOISE, DEAD, "training.mirror=true", f"training.gather_type={kind}")
    groups = [np.array([3, 1]), np.array([0, 7, 4])]
    with open_dataset(dataset) as data:
        split, kept = split_of(data, config, memory), split_of(data, config)
        mirrored = np.arange(30) % 2 == 0
        epochs = [EpochData(s, groups, mirrored, Corruption.of(config.training, 0))
                  for s in (split, kept)]  # fmt: skip
        for one, other in zip(*(epoch.from_batch(0) for epoch in epochs), strict=True):
            rows = torch.arange(len(one))
            first, again = one.take(rows), one.take(rows)
            for a, b, c in zip(first, again, other.take(rows), strict=True):
                assert torch.equal(a, b)
                assert torch.equal(a, c)
        ((inputs, _),) = epochs[0].parts(torch.from_numpy(split.samples[[3, 1]]), 8)
        (batch, _) = epochs[1].from_batch(0)
        assert torch.equal(inputs, batch.take(torch.arange(2))[0])


def test_float16_keeps_what_was_recorded_in_range(make_dataset, make_config, arrays):
    path = make_dataset(gathers=arrays[1] * 1e6)
    config = make_config(NOISE, "training.gather_type=float16")
    exact = make_config(NOISE)
    with open_dataset(path) as data:
        taken = []
        for settings in (config, exact):
            split = split_of(data, settings)
            augmentation = Augmentation(split.samples, None, Corruption.of(exact.training, 0))
            (batch,) = split.batches([np.arange(5)], augmentation)
            taken.append(batch.take(torch.arange(5))[0])
        late = split_of(data, config)
        assert late.needed_bytes() < 0.7 * split.needed_bytes()
    torch.testing.assert_close(*taken, atol=0.01, rtol=0.01)


def test_without_augmentation_gathers_are_only_scaled(dataset, make_config):
    """As for the count of dead pixels on a training split that is otherwise corrupted."""
    config = make_config(NOISE)
    with open_dataset(dataset) as data:
        split = split_of(data, config)
        (batch,) = split.batches([np.arange(4)])
        expected = learn_normalization(data, config.training).gathers(
            data.read_gathers(split.samples[:4])
        )
    np.testing.assert_allclose(batch.take(torch.arange(4))[0][:, 0], expected, atol=1e-5)


@pytest.mark.parametrize("override", [NOISE, DEAD])
def test_training_is_corrupted_and_validation_is_not(dataset, make_config, tmp_path, override):
    tiny = ["training.epochs=1", "optimizer.learning_rate=1e-30"]
    plain = train(make_config(*tiny), dataset, tmp_path / "plain")
    spoiled = train(make_config(*tiny, override), dataset, tmp_path / "spoiled")
    assert spoiled.last["validation_loss"] == plain.last["validation_loss"]
    assert spoiled.last["train_loss"] != plain.last["train_loss"]


@pytest.mark.parametrize("optimizer", ["adam", "sqgn", "sgn", "svrg"])
def test_every_optimizer_takes_corrupted_batches(dataset, make_config, tmp_path, optimizer):
    options = ["optimizer.options={full_gradient_interval = 'epoch'}"]
    overrides = [NOISE, DEAD, "training.mirror=true", f"optimizer.name={optimizer}"]
    overrides += options if optimizer in ("sqgn", "svrg") else []
    overrides += ["optimizer.learning_rate=1e-3", "training.epochs=2"]
    result = train(make_config(*overrides), dataset, tmp_path / "run")
    assert np.isfinite(result.last["validation_loss"])


def test_objective_sees_the_same_batch_in_every_evaluation(dataset, make_config):
    config = make_config(NOISE, DEAD)
    with open_dataset(dataset) as data:
        split = split_of(data, config)
        groups = [np.arange(8), np.arange(8, 16)]
        epoch = EpochData(split, groups, None, Corruption.of(config.training, 1))
        torch.manual_seed(0)
        model = torch.nn.Sequential(
            torch.nn.Flatten(), torch.nn.Linear(480, 168), torch.nn.Unflatten(1, (12, 14))
        )
        objectives = [
            BatchObjective(model, squared_error, epoch, index, batch, 3)
            for index, batch in enumerate(epoch.from_batch(0))
        ]
        full = objectives[0].full_gradient(cache_next=2)
        for objective, loss in zip(objectives, full.batch_losses, strict=True):
            assert float(objective.loss()) == pytest.approx(float(loss), rel=1e-6)
            assert float(objective.loss()) == float(objective.loss())


def test_resumed_run_has_the_same_bits(dataset, make_config, tmp_path):
    config = [NOISE, DEAD, "training.epochs=3"]
    train(make_config(*config[:2], "training.epochs=1"), dataset, tmp_path / "run")
    train(make_config(*config), dataset, tmp_path / "run", resume=True)
    train(make_config(*config), dataset, tmp_path / "whole")
    one, other = (load_run(tmp_path / run, "last").network for run in ("run", "whole"))
    for a, b in zip(one.parameters(), other.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.noise_snr=[20.0, 10.0]", "low not above high"),
        ("training.noise_snr=[nan, 10.0]", "training.noise_snr"),
        ("training.dead_traces=[0.0, 1.0]", "training.dead_traces"),
        ("training.dead_traces=0.1", "training.dead_traces"),
    ],
)
def test_ranges_that_cannot_be_are_refused(override, message):
    with pytest.raises(InputError, match=message) as caught:
        parse_config("", [override])
    assert "\n" not in str(caught.value)
