"""What the families named after OpenFWI's promise, on the grid and in their parameters."""

import json

import numpy as np
import pytest
from scipy import ndimage

from seistomo.config import VelocityConfig, load_config
from seistomo.config.velocity import OPENFWI_FAMILIES
from seistomo.simulation import Simulator, check_simulation
from seistomo.velocity import draw_earth, draw_model
from seistomo.velocity.extent import LEAST_CELLS
from seistomo.velocity.layers import LEAST_RISE
from seistomo.velocity.openfwi import draw_tops

COUNT = 40
BLOCKY = [family for family in OPENFWI_FAMILIES if not family.startswith("style")]
PLAIN = [family for family in BLOCKY if "vel" in family]
FAULTED = [family for family in BLOCKY if "fault" in family]
LAYERS = {
    **dict.fromkeys(PLAIN, (3, 8)),
    "flatfault_a": (2, 4),
    "curvefault_a": (2, 4),
    "flatfault_b": (6, 8),
    "curvefault_b": (6, 8),
}


def one(family, **values):
    values = {"water_probability": 0, "minimum": 1500, "maximum": 4500, **values}
    return VelocityConfig(shape=(70, 70), spacing=10.0, families=family, **values)


@pytest.fixture(scope="module")
def models():
    return {
        family: [draw_model(one(family), 3, index) for index in range(COUNT)]
        for family in OPENFWI_FAMILIES
    }


@pytest.mark.parametrize("family", OPENFWI_FAMILIES)
def test_models_keep_to_the_range_and_depend_on_seed_and_index_alone(models, family):
    assert len({model.velocity.tobytes() for model in models[family]}) == COUNT
    again = draw_model(one(family), 3, 7)
    assert again.velocity.tobytes() == models[family][7].velocity.tobytes()
    assert again.parameters == models[family][7].parameters
    for model in models[family]:
        assert model.family == family
        assert model.velocity.shape == (70, 70)
        assert model.velocity.dtype == np.float32
        assert model.velocity.min() >= 1500
        assert model.velocity.max() <= 4500
        assert not model.salt_mask.any()
        assert json.loads(json.dumps(model.parameters)) == model.parameters


@pytest.mark.parametrize("family", BLOCKY)
def test_number_of_layers_and_their_contrast(models, family):
    low, high = LAYERS[family]
    counts = set()
    for model in models[family]:
        speeds = np.array(model.parameters["velocity_m_s"])
        counts.add(len(speeds))
        assert np.abs(np.diff(speeds)).min() >= LEAST_RISE - 0.01
    assert counts == set(range(low, high + 1))


@pytest.mark.parametrize("family", PLAIN)
def test_all_layers_show_where_there_are_no_faults(models, family):
    for model in models[family]:
        shown = np.unique(model.velocity)
        assert shown == pytest.approx(np.sort(model.parameters["velocity_m_s"]), abs=0.01)


@pytest.mark.parametrize("family", BLOCKY)
def test_cells_of_blocks_have_the_speed_of_a_layer_and_none_stands_alone(models, family):
    for model in models[family]:
        speeds = np.array(model.parameters["velocity_m_s"])
        away = np.abs(model.velocity[..., None] - speeds).min(axis=-1)
        assert away.max() < 0.01
        for speed in np.unique(model.velocity):
            labels, _ = ndimage.label(model.velocity == speed)
            assert np.bincount(labels.ravel())[1:].min() >= LEAST_CELLS


@pytest.mark.parametrize("kind", ["flatvel", "curvevel"])
def test_speed_rises_with_depth_in_a_but_not_in_b(models, kind):
    for model in models[f"{kind}_a"]:
        assert np.diff(model.velocity, axis=0).min() >= 0
    for model in models[f"{kind}_b"]:
        assert np.diff(model.velocity, axis=0).min() < 0


@pytest.mark.parametrize("family", FAULTED)
def test_speeds_of_faulted_layers_rise_with_depth(models, family):
    for model in models[family]:
        assert np.all(np.diff(model.parameters["velocity_m_s"]) > 0)
        # Reverse faults, those that cross others, and those of steep beds bring older beds over
        # younger ones.
        kinds = [fault["kind"] for fault in model.parameters["faults"]]
        if kinds == ["normal"] and family.startswith("flat"):
            assert np.diff(model.velocity, axis=0).min() >= 0


@pytest.mark.parametrize("family", ["flatvel_a", "flatvel_b"])
def test_flat_layers_are_flat(models, family):
    for model in models[family]:
        assert np.ptp(model.velocity, axis=1).max() == 0
        tops = np.array(model.parameters["top_m"])
        rows = np.flatnonzero(np.diff(model.velocity[:, 0])) + 1
        # A node stands for a cell of 10 m around it.
        assert np.abs(rows * 10 - 5 - tops[1:]).max() <= 5.01


@pytest.mark.parametrize("family", BLOCKY)
def test_a_finer_grid_shows_the_same_blocks(family):
    for index in range(3):
        _, earth, _ = draw_earth(one(family), 3, index)
        coarse, _ = earth.sample((70, 70), 10.0)
        fine, _ = earth.sample((210, 210), 10 / 3)
        assert (fine[::3, ::3] != coarse).mean() < 0.01


