"""Batches: the same bits from memory and from the file, changed as (seed, epoch, sample) has it."""

import threading
import time
from dataclasses import replace

import numpy as np
import pytest
import torch

from seistomo.config import TrainingConfig, load_config, parse_config, with_overrides
from seistomo.dataset import open_dataset, write_dataset
from seistomo.errors import InputError
from seistomo.experiments.conditions import wavelet_settings
from seistomo.ranks import Processes
from seistomo.simulation import Simulator, add_noise, draw_dead_traces, make_wavelet
from seistomo.training import load_run, train
from seistomo.training.augmentation import Corruption, WaveletFilter, mirror, mirrored_rows
from seistomo.training.batches import epoch_groups
from seistomo.training.data import GatherSamples
from seistomo.training.losses import squared_error
from seistomo.training.objective import BatchObjective
from seistomo.training.scaling import learn_normalization
from seistomo.velocity import draw_model

CPU = torch.device("cpu")
NOISE, DEAD = "training.noise_snr=[5.0, 15.0]", "training.dead_traces=[0.1, 0.3]"
MIRROR = "training.mirror=true"
JITTER = ["training.amplitude_jitter=3.0", "training.wavelet_jitter=0.2"]


@pytest.fixture
def samples_of(make_config):
    """Return a function that gives the training samples, kept where room is made."""

    def samples(data, *overrides, place="device", processes=None, share=1.0, split="train"):
        settings = make_config(*overrides).training
        held = GatherSamples(
            data,
            data.indices(split),
            learn_normalization(data, settings),
            processes or Processes(),
            {},
            settings,
        )
        held._memory |= {place: int(share * held.needed_bytes())}
        return held.to(CPU)

    return samples


def all_parts(epoch, size=3):
    """Return inputs and targets of each batch, as an objective takes them."""
    for number, batch in enumerate(epoch.from_batch(0)):
        rows = torch.arange(len(epoch.batches[number]))
        if batch is None:
            parts = list(epoch.parts(epoch.batches[number], size))
        else:
            parts = [batch.take(part) for part in rows.split(size)]
        yield tuple(map(torch.cat, zip(*parts, strict=True)))


def test_samples_are_read_anew_where_memory_is_less_than_was_thought(
    dataset, samples_of, monkeypatch
):
    def refused(*_arguments, **_options):
        raise torch.OutOfMemoryError("no block is as large")

    with open_dataset(dataset) as data:
        with monkeypatch.context() as patch:
            patch.setattr(GatherSamples, "empty", refused)
            held = samples_of(data)
        assert (held.place, held.kept) == ("file", None)
        assert len(list(all_parts(held.epoch(0, [np.arange(5)])))) == 1


@pytest.mark.parametrize(
    "overrides",
    [[], ["training.gather_type=float16"], [NOISE, DEAD, MIRROR], JITTER,
     [NOISE, MIRROR, "training.gather_type=float16"]],
)  # fmt: skip
def test_batches_are_the_same_bits_wherever_samples_are(
    dataset, make_config, samples_of, overrides
):
    settings = make_config("training.batch_size=7").training
    with open_dataset(dataset) as data:
        groups = epoch_groups(settings, 0, 30)
        epochs = [
            samples_of(data, *overrides, place=place).epoch(3, groups)
            for place in ("device", "host", "file")
        ]
        assert [epoch.held.place for epoch in epochs] == ["device", "host", "file"]
        for one, host, file in zip(*map(all_parts, epochs), strict=True):
            for a, b, c in zip(one, host, file, strict=True):
                assert a.dtype == torch.float32
                assert torch.equal(a, b)
                assert torch.equal(a, c)
        # Any samples of the split, in any epoch evaluated twice.
        wanted = epochs[0].samples[[3, 20, 7, 4]]
        taken = [list(epoch.parts(wanted, 3)) for epoch in (*epochs, epochs[2])]
        for inputs in zip(*([part[0] for part in parts] for parts in taken), strict=True):
            assert all(torch.equal(inputs[0], other) for other in inputs[1:])


