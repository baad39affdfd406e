"""What is known of each key: its text, its nearest name, whether it changes anything."""

import pytest

from seistomo.config import load_config, parse_config, preset_names
from seistomo.config.keys import FIELDS, SECTIONS, changed_keys, idle_keys, keys_text, nearest_keys
from seistomo.errors import InputError

ORMSBY = ['survey.wavelet="ormsby"', "survey.corner_frequencies=[2, 4, 8, 12]"]
FAMILIES = "velocity.families="


def test_every_key_is_described():
    text = keys_text()
    for key, info in FIELDS.items():
        assert f"\n{key} = " in text
        assert info.description.endswith((".", ":")), key
    assert all(f"[{section}]" in text for section in SECTIONS)


@pytest.mark.parametrize(
    ("words", "found", "missing"),
    [
        (["survey"], "survey.sources = 31", "velocity.shape"),
        (["[survey]", "JITTER"], "survey.source_jitter", "survey.sources"),
        (["training.averaging_decay"], "Above 0, below 1. Needs training.averaging", "epochs"),
        (["storage"], "One of: float16, float32.", "survey"),
        (["fault_dip"], "At least 20, at most 85.", "survey"),
    ],
)
def test_text_of_some_keys(words, found, missing):
    text = " ".join(keys_text(words).split())
    assert found in text
    assert missing not in text


@pytest.mark.parametrize(
    ("unknown", "near"),
    [
        ("survey.offset", "survey.receiver_x"),
        ("survey.OFFSET", "survey.receiver_x"),
        ("survey.shots", "survey.sources or refinement.shots"),
        ("survey.dt", "survey.time_step"),
        ("velocity.dx", "velocity.spacing"),
        ("velocity.speed", ""),
        ("simulation.boundary", "simulation.pml_width"),
        ("dataset.snr", "simulation.noise_snr"),
        ("training.lr", "optimizer.learning_rate"),
        ("training.learning_rate", "training.final_learning_rate or optimizer.learning_rate"),
        ("optimizer.weight_decay", "optimizer.options"),
        ("training.optimizer", ""),
    ],
)
def test_the_nearest_key_is_one_of_like_meaning(unknown, near):
    section, _, name = unknown.partition(".")
    assert " or ".join(nearest_keys(section, name)) == near


def test_words_that_no_key_holds_are_refused():
    with pytest.raises(InputError, match="sections: velocity, survey"):
        keys_text(["xylophone"])


@pytest.mark.parametrize(
    ("settings", "needs"),
    [
        ([*ORMSBY, "survey.frequency=8.0"], 'survey.frequency has .*survey.wavelet = "ricker"'),
        (["simulation.water_density=1000"], 'water_density has .*simulation.density = "gardner"'),
        ([FAMILIES + "layers", "velocity.salt_shapes.dome=2"], "velocity.salt_shapes has"),
        ([FAMILIES + "mixture", "velocity.salt_free_probability=0.2"], "it needs salt in"),
        (["velocity.folds=[0, 0]", "velocity.fold_amplitude=[1, 2]"], "velocity.folds above 0"),
        ([FAMILIES + "salt", "velocity.fault_throw=[30, 40]"], "faults in velocity.families"),
        ([FAMILIES + "style_a", "velocity.layers=[3, 4]"], "velocity.layers has no effect"),
        (["velocity.openfwi_velocity=[1500, 4000]"], "velocity.openfwi_velocity has"),
        (["velocity.water_probability=0", "velocity.water_depth=[0.1, 0.2]"], "above 0"),
        (['velocity.layer_speeds="rising"', "velocity.velocity_jitter=[1, 2]"], "trend"),
        (["network.name=unet", "network.channels=[1, 2, 3, 4]"], 'network.name = "tomography"'),
        (["training.gather_scaling=gain", "training.asinh_scale=0.1"], "gather_scaling = "),
        (["training.mute_speed=2000"], 'training.mute = "direct" or "top"'),
        (["training.huber_delta=50"], 'training.loss = "pseudo-huber"'),
        (["training.averaging=tail", "training.averaging_decay=0.9"], '"ema"'),
        (["training.final_learning_rate=0.1"], '"linear" or "cosine" or "plateau"'),
    ],
)
def test_an_override_in_vain_is_refused(settings, needs):
    with pytest.raises(InputError, match=needs) as caught:
        load_config("", settings)
    assert str(caught.value).startswith("--set ")
    assert load_config("", settings[:-1]), "without it all is well"


@pytest.mark.parametrize(
    "settings",
    [
        [FAMILIES + "mixture", "velocity.salt_area=[0.1, 0.2]", "velocity.fault_throw=[30, 40]"],
        [FAMILIES + "curvefault_a", "velocity.fault_dip=[50, 60]", "velocity.openfwi_relief=[9,9]"],
        # Speeds of sediment do not fall below that of water, wherever it lies.
        ["velocity.water_probability=0", "velocity.water_velocity=[1480, 1500]"],
        [FAMILIES + "faults", "velocity.faults=[0, 0]", "velocity.fault_throw=[30, 40]"],
        ["training.mute=top", "training.mute_speed=2000", "training.asinh_scale=0.1"],
    ],
)
def test_an_override_that_changes_something_is_taken(settings):
    assert load_config("", settings)


def test_a_file_that_says_something_in_vain_is_warned_of(tmp_path, capsys):
    own = tmp_path / "own.toml"
    own.write_text(
        '[survey]\nfrequency = 6.0\nwavelet = "ormsby"\ncorner_frequencies = [2, 4, 8, 12]\n'
        "[simulation]\nwater_speed = 1500\nwater_density = 1000\n"
    )
    assert load_config(own).survey.wavelet == "ormsby"
    lines = capsys.readouterr().err.splitlines()
    assert [line.startswith(f"warning: {own}: ") for line in lines] == [True, True]
    load_config(own, warns=False)
    assert capsys.readouterr().err == ""


def test_a_preset_may_be_turned_to_other_models_without_a_word(capsys):
    load_config("salt", [FAMILIES + "layers"])
    load_config("quickstart", [*ORMSBY, "survey.time_step=0.01"])
    for name in preset_names():
        load_config(name)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("settings", [[], ORMSBY, [FAMILIES + "style_a"]])
def test_stored_configurations_hold_all_keys_and_load(tmp_path, capsys, settings):
    config = load_config("", settings)
    assert parse_config(config.to_toml()) == config
    (tmp_path / "stored.toml").write_text(config.to_toml())
    assert load_config(tmp_path / "stored.toml") == config
    assert capsys.readouterr().err == ""


def test_models_that_are_imported_are_not_drawn():
    config = parse_config('[velocity]\nimported = "0123"\nlayers = [3, 4]\nminimum = 1460.0\n')
    (line,) = idle_keys(config, changed_keys(config))
    assert line.startswith("velocity.layers has no effect")
