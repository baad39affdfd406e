import numpy as np
import pytest
from scipy import ndimage

from seistomo.config import VelocityConfig, load_config
from seistomo.config.velocity import SALT_SHAPES
from seistomo.simulation import check_simulation
from seistomo.velocity import draw_earth, draw_model
from seistomo.velocity.extent import Extent

EXTENT = Extent.of((100, 100), 15.0)


def shape_config(shape, **values):
    return VelocityConfig(
        families={"salt": 1},
        salt_free_probability=0,
        salt_shapes={shape: 1},
        **{"salt_bodies": (1, 1), **values},
    )


@pytest.mark.parametrize("shape", SALT_SHAPES)
def test_area_is_the_drawn_one_and_within_the_range(shape):
    for index in range(12):
        model = draw_model(shape_config(shape), 1, index)
        area = model.salt_mask.mean()
        assert 0.04 <= area <= 0.20
        assert area == pytest.approx(model.parameters["salt"]["area_fraction"], abs=0.006)


@pytest.mark.parametrize("shape", ["dome", "diapir", "teardrop"])
def test_upright_salt_is_one_piece_without_holes(shape):
    for index in range(15):
        mask = draw_model(shape_config(shape), 2, index).salt_mask
        assert ndimage.label(mask)[1] == 1
        rooted = mask[-1].any()
        assert rooted or shape == "teardrop"
        holes = ndimage.binary_fill_holes(mask) & ~mask
        assert not holes.any()


def widths(mask):
    return mask.sum(axis=1)[mask.any(axis=1)]


def test_diapirs_overhang_and_teardrops_pinch_out():
    heads = 0
    for index in range(12):
        width = widths(draw_model(shape_config("diapir", salt_rugosity=(0, 0)), 3, index).salt_mask)
        neck = np.argmin(width[len(width) // 4 :]) + len(width) // 4
        heads += width[:neck].max() > 1.15 * width[neck]
        drop = widths(
            draw_model(shape_config("teardrop", salt_rugosity=(0, 0)), 3, index).salt_mask
        )
        assert drop[-1] < 0.4 * drop.max()
        assert np.argmax(drop) < 0.6 * len(drop)
    assert heads >= 10


def test_sheets_lie_flat():
    flat = 0
    for index in range(12):
        mask = draw_model(shape_config("sheet"), 4, index).salt_mask
        flat += mask.any(axis=0).sum() > 2 * np.median(mask.sum(axis=0)[mask.any(axis=0)])
    assert flat == 12


def test_tops_are_rough_and_smooth_when_asked():
    x, z = EXTENT.points(600, 300)

    def bumps(rugosity, index):
        config = shape_config("sheet", salt_rugosity=(rugosity, rugosity), salt_area=(0.12, 0.12))
        _, earth, _ = draw_earth(config, 6, index)
        inside = earth.salt.inside(x, z, z)
        columns = np.flatnonzero(inside.any(axis=0))[20:-20]
        top = 2.5 * inside.argmax(axis=0)[columns]
        return (top - ndimage.gaussian_filter1d(top, 25)).std()

    rough, smooth = (np.array([bumps(r, i) for i in range(6)]) for r in (60.0, 0.0))
    assert np.all(rough > smooth)
    assert rough.mean() > 2 * smooth.mean()


def flat_config(**values):
    return shape_config(
        "diapir",
        folds=(0, 0),
        layer_waviness=(0, 0),
        layer_dip=(0, 0),
        water_probability=0,
        salt_area=(0.08, 0.12),
        **values,
    )


def test_flanking_beds_turn_up_and_crestal_beds_thin():
    for index in range(8):
        _, earth, _ = draw_earth(flat_config(salt_drag=(200, 200)), 7, index)
        body = earth.salt.bodies[0]
        x, z = EXTENT.points(300, 300)
        depth = earth.restore(x, z)[1]
        lift = depth - z
        mask = earth.salt.inside(x, z, z)
        row = int((body.crest + 0.35 * (body.base - body.crest)) / 5)
        salt = np.flatnonzero(mask[row])
        flank = salt[-1] + 3 if salt[-1] < 200 else salt[0] - 3
        away = min(flank + 80, 299) if flank > salt[0] else max(flank - 80, 0)
        assert lift[row, flank] > 80
        assert lift[row, flank] > lift[row, away] + 60
        # Above the crest a metre now holds more than a metre of beds as laid down.
        column = int((body.x) / 5)
        top = mask[:, column].argmax()
        assert np.diff(depth[top - 12 : top, column]).mean() > 1.05 * 5


def test_beds_stay_upright_everywhere():
    for shape in SALT_SHAPES:
        for index in range(5):
            _, earth, _ = draw_earth(shape_config(shape, salt_drag=(320, 320)), 8, index)
            x, z = EXTENT.points(300, 300)
            assert np.diff(earth.restore(x, z)[1], axis=0).min() > 0


def test_beds_far_from_salt_are_where_they_were():
    config = flat_config(salt_drag_width=(70, 70))
    _, earth, parameters = draw_earth(config, 9, 0)
    x, z = EXTENT.points(300, 300)
    lift = np.abs(earth.restore(x, z)[1] - z)
    far = np.abs(x[0] - parameters["salt"]["bodies"][0]["x_m"]) > 900
    assert far.any()
    assert lift[:, far].max() < 5


def test_salt_keeps_below_the_sea_floor():
    config = VelocityConfig(
        families={"salt": 1}, water_probability=1, salt_cover=(0, 60), salt_rugosity=(60, 60)
    )
    for index in range(20):
        model = draw_model(config, 10, index)
        water = model.parameters["water"]
        salt = model.salt_mask.any(axis=1)
        if salt.any():
            assert salt.argmax() * 15 > water["depth_m"] - water["relief_m"]
            assert not np.any(model.salt_mask[0])


@pytest.fixture(scope="module")
def published():
    config = load_config("salt").velocity
    return [draw_model(config, 0, index) for index in range(24)]


def test_the_preset_has_the_published_sizes_and_speeds(published):
    config = load_config("salt")
    assert any(line.startswith("dispersion") for line in check_simulation(config))
    positions = config.survey.positions(config.velocity.x_extent)
    assert np.allclose(np.diff(positions["source_x"]), 100)
    assert len(positions["receiver_x"]) == 301
    for model in published:
        assert model.velocity.shape == (201, 301)
        assert np.all(model.velocity[model.salt_mask] == 4500)
        sediment = model.velocity[~model.salt_mask]
        assert sediment.min() >= 2000
        assert sediment.max() <= 4000.01
        falls = np.diff(np.where(model.salt_mask, np.nan, model.velocity), axis=0)
        assert np.nanmin(falls) > -0.01  # but for rounding


def test_number_of_layers_and_area_of_salt_in_the_preset(published):
    layers, areas = set(), []
    for model in published:
        tops = np.array(model.parameters["layers"]["top_m"])
        layers.add(int((tops < 2000).sum()))
        areas.append(model.salt_mask.mean())
    assert layers == set(range(5, 11))
    some = [area for area in areas if area > 0]
    assert len(some) >= 20
    assert min(some) >= 0.04
    assert max(some) <= 0.21