@pytest.mark.parametrize("kind", ["none", "standard", "asinh", "trace", "gain"])
@pytest.mark.parametrize("overrides", [[], [NOISE, DEAD, *JITTER]])
def test_batches_hold_what_was_recorded_changed_then_scaled(
    dataset, make_config, samples_of, kind, overrides
):
    overrides = [*overrides, f"training.gather_scaling={kind}"]
    config = make_config(*overrides).training
    with open_dataset(dataset) as data:
        held, rows = samples_of(data, *overrides), np.array([2, 0, 11])
        ((inputs, targets),) = all_parts(held.epoch(3, [rows]))
        indices = held.indices[rows]
        gathers = torch.from_numpy(data.read_gathers(indices))
        if overrides[1:]:
            changes = Corruption(config, 3, WaveletFilter.of(data, config))
            spoiled = changes(gathers, torch.from_numpy(indices))
            assert not torch.allclose(spoiled, gathers, atol=0.01)
            gathers = spoiled
        assert inputs.shape == (3, 1, *data.gather_shape)
        assert torch.equal(inputs[:, 0], held.normalization.gathers(gathers))
        velocity = held.normalization.velocity.scale(data.read_velocity(indices))
        assert np.array_equal(targets.numpy(), velocity)
        # For scores they are only scaled.
        ((shown, plain),) = held.inputs(30)
        recorded = data.read_gathers(held.indices)
        assert torch.equal(plain[:, 0], held.normalization.gathers(recorded))
        assert np.array_equal(shown, np.arange(30))


def test_a_batch_is_there_before_its_samples_and_the_next_is_read(dataset, samples_of, monkeypatch):
    groups = np.array_split(np.random.default_rng(0).permutation(30), 6)
    with open_dataset(dataset) as data:
        held = samples_of(data, place="file")
        seen, read, gate = [], data.read_gathers, threading.Event()

        def slow(indices):
            gate.wait(5)
            seen.append(indices[0])
            return read(indices)

        monkeypatch.setattr(data, "read_gathers", slow)
        batches = held.epoch(0, groups).from_batch(0)
        batch = next(batches)
        assert held.waited == 0
        threading.Timer(0.05, gate.set).start()
        batch.take(torch.arange(5))
        assert held.waited >= 0.04
        deadline = time.monotonic() + 20
        while len(seen) < 10 and time.monotonic() < deadline:
            time.sleep(0.001)
        # This batch and the next, in their order, and nothing beyond.
        assert seen == held.indices[np.concatenate(groups[:2])].tolist()
        batches.close()
        assert not [t for t in threading.enumerate() if t.name.startswith("reader")]

        def fail(_indices):
            raise OSError("gone")

        monkeypatch.setattr(data, "read_gathers", fail)
        batch = next(held.epoch(0, groups).from_batch(0))
        with pytest.raises(OSError, match="gone"):
            batch.take(torch.arange(1))


