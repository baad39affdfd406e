from concurrent.futures import ThreadPoolExecutor

import deepwave
import numpy as np
import pytest
import torch

from seistomo.config import load_config
from seistomo.errors import InputError
from seistomo.simulation import Simulator, Survey, make_wavelet
from seistomo.simulation import propagate as propagate_module

SMALL = [
    "velocity.shape=[40, 50]",
    "survey.sources=3",
    "survey.receivers=29",
    "survey.time_samples=120",
    "survey.receiver_depth=10.0",
    "evaluation.salt_threshold=4000.0",
]


def small_config(*overrides):
    return load_config("", [*SMALL, *overrides])


@pytest.fixture
def models():
    """Five models [model, depth, x] within the bounds, rough on purpose."""
    rng = np.random.default_rng(0)
    trend = np.linspace(1600, 3500, 40)[None, :, None]
    return np.clip(trend + rng.normal(0, 200, (5, 40, 50)), 1450, 4650).astype(np.float32)


def same_bytes(a, b):
    return np.array_equal(a.view(np.uint32), b.view(np.uint32))


EVERYTHING = [
    "survey.source_depth=20.0",
    "survey.receiver_depth=31.0",
    "survey.source_jitter=20.0",
    "survey.receiver_jitter=3.0",
    "simulation.free_surface=true",
    'simulation.density="gardner"',
]


@pytest.mark.parametrize("options", [[], EVERYTHING[:4], EVERYTHING])
def test_bytes_do_not_depend_on_the_models_that_share_a_call(models, monkeypatch, options):
    noisy = ["simulation.noise_snr=10.0", "survey.dead_traces=0.1", *options]
    expected = Simulator(small_config(*noisy), "cpu")(models, [3, 9, 2, 5, 0])
    for together in (1, 2, 5):
        config = small_config(*noisy, f"simulation.models_per_call={together}")
        assert same_bytes(Simulator(config, "cpu")(models, [3, 9, 2, 5, 0]), expected)
    alone = Simulator(small_config(*noisy), "cpu")(models[[4]], [0])
    assert same_bytes(alone[0], expected[4])
    # Memory for two shots only: calls that cut through the models.
    shot_bytes = Simulator(small_config(*noisy), "cpu").shot_bytes
    monkeypatch.setattr(propagate_module, "MEMORY_LIMIT", 2 * shot_bytes)
    little = Simulator(small_config(*noisy), "cpu")
    assert same_bytes(little(models, [3, 9, 2, 5, 0]), expected)


def test_a_gpu_gives_a_call_an_eighth_of_what_is_free(monkeypatch):
    gpu = torch.device("cuda:0")
    for free, expected in ((16 * 2**30, 2 * 2**30), (139 * 2**30, 8 * 2**30)):
        monkeypatch.setattr(torch.cuda, "mem_get_info", lambda device, free=free: (free, 2 * free))
        assert propagate_module.call_bytes(gpu) == expected
    assert propagate_module.call_bytes(torch.device("cpu")) == propagate_module.MEMORY_LIMIT


@pytest.mark.parametrize("options", [[], EVERYTHING])
def test_bytes_do_not_depend_on_the_number_of_threads(models, options):
    before = torch.get_num_threads()
    results = []
    try:
        for threads in (1, 2, 3):
            torch.set_num_threads(threads)
            results.append(Simulator(small_config(*options), "cpu")(models, range(5)))
            assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert same_bytes(results[0], results[1])
    assert same_bytes(results[0], results[2])


@pytest.mark.filterwarnings("ignore::deepwave.MigrationWarning")
@pytest.mark.parametrize(
    "options",
    [
        ["survey.source_depth=95.3", "survey.receiver_depth=110.0"],
        ["survey.source_depth=95.3", "survey.source_jitter=9.0", "survey.receiver_jitter=5.0"],
        # Windows that reach over the surface: folded by us, and by deepwave itself.
        ["simulation.free_surface=true", "survey.source_depth=17.3", "survey.receiver_depth=40.0"],
    ],
)
def test_off_node_points_equal_deepwave_interpolation(models, options):
    """Sources and receivers between nodes both ways, against deepwave's own (Hicks)."""
    config = small_config(*options)
    edges = {"pml_width": config.simulation.pml_width}
    if config.simulation.free_surface:
        edges = {"pml_width": [0, 10, 10, 10], "boundary": ["free", "pml", "pml", "pml"]}
    simulator = Simulator(config, "cpu")
    grid, survey = simulator.grid, Survey.draw(config, 0, 7)

    def locations(depth, x):
        return torch.from_numpy(np.stack(grid.to_cells(depth, x), axis=-1))

    steps = grid.inner_steps
    wavelet = make_wavelet(config.survey, config.survey.time_step / steps, 120 * steps)
    receivers = locations(survey.receiver_depth, survey.receiver_x)
    expected = deepwave.scalar(
        torch.from_numpy(grid.carry(models[:1])[0]),
        grid.spacing,
        config.survey.time_step / steps,
        source_amplitudes=torch.from_numpy(-wavelet / grid.spacing**2).float().expand(3, 1, -1),
        source_locations=locations(survey.source_depth, survey.source_x)[:, None],
        receiver_locations=receivers.expand(3, -1, -1),
        accuracy=config.simulation.accuracy,
        **edges,
        pml_freq=config.survey.frequency,
        max_vel=config.velocity.maximum,
        courant_number=0.71,
    ).receiver_amplitudes[..., ::steps]
    gathers = simulator(models[:1], [7])[0]
    # Measured: 1.4e-6 of the peak, and 0.8e-6 against deepwave in float64: rounding.
    assert np.abs(gathers - expected.numpy()).max() < 3e-6 * np.abs(gathers).max()


