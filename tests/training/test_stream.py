"""Training on a stream: models that no data set holds, used a few times, the same after a kill."""

import sys
from contextlib import closing

import numpy as np
import pytest
import torch

from seistomo.dataset import open_dataset
from seistomo.dataset.generate import simulate
from seistomo.dataset.stream import first_number
from seistomo.errors import InputError
from seistomo.ranks import Processes
from seistomo.training import load_run, train
from seistomo.training.batches import epoch_groups
from seistomo.training.checkpoint import load_checkpoint
from seistomo.training.data import GatherSamples
from seistomo.training.rehearsal import dry_run
from seistomo.training.scaling import learn_normalization
from seistomo.training.stream import StreamedSamples
from seistomo.velocity import draw_model

# A network that sees each sample's own positions.
JITTERED = ["survey.source_jitter=15.0", "network.name=unet", "network.encoder_channels=[2]",
            "network.latent=4", "network.decoder_channels=[2]"]  # fmt: skip
CPU = torch.device("cpu")


@pytest.fixture
def config(_processes, simulated_config):
    """Return the configuration with some settings changed; what it needs starts fast."""
    return lambda *more: simulated_config("training.epochs=5", "training.stream_uses=2", *more)


@pytest.fixture(scope="module")
def path(simulated):
    return simulated()


def streamed(data, settings, memory=10**9):
    normalization = learn_normalization(data, settings)
    held = StreamedSamples(data, normalization, Processes(), {"device": memory}, settings, True)
    return closing(held.to(CPU))


