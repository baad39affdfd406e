import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import seistomo
from seistomo.config import load_config, parse_config, preset_names, with_overrides
from seistomo.errors import InputError


@pytest.mark.parametrize(
    "value",
    [
        "'a[ b, ]'",
        "['x[ ', ', ]', '[']",
        "inf",
        "-3",
        "[[1, 2], [[3]]]",
        "[{a = [1]}]",
        "[]",
        "a=b",
    ],
)
def test_odd_options_survive_the_way_through_toml(value):
    config = load_config("", [f"optimizer.options.odd={value}"])
    assert parse_config(config.to_toml()) == config
    assert with_overrides(config, ["training.epochs=3"]).optimizer == config.optimizer


def test_presets_travel_with_an_installed_package(tmp_path):
    """As in a wheel: configs/ is seistomo/presets; another package has left a configs/ beside."""
    package = Path(seistomo.__file__).parent
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(package, tmp_path / "seistomo", ignore=ignored)
    shutil.copytree(package.parent / "configs", tmp_path / "seistomo" / "presets")
    (tmp_path / "configs").mkdir()
    code = (
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import seistomo.config as c;"
        " print(c.__file__); print(*c.preset_names()); c.load_config('quickstart')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd="/", capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    place, names = done.stdout.splitlines()
    assert place.startswith(str(tmp_path))
    assert names.split() == preset_names()


def test_overrides_take_every_kind_of_value():
    config = load_config(
        "",
        [
            "training.epochs=3",
            "survey.source_x=[15.0, 300]",
            "network.output_bias=zero",
            "optimizer.options.weight_decay=0.1",
            "velocity.families={salt=1}",
        ],
    )
    assert config.training.epochs == 3
    assert config.survey.source_x == (15.0, 300.0)
    assert config.network.output_bias == "zero"
    assert config.optimizer.options == {"weight_decay": 0.1}
    assert config.velocity.families == {"salt": 1.0}


def test_a_key_of_a_free_table_changes_the_default_table():
    config = load_config("", ["velocity.families.salt=7"])
    assert config.velocity.families == {**load_config().velocity.families, "salt": 7.0}
    config = load_config("", ["velocity.salt_shapes.dome=7"])
    assert config.velocity.salt_shapes == {**load_config().velocity.salt_shapes, "dome": 7.0}


def test_only_what_was_stated_stays_stated():
    config = with_overrides(load_config("", ["training.epochs=3"]), ["survey.sources=5"])
    assert config.training.model_fields_set == {"epochs"}
    assert config.survey.model_fields_set == {"sources"}


def test_later_overrides_win_and_the_original_is_untouched():
    config = load_config("", ["training.epochs=3", "training.epochs=4"])
    assert with_overrides(config, ["training.epochs=5"]).training.epochs == 5
    assert config.training.epochs == 4


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("training.epoch=3", ["training.epoch", "did you mean training.epochs"]),
        ("survey.spacing=3", ["survey.spacing", "did you mean velocity.spacing"]),
        ("trainning.epochs=3", ["trainning", "did you mean training"]),
        ("training.epochs=many", ["training.epochs", "many", "integer"]),
        ("training.epochs=true", ["training.epochs = True", "integer"]),
        ("training.epochs='3'", ["training.epochs = '3'", "integer"]),
        ("training.mirror=1", ["training.mirror = 1", "boolean"]),
        ("survey.sources=3\nsurvey.receivers=4", ["survey.sources = '3\\n"]),
        ("network.channels=[4, -1, 4, 4]", ["network.channels.1 = -1", "1"]),
        ("network.name=foo", ["network.name = 'foo'", "tomography"]),
        ("velocity.shape=[4, 100]", ["velocity.shape", "4", "11"]),
        ("velocity.minimum=4700", ["velocity.minimum = 4700", "below velocity.maximum"]),
        ("survey.source_x=[-15, 100]", ["survey.source_x", "-15", "0 to 1485 m"]),
        ("survey.source_depth=2000", ["survey.source_depth = 2000", "0 to 1485 m"]),
        ("survey.time_step=0.03", ["survey.time_step = 0.03", "at most 0.02083"]),
        ("dataset.split=[0, 1, 1]", ["dataset.split", "training"]),
        ("evaluation.salt_threshold=9000", ["evaluation.salt_threshold = 9000", "1450 to 4650"]),
        ("network.output_scale=inf", ["network.output_scale = inf", "finite"]),
        ("survey.source_x=[nan, 3]", ["survey.source_x.0", "finite"]),
        ("simulation.pml_width=1000", ["simulation.pml_width = 1000", "200"]),
        ("training.threads=100000000", ["training.threads", "1024"]),
        ("survey.SOURCES=3", ["did you mean survey.sources?", "`seistomo config survey`"]),
        (
            "survey.offset=3",
            ["survey.offset; did you mean survey.receiver_x? `seistomo config survey` lists"],
        ),
        (f"survey.source_x={[1.0] * 100_000}", ["survey.source_x", "it holds 100000"]),
        (f"network.name={'n' * 10_000}", ["network.name = 'nnn", "tomography"]),
        (f"survey.{'k' * 10_000}=3", ["unknown key survey.kkk", "`seistomo config survey`"]),
        (f"optimizer.options.a={'[' * 300}{']' * 300}", ["nested too deeply"]),
        ("epochs=3", ["section.key=value"]),
        ("training=3", ["section.key=value"]),
    ],
)
def test_bad_values_are_refused_in_one_line(override, words):
    with pytest.raises(InputError) as caught:
        load_config("", [override])
    message = str(caught.value)
    assert "\n" not in message
    assert len(message) <= 300
    for word in words:
        assert word in message


def test_file_problems_are_named(tmp_path):
    broken = tmp_path / "broken.toml"
    broken.write_text("[training\nepochs = 3")
    with pytest.raises(InputError, match=r"broken\.toml: not valid TOML"):
        load_config(broken)
    for depth in (300, 3000):
        broken.write_text(f"[optimizer.options]\na = {'[' * depth}{']' * depth}")
        with pytest.raises(InputError, match=r"broken\.toml: .*nested too deeply"):
            load_config(broken)
    with pytest.raises(InputError, match=r"no such file.*tomography"):
        load_config(tmp_path / "missing.toml")
    section = tmp_path / "section.toml"
    section.write_text("training = 3")
    with pytest.raises(InputError, match="must be a section"):
        load_config(section)


def test_another_optimizer_leaves_the_settings_of_the_first_behind():
    text = '[optimizer]\nname = "adam"\nlearning_rate = 1e-3\noptions = { weight_decay = 0.1 }\n'
    config = parse_config(text, ["optimizer.options.history=5", 'optimizer.name="sqgn"'])
    assert config.optimizer.learning_rate is None
    assert config.optimizer.options == {"history": 5}
    kept = parse_config(text, ["optimizer.name=adam", "optimizer.options.amsgrad=true"])
    assert kept.optimizer.learning_rate == 1e-3
    assert kept.optimizer.options == {"weight_decay": 0.1, "amsgrad": True}