@pytest.mark.parametrize("place", ["device", "host", "file"])
@pytest.mark.parametrize("owned", [True, False])
def test_shares_of_an_epoch_cover_it_once(dataset, samples_of, place, owned):
    """Three processes that hold thirds of the set, or are dealt thirds of each batch."""
    groups = np.array_split(np.random.default_rng(0).permutation(30), 4)
    taken = []
    with open_dataset(dataset) as data:
        whole = samples_of(data).epoch(0, groups)
        for rank in range(3):
            processes = Processes(rank, 3, rank, 3)
            processes.agree = lambda condition: condition  # They would ask each other.
            share = 1 / 3 if owned else 1.0
            held = samples_of(data, place=place, processes=processes, share=share)
            if place == "file" and owned:
                continue
            assert (held.place, held.owned) == (place, owned)
            epoch = held.epoch(0, groups)
            for number, batch in enumerate(epoch.from_batch(0)):
                own = np.flatnonzero(epoch.owners[groups[number]] == rank)
                assert owned or len(own) in (len(groups[number]) // 3, len(groups[number]) // 3 + 1)
                wanted = epoch.batches[number][own]
                parts = [batch.take(torch.from_numpy(own))] if batch else epoch.parts(wanted, 30)
                expected = list(whole.parts(wanted, 30))
                for one, other in zip(parts, expected, strict=True):
                    assert all(torch.equal(a, b) for a, b in zip(one, other, strict=True))
                taken += wanted.tolist()
                if owned:
                    others = np.setdiff1d(np.arange(len(groups[number])), own)
                    with pytest.raises(ValueError, match="held by another process"):
                        list(epoch.parts(epoch.batches[number][others], 30))
    assert sorted(taken) == ([] if place == "file" and owned else whole.samples.tolist())


# What field records have.


@pytest.fixture
def gathers():
    """Return gathers as recorded, float32 [sample, source, receiver, time]."""
    random = torch.Generator().manual_seed(0)
    return torch.randn(3, 4, 25, 40, generator=random) * torch.exp(-torch.arange(40) / 8)


SAMPLES = torch.tensor([5, 70, 9])


def corruption(*, seed=1, epoch=2, **settings):
    wavelet = WaveletFilter(make_wavelet(load_config("", ["survey.time_samples=40"]).survey))
    return Corruption(TrainingConfig(seed=seed, **settings), epoch, wavelet)


SOME = {"noise_snr": (5.0, 15.0), "dead_traces": (0.1, 0.3)}
SOME |= {"amplitude_jitter": 3.0, "wavelet_jitter": 0.2}


class Replayed:
    """Stands for numpy's generator: gives noise that was drawn elsewhere."""

    def __init__(self, noise):
        self._noise = noise

    def standard_normal(self, shape, dtype):
        assert shape == self._noise.shape
        return self._noise.astype(dtype)


@pytest.mark.parametrize("dead", [None, (0.2, 0.2)])
def test_noise_is_that_of_evaluation(gathers, dead, monkeypatch):
    drawn = torch.randn(4, 25, 40)
    with monkeypatch.context() as patch:
        patch.setattr(torch, "randn", lambda *_, out, **_options: out.copy_(drawn))
        noisy = corruption(noise_snr=(7.0, 7.0), dead_traces=dead)(gathers, SAMPLES)
    for row in range(3):
        silent = (noisy[row] == 0).all(dim=-1).numpy()
        assert silent.sum() == (20 if dead else 0)
        expected = add_noise(gathers[row].numpy(), 7.0, Replayed(drawn.numpy()), silent)
        np.testing.assert_allclose(noisy[row], expected, atol=1e-6)


def test_traces_are_silenced_as_in_evaluation_and_stay_silent(gathers):
    gathers[:, 1, 3] = 0
    noisy = corruption(**SOME | {"dead_traces": None})(gathers, SAMPLES)
    assert not noisy[:, 1, 3].any()
    assert noisy.any(dim=-1).sum() == 3 * 99
    gathers[:, 1, 3] = 1
    spoiled = corruption(dead_traces=(0.13, 0.13))(gathers, SAMPLES)
    silent = (spoiled == 0).all(dim=-1)
    wanted = draw_dead_traces((4, 25), 0.13, np.random.default_rng(0)).sum()
    assert (silent.sum(dim=(1, 2)) == wanted).all()
    assert torch.equal(spoiled[~silent], gathers[~silent])
    assert not torch.equal(silent[0], silent[1])


def test_changes_are_fixed_by_seed_epoch_and_sample_alone(gathers):
    first = corruption(**SOME)
    together = first(gathers, SAMPLES)
    for row in (2, 0, 1):
        alone = first(gathers[row : row + 1], SAMPLES[row : row + 1])
        assert torch.equal(alone[0], together[row])
    for seed, epoch, moved in ((2, 2, 0), (1, 3, 0), (1, 2, 1)):
        for one in (SOME, *({key: value} for key, value in SOME.items())):
            other = corruption(seed=seed, epoch=epoch, **one)(gathers, SAMPLES + moved)
            assert not torch.equal(other, corruption(**one)(gathers, SAMPLES))
    which = mirrored_rows(1, 2, 1000)
    assert np.array_equal(which, mirrored_rows(1, 2, 1000))
    assert not np.array_equal(which, mirrored_rows(1, 3, 1000))
    assert not np.array_equal(which, mirrored_rows(2, 2, 1000))
    assert 0.45 < which.mean() < 0.55


def test_amplitudes_are_those_of_shots_and_of_receivers():
    gathers = torch.ones(3, 31, 200, 2)
    decibels = 20 * corruption(amplitude_jitter=3.0)(gathers, SAMPLES).log10()[..., 0]
    shots, receivers = decibels.mean(dim=2), decibels.mean(dim=1)
    # Each the same over all the other's.
    both = shots[:, :, None] + receivers[:, None] - decibels.mean(dim=(1, 2), keepdim=True)
    torch.testing.assert_close(decibels, both, atol=1e-4, rtol=0)
    np.testing.assert_allclose((shots.std(), receivers.std()), 3, rtol=0.25)


ORMSBY = ["survey.wavelet=ormsby", "survey.corner_frequencies=[2.0, 4.0, 8.0, 11.0]"]


# Relative errors measured: 0.001, 0.0081, 0.027; of gathers that are not filtered 0.28 to 0.43.
@pytest.mark.parametrize(
    ("wavelet", "factor", "error"), [([], 1 / 1.2, 0.002), ([], 1.2, 0.009), (ORMSBY, 1.2, 0.03)]
)
def test_gathers_of_another_wavelet_are_those_that_are_simulated_with_it(
    wavelet, factor, error, tmp_path
):
    """As `seistomo benchmark generalization` changes it, at the quickstart's spacings."""
    smaller = ["velocity.shape=[24, 28]", "survey.sources=2", "survey.receivers=14", *wavelet]
    config = load_config("quickstart", smaller)
    model = draw_model(config.velocity, 0, 4).velocity[None]
    recorded = torch.from_numpy(Simulator(config, "cpu")(model, [0]))
    other = load_config("quickstart", [*smaller, *wavelet_settings(config, factor, tmp_path)])
    wanted = torch.from_numpy(Simulator(other, "cpu")(model, [0]))
    found = WaveletFilter(make_wavelet(config.survey))(recorded, [factor])
    assert (found - wanted).norm() < error * wanted.norm()
    assert (recorded - wanted).norm() > 0.2 * wanted.norm()


def test_the_wavelet_changes_within_its_range():
    drawn = []
    wavelet = lambda gathers, factors: drawn.extend(factors) or gathers  # noqa: E731
    for epoch in range(20):
        settings = TrainingConfig(wavelet_jitter=0.25)
        Corruption(settings, epoch, wavelet)(torch.ones(5, 1, 1, 1), torch.arange(5))
    assert 0.8 < min(drawn) < 0.83
    assert 1.2 < max(drawn) < 1.25


def test_an_objective_sees_the_same_batch_in_every_evaluation(dataset, samples_of):
    groups = [np.arange(8), np.arange(8, 16)]
    with open_dataset(dataset) as data:
        epoch = samples_of(data, NOISE, DEAD, *JITTER).epoch(1, groups)
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


def test_validation_is_not_spoiled(dataset, make_config, tmp_path):
    still = ["optimizer.name=sgd", "optimizer.learning_rate=1e-30", "training.epochs=1"]
    plain = train(make_config(*still), dataset, tmp_path / "plain")
    spoiled = train(make_config(*still, NOISE, DEAD), dataset, tmp_path / "spoiled")
    assert spoiled.last["validation_loss"] == plain.last["validation_loss"]
    assert spoiled.last["train_loss"] != plain.last["train_loss"]


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("training.noise_snr=[20.0, 10.0]", "low not above high"),
        ("training.dead_traces=[0.0, 1.0]", "training.dead_traces"),
    ],
)
def test_ranges_that_cannot_be_are_refused(override, message):
    with pytest.raises(InputError, match=message):
        parse_config("", [override])