@pytest.mark.parametrize(("uses", "batches"), [(2, None), (3, 2), (7, 1), (1, None)])
def test_each_model_is_a_new_one_and_used_as_often_as_asked(config, path, uses, batches):
    settings = config(f"training.stream_uses={uses}", "training.epochs=9").training
    settings = settings.model_copy(update={"batches_per_epoch": batches})
    length = 4 * batches if batches else 10
    with open_dataset(path) as data, streamed(data, settings) as held:
        assert len(held) == length
        assert held.needed_bytes() <= -(-(length + length / uses) // 1) * (4 * (2 * 7 * 40 + 168))
        times, models = {}, {}
        for epoch in range(9):
            groups = epoch_groups(settings, epoch, length)
            made = held.epoch(epoch, groups)
            assert held.kept[0].shape[0] == length + -(-length // uses)
            for batch in made.batches:
                for number in batch.tolist():
                    times[number] = times.get(number, 0) + 1
                ((_, velocity),) = made.parts(batch, 99)
                for number, model in zip(batch.tolist(), velocity, strict=True):
                    assert torch.equal(models.setdefault(number, model), model)
        assert held.seen == len(models) == length + 8 * length // uses
        assert min(times) == first_number(0) > 10**9
        assert max(times.values()) == uses
        in_between = [n for n in times if length <= n - first_number(0) < held.seen - length]
        assert all(times[number] == uses for number in in_between)
        stored = held.normalization.velocity.scale(data.read_velocity(range(data.samples)))
        everything = [*map(np.asarray, models.values()), *stored]
        assert len({model.tobytes() for model in everything}) == len(everything)


@pytest.mark.parametrize(
    "overrides",
    [[], ["training.noise_snr=[5.0, 10.0]", "training.mute=top", "survey.source_jitter=15.0"],
     ["dataset.storage=float32", "training.gather_type=float16"]],
)  # fmt: skip
def test_a_streamed_sample_has_the_bits_of_a_stored_one(config, tmp_path, monkeypatch, overrides):
    """The stream is led to the numbers of the data set, whose samples it must give."""
    made = config(*overrides, "training.mirror=true")
    simulate(made, tmp_path / "data.h5", device="cpu")
    monkeypatch.setattr("seistomo.training.stream.first_number", lambda seed: 0)
    settings = made.training.model_copy(update={"batches_per_epoch": 3, "stream_uses": 6})
    with open_dataset(tmp_path / "data.h5") as data, streamed(data, settings) as held:
        everything = data, np.arange(12), held.normalization
        stored = GatherSamples(*everything, Processes(), {}, settings, True).to(CPU)
        groups = epoch_groups(settings, 0, 12)
        ours, theirs = (samples.epoch(0, groups) for samples in (held, stored))
        for batch in ours.batches:
            for one, other in zip(ours.parts(batch, 3), theirs.parts(batch, 3), strict=True):
                assert one[0].shape[1] == (3 if data.config.survey.jittered else 1)
                assert torch.equal(one[0], other[0])
                assert torch.equal(one[1], other[1])
    model = draw_model(made.velocity, 3, first_number(4))
    assert model.velocity.shape == (12, 14)
    assert first_number(5) - first_number(4) > 10**9


SQGN = ["optimizer.name=sqgn", "optimizer.learning_rate=0.1",
        'optimizer.options={full_gradient_interval = "epoch", curvature_samples = 3}']  # fmt: skip


@pytest.mark.parametrize("overrides", [["training.mirror=true"], SQGN])
def test_resumed_anywhere_it_ends_with_the_same_bits(
    config, path, tmp_path, assert_resumes, overrides
):
    assert_resumes(config(*overrides), path, stops=(5, 9))
    if overrides is not SQGN:
        last = load_checkpoint(tmp_path / "run" / "checkpoint.pt").history[-1]
        assert last["gradient_evaluations"] == 5 * 3
    assert load_run(tmp_path / "run").predict(np.zeros((1, 2, 7, 40), np.float32)).shape[0] == 1


def test_interrupted_while_it_waits_for_models_it_keeps_what_is_done(
    config, path, tmp_path, monkeypatch
):
    wait, waits = StreamedSamples._wait, []

    def interrupted(self):
        waits.append(self)
        if len(waits) == 3:
            raise KeyboardInterrupt
        wait(self)

    monkeypatch.setattr(StreamedSamples, "_wait", interrupted)
    # As where writing is slow: no epoch's end is worth a checkpoint.
    monkeypatch.setattr(sys.modules["seistomo.training.fit"], "WRITING_SHARE", 0.0)
    with pytest.raises(KeyboardInterrupt):
        train(config(), path, tmp_path / "run")
    assert load_checkpoint(tmp_path / "run" / "checkpoint.pt").progress.epoch == 2


def test_two_processes_make_half_of_the_samples_each(config, tmp_path, start_ranks):
    made, path, file = config(*JITTERED), tmp_path / "data.h5", tmp_path / "config.toml"
    simulate(made, path, device="cpu")
    file.write_text(made.to_toml())
    arguments = ["train", file, "--data", path]
    for run in start_ranks(2, *arguments, "--out", tmp_path / "two"):
        assert run.wait() == 0, run.words
    train(made, path, tmp_path / "one")
    one, two = (load_checkpoint(tmp_path / r / "checkpoint.pt") for r in ("one", "two"))
    for a, b in zip(one.history, two.history, strict=True):
        assert {**a, "seconds": 0} == pytest.approx({**b, "seconds": 0}, rel=1e-3)


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (["training.cache_memory=1e-6"], "training.cache_memory"),
        (["training.batch_size=11"], "training.batch_size = 11"),
    ],
)
def test_refused(config, path, tmp_path, overrides, words):
    with pytest.raises(InputError, match=words):
        train(config(*overrides), path, tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoint.pt").exists()


def test_a_dry_run_counts_new_models(config, path, tmp_path):
    assert "10 for training, 5 new ones an epoch" in dry_run(config(), path, tmp_path / "run")


def test_models_of_ones_own_cannot_be_streamed(dataset, make_config, tmp_path):
    with pytest.raises(InputError, match="are not what its configuration draws"):
        train(make_config("training.stream_uses=3"), dataset, tmp_path / "run")


def test_without_a_validation_split_it_is_refused(config, tmp_path):
    made = config("dataset.split=[6, 0, 1]")
    simulate(made, tmp_path / "data.h5", device="cpu")
    with pytest.raises(InputError, match="holds no validation"):
        train(made, tmp_path / "data.h5", tmp_path / "run")