def test_on_node_receivers_are_exact_picks(models):
    """A receiver on a node records the same bytes whether others lie between nodes or not."""
    ends = "survey.receiver_x=[0.0, 735.0]"
    on = Simulator(small_config("survey.receivers=50", "survey.receiver_depth=15.0", ends), "cpu")
    mixed = Simulator(
        small_config("survey.receivers=99", "survey.receiver_depth=15.0", ends), "cpu"
    )
    assert same_bytes(mixed(models[:1], [0])[:, :, ::2].copy(), on(models[:1], [0]))


def test_each_sample_is_shot_from_its_own_positions(models):
    """With jitter, as a survey of these very positions would give it, to the bit."""
    jitter = ["survey.source_jitter=20.0", "survey.receiver_jitter=3.0", "survey.source_depth=21.0"]
    inside = ["survey.source_x=[120.0, 600.0]", "survey.receiver_x=[90.0, 640.0]"]
    config = small_config(*jitter, *inside)
    together = Simulator(config, "cpu")(models, [4, 9, 2, 5, 0])
    for sample, index in ((0, 4), (3, 5)):
        survey = Survey.draw(config, config.dataset.seed, index)
        given = [
            f"survey.{name}={getattr(survey, name).tolist()}" for name in ("source_x", "receiver_x")
        ]
        alone = Simulator(small_config(jitter[2], *given), "cpu")(models[sample][None], [index])
        assert same_bytes(together[sample], alone[0])
    assert not same_bytes(Simulator(config, "cpu")(models[:1], [5])[0], together[0])


def test_gathers_are_written_where_they_are_wanted(models):
    simulator = Simulator(small_config("survey.dead_traces=0.1"), "cpu")
    expected = simulator(models[:2], [3, 4])
    room = np.full((4, 3, 29, 120), np.nan, np.float32)
    found = simulator(models[:2], [3, 4], room[1:3])
    assert np.shares_memory(found, room)
    assert same_bytes(found, expected)
    assert np.isnan(room[[0, 3]]).all()
    for wrong in (room, room[:2].astype(np.float64), room[::2]):
        with pytest.raises(ValueError, match=r"out: must be float32 \[2, 3, 29, 120\]"):
            simulator(models[:2], [3, 4], wrong)


def test_two_threads_may_share_a_simulator(models):
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        simulator = Simulator(small_config(*EVERYTHING), "cpu")
        expected = [simulator(models[[i]], [i]) for i in range(5)]
        counted = simulator.wave_seconds
        with ThreadPoolExecutor(2, initializer=torch.set_num_threads, initargs=(1,)) as pool:
            results = pool.map(lambda i: simulator(models[[i]], [i]), range(5))
            assert all(map(same_bytes, results, expected))
        assert simulator.wave_seconds > counted
    finally:
        torch.set_num_threads(before)
    assert propagate_module.covered_seconds([(0, 2), (1, 3), (5, 6), (5.2, 5.4)]) == 4


def test_what_cannot_be_simulated_is_refused(models):
    with pytest.raises(InputError, match=r"device = cuda:99"):
        Simulator(small_config(), "cuda:99")
    with pytest.raises(InputError, match=r"survey\.amplitude = 1e\+39: the gathers pass"):
        Simulator(small_config("survey.amplitude=1e39"), "cpu")(models[:1], [0])
    models[3, 5, 6] = np.nan
    with pytest.raises(InputError, match=r"sample 13: velocity = nan m/s at node \[5, 6\]"):
        Simulator(small_config(), "cpu")(models, range(10, 15))


def test_noise_and_dead_traces_come_on_top(models):
    clean = Simulator(small_config(), "cpu")(models[:2], [4, 5])
    dirty_config = small_config("simulation.noise_snr=15.0", "survey.dead_traces=0.2")
    dirty = Simulator(dirty_config, "cpu")(models[:2], [4, 5])
    assert dirty.shape == (2, 3, 29, 120)
    assert not np.array_equal(dirty[0].any(-1), dirty[1].any(-1))
    for sample, index in enumerate([4, 5]):
        dead = Survey.draw(dirty_config, dirty_config.dataset.seed, index).dead_trace
        assert not dirty[sample][dead].any()
        ratio = np.linalg.norm(dirty[sample][~dead] - clean[sample][~dead])
        ratio /= np.linalg.norm(clean[sample][~dead])
        # 8,400 samples: known to 0.07 dB (one standard deviation).
        assert -20 * np.log10(ratio) == pytest.approx(15, abs=0.3)


def test_amplitude_scales_the_gathers(models):
    one = Simulator(small_config(), "cpu")(models[:1], [0])
    minus_two = Simulator(small_config("survey.amplitude=-2.0"), "cpu")(models[:1], [0])
    # Not to the bit: what underflows at the wave's front is scaled too, and turns roundings.
    np.testing.assert_allclose(minus_two, -2 * one, rtol=0, atol=2e-6 * np.abs(minus_two).max())


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("grid", [[], ["simulation.grid_spacing=9.0"]])
def test_speeds_at_the_bounds_are_propagated_without_complaint(grid):
    # 4650.1 is larger in float32, 1450.1 smaller.
    config = small_config("velocity.minimum=1450.1", "velocity.maximum=4650.1", *grid)
    velocity = np.full((1, 40, 50), 4650.1, np.float32)
    velocity[:, :10] = 1450.1
    assert np.isfinite(Simulator(config, "cpu")(velocity, [0])).all()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
def test_cpu_and_gpu_agree(models):
    cpu = Simulator(small_config(), "cpu")(models, range(5))
    gpu = Simulator(small_config(), "cuda")(models, range(5))
    assert np.abs(cpu - gpu).max() < 1e-4 * np.abs(cpu).max()