# Mirrored samples: the same physics seen from behind.


def test_a_mirrored_pair_is_what_the_wave_equation_gives_for_the_mirrored_model():
    config = load_config(
        "", ["velocity.shape=[24, 28]", "survey.sources=3", "survey.receivers=9",
             "survey.time_samples=140"],
    )  # fmt: skip
    model = draw_model(config.velocity, 0, 4).velocity
    models = np.ascontiguousarray(np.stack([model, model[:, ::-1]]))
    gathers = torch.from_numpy(Simulator(config, "cpu")(models, [0, 0])).unsqueeze(1)
    turned, velocity = mirror(gathers[:1], torch.from_numpy(models[:1]), torch.tensor([True]))
    assert torch.equal(velocity[0], torch.from_numpy(models[1]))
    error = (turned[0] - gathers[1]).abs().max() / gathers.abs().max()
    assert error < 1e-5  # measured: 2e-7


def test_the_chosen_samples_are_mirrored_alone(dataset, samples_of):
    rows = np.arange(12)
    with open_dataset(dataset) as data:
        turned, plain = samples_of(data, MIRROR), samples_of(data, place="file")
        plain.normalization = turned.normalization
        ((inputs, targets),) = all_parts(turned.epoch(0, [rows]), 5)
        ((straight, models),) = all_parts(plain.epoch(0, [rows]))
    which = torch.from_numpy(mirrored_rows(0, 0, 30)[rows])
    assert which.any()
    assert not which.all()
    assert torch.equal(targets, torch.where(which[:, None, None], models.flip(2), models))
    both = which[:, None, None, None, None]
    assert torch.equal(inputs, torch.where(both, straight.flip(2, 3), straight))
    # What was learnt is symmetric, too.
    mean = turned.normalization.gathers.mean
    torch.testing.assert_close(mean, mean.flip(0, 1))


