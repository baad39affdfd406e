import pytest

from seistomo.benchmarks.generalization.conditions import (
    GROUPS,
    Condition,
    configured,
    family_conditions,
    physics_conditions,
    record_conditions,
    reference_condition,
    simulable,
)
from seistomo.config import with_overrides
from seistomo.config.families import FAMILIES
from seistomo.simulation.grid import ModellingGrid
from seistomo.simulation.wavelet import wavelet_delay

MODELS = "0123456789abcdef"


@pytest.fixture
def physics(config, tmp_path):
    return {each.name: each for each in physics_conditions(config, tmp_path)}


def of(config, condition):
    return configured(config, condition, 7, 3, MODELS if condition.same_models else "")


def test_names_differ_and_groups_are_known(config, physics):
    rows = [reference_condition(True), *record_conditions(), *physics.values()]
    rows += family_conditions(config)
    assert len({row.name for row in rows}) == len(rows)
    assert {row.group for row in rows} <= set(GROUPS)
    assert [row.corruption.noise_snr for row in record_conditions()[:3]] == [20, 10, 0]
    assert [row.corruption.dead_traces for row in record_conditions()[3:]] == [0.1, 0.3]


def test_one_thing_changes_at_a_time(config, physics):
    changed = {}
    for name, condition in physics.items():
        found = of(config, condition)
        differs = []
        for section in ("survey", "simulation"):
            before, after = (getattr(each, section).model_dump() for each in (config, found))
            differs += [key for key in before if before[key] != after[key]]
        changed[name] = set(differs)
        assert found.velocity.model_dump(exclude={"imported"}) == config.velocity.model_dump(
            exclude={"imported"}
        )
    assert changed == {
        "wavelet-80": {"frequency", "delay"},
        "wavelet-120": {"frequency", "delay"},
        "finer-grid": {"grid_spacing", "pml_width"},
        "accuracy": {"accuracy"},
        "source-depth": {"source_depth"},
        "density": {"density"},
    }
    fast = of(config, physics["wavelet-120"]).survey
    assert fast.frequency == pytest.approx(1.2 * 4.8)
    assert wavelet_delay(fast) == wavelet_delay(config.survey)


def test_a_finer_grid_has_edges_as_wide(config, physics):
    coarse, fine = config, of(config, physics["finer-grid"])
    assert ModellingGrid.of(fine).spacing == ModellingGrid.of(coarse).spacing / 2 == 12.5
    widths = [each.simulation.pml_width * ModellingGrid.of(each).spacing for each in (coarse, fine)]
    assert widths[0] == widths[1]


def test_what_the_run_has_already_is_no_condition(config, tmp_path):
    best = with_overrides(config, ["simulation.accuracy=8", "simulation.density=gardner"])
    names = [each.name for each in physics_conditions(best, tmp_path)]
    assert names == ["wavelet-80", "wavelet-120", "finer-grid", "source-depth"]


def test_families_trained_on_come_first(config):
    rows = family_conditions(config)
    assert [row.label for row in rows[:2]] == ["layers", "salt"]
    assert {row.group for row in rows[:2]} == {"trained"}
    assert {row.group for row in rows[2:]} == {"other"}
    assert {row.label for row in rows} == set(FAMILIES)
    assert of(config, rows[5]).velocity.families == {rows[5].label: 1.0}
    imported = with_overrides(config, [f"velocity.imported={MODELS}"])
    assert {row.group for row in family_conditions(imported)} == {"other"}


def test_models_are_never_those_trained_on(config):
    assert of(config, family_conditions(config)[0]).dataset.seed not in range(2**62)


def test_what_cannot_be_is_left_out_with_the_reason(config):
    low = with_overrides(
        config, ["velocity.families=layers", "velocity.maximum=4400", "velocity.velocity_cap=4000"]
    )
    kept, skipped = simulable(low, family_conditions(low), MODELS)
    assert "salt" in [each.label for each in skipped]
    assert "layers" in [each.label for each in kept]
    reason = next(each.reason for each in skipped if each.label == "salt")
    assert reason.startswith("velocity.salt_velocity = [4450, 4600]: must lie within")


def test_a_wavelet_beyond_the_grid_is_shot_on_a_finer_one(config, tmp_path):
    # 8.5 cells in a wavelength: a fifth more frequency is refused.
    sharp = with_overrides(config, ["survey.frequency=6.8"])
    conditions = list(physics_conditions(sharp, tmp_path))[:2]
    (slow, fast), skipped = simulable(sharp, conditions, MODELS)
    assert not skipped
    assert slow == conditions[0]
    assert "half the spacing" in fast.note
    assert of(sharp, fast).simulation.grid_spacing == 12.5
    assert of(sharp, fast).survey.frequency == pytest.approx(1.2 * 6.8)


def test_noise_and_dead_traces_need_no_data_set():
    assert not any(each.is_simulated for each in record_conditions())
    assert Condition("a", "a", "physics").is_simulated
    assert not Condition("a", "a", "other").same_models