def test_tops_fill_the_depth():
    rng = np.random.default_rng(5)
    last, others = [], []
    for count in range(2, 12):
        for _ in range(40):
            tops = draw_tops(rng, count, 700.0)
            thickness = np.diff([*tops, 700.0])
            assert tops[0] == 0
            assert len(tops) == count
            assert thickness.min() >= 0.2 * 0.75 / (1.25 * count) * 700
            assert thickness[:-1].max() <= 1.25 / 0.75 * thickness[:-1].min() * (1 + 1e-9)
            last.append(thickness[-1] / thickness[:-1].mean())
            others += (thickness[:-1] / thickness[:-1].mean()).tolist()
    # Uniform over 0.2 to 1, with a mean of 0.6; the others over 0.75 to 1.25.
    assert np.mean(last) == pytest.approx(0.6, abs=0.05)
    assert np.std(others) > 0.1


@pytest.mark.parametrize("family", ["curvevel_a", "curvevel_b"])
def test_curved_layers_have_the_relief_that_was_drawn(models, family):
    checked = 0
    for model in models[family]:
        relief = model.parameters["relief_m"]
        assert 80 <= relief <= 370
        first = model.parameters["velocity_m_s"][0]
        depth = np.argmax(np.abs(model.velocity - first) > 0.01, axis=0) * 10.0
        if depth.min() > 0:
            checked += 1
            assert np.ptp(depth) == pytest.approx(relief, abs=25)
    assert checked >= COUNT // 2


@pytest.mark.parametrize(
    ("family", "number", "throw"),
    [
        ("flatfault_a", (1, 1), (30, 100)),
        ("flatfault_b", (1, 3), (60, 250)),
        ("curvefault_a", (1, 1), (30, 100)),
        ("curvefault_b", (1, 3), (60, 250)),
    ],
)
def test_faults_keep_to_the_config(models, family, number, throw):
    counts = {len(model.parameters["faults"]) for model in models[family]}
    assert counts == set(range(number[0], number[1] + 1))
    faults = [fault for model in models[family] for fault in model.parameters["faults"]]
    for fault in faults:
        assert fault["shape"] == "straight"
        assert fault["growth_length_m"] == 0
        assert throw[0] <= fault["throw_m"] <= throw[1]
        assert 50 <= fault["dip_degrees"] <= 80
    throws = [fault["throw_m"] for fault in faults]
    assert np.ptp(throws) > 0.7 * (throw[1] - throw[0])


def test_style_rises_with_depth_but_not_everywhere(models):
    for difficulty in "ab":
        for model in models[f"style_{difficulty}"]:
            profile = model.velocity.mean(axis=1)
            depth = np.arange(70)
            assert np.corrcoef(depth, profile)[0, 1] > 0.8
            assert np.diff(model.velocity, axis=0).min() < 0
            assert model.velocity.std(axis=1).mean() > 40


def test_style_b_is_sharper_than_style_a(models):
    def sharpness(family):
        steps = [np.diff(model.velocity, axis=1) for model in models[family]]
        return np.array([np.abs(step).mean() for step in steps])

    a, b = sharpness("style_a"), sharpness("style_b")
    assert a.max() < np.median(b)
    assert np.median(b) > 2 * np.median(a)


def test_the_preset_draws_the_families_with_equal_odds():
    config = load_config("openfwi").velocity
    assert config.families == dict.fromkeys(OPENFWI_FAMILIES, 1.0)
    drawn = [draw_earth(config, 0, index)[0] for index in range(300)]
    counts = [drawn.count(family) for family in OPENFWI_FAMILIES]
    assert min(counts) >= 12  # mean 30, standard deviation 5.2
    assert max(counts) <= 48


def test_the_preset_has_the_published_acquisition():
    config = load_config("openfwi")
    assert any(line.startswith("dispersion") for line in check_simulation(config))
    survey = config.survey
    positions = survey.positions(config.velocity.x_extent)
    assert config.velocity.shape == (70, 70)
    assert (positions["source_x"] / 10).tolist() == [0, 17, 34, 52, 69]
    assert (positions["receiver_x"] / 10).tolist() == list(range(70))
    assert set(positions["source_depth"]) == set(positions["receiver_depth"]) == {10.0}
    assert (survey.time_samples, survey.time_step, survey.frequency) == (1000, 0.001, 15)


def test_the_preset_has_the_published_amplitudes():
    """The extremes of FlatVel_A's gathers fit one speed at the surface, by their sign too.

    -26.95 and 52.77 stand in the configuration of the published networks; both are direct waves
    in the model whose first layer is fastest.
    """
    config = load_config("openfwi")
    speeds = np.array([4000.0, 4200.0, 4490.0])
    models = np.ones((3, 70, 70), dtype=np.float32) * speeds[:, None, None].astype(np.float32)
    gathers = Simulator(config, "cpu")(models, [0, 1, 2])
    least, most = gathers.min(axis=(1, 2, 3)), gathers.max(axis=(1, 2, 3))
    assert most[0] < 52.77 < most[-1]
    fastest = np.interp(52.77, most, speeds)
    assert np.interp(fastest, speeds, least) == pytest.approx(-26.95, rel=0.002)