@pytest.mark.parametrize("key", ["training.mirror", "evaluation.mirror"])
def test_a_survey_that_is_not_symmetric_is_refused(make_config, arrays, tmp_path, key):
    config = make_config("survey.source_x=[0.0, 200.0]")
    path = write_dataset(tmp_path / "data.h5", config, *arrays)
    config = make_config("survey.source_x=[0.0, 200.0]", f"{key}=true")
    message = rf"{key} = true: the sources of .* not symmetric about x = 130 m"
    with pytest.raises(InputError, match=message):
        train(config, path, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_prediction_averages_both_sides_when_asked(make_config, arrays, tmp_path):
    overrides = ["training.mute=top", "training.gather_scaling=gain", "training.averaging=ema"]
    config = make_config(
        "training.epochs=1", "evaluation.mirror=true", "survey.time_step=0.02", "survey.delay=0.0",
        *overrides,
    )  # fmt: skip
    dataset = write_dataset(
        tmp_path / "data.h5", config, *arrays, wavelet=make_wavelet(config.survey)
    )
    train(config, dataset, tmp_path / "run")
    run = load_run(tmp_path / "run")
    gathers = arrays[1][:3]
    both = run.predict(gathers)
    alone = replace(run, config=with_overrides(run.config, ["evaluation.mirror=false"]))
    # Mirroring is of scaled gathers; the mean gather that scaling removes is not symmetric here.
    with torch.no_grad():
        scaled = run.normalization.gathers(gathers).unsqueeze(1)
        turned = run.normalization.velocity.unscale(run.network(scaled.flip(2, 3)).flip(2))
    expected = (alone.predict(gathers) + turned.numpy()) / 2
    np.testing.assert_allclose(both, expected, rtol=1e-5)
    assert not np.allclose(both, alone.predict(gathers), rtol=1e-5)
