"""Times that are compared are taken in turns; the two timings measure what they say."""

import json

import pytest

from seistomo.errors import InputError
from seistomo.experiments import optimizer_cost, simulation_speed
from seistomo.experiments.optimizer_cost import measure_cost
from seistomo.experiments.simulation_speed import measure_speed
from seistomo.experiments.study import chosen, load_study
from seistomo.experiments.timing import ratios, take_turns


def test_candidates_take_turns_and_every_other_one_the_other_way_round():
    order, clock = [], iter(range(100))

    def turn(name):
        return lambda: order.append(name) or float(next(clock))

    found = take_turns({"a": turn("a"), "b": turn("b")}, 3)
    assert order == ["a", "b", "a", "b", "b", "a", "a", "b"]
    assert found == {"a": [2.0, 5.0, 6.0], "b": [3.0, 4.0, 7.0]}
    assert ratios(found["b"], found["a"]) == [1.5, 0.8, 7 / 6]
    assert take_turns({"a": lambda: 1.0}, 2, warm_up=False) == {"a": [1.0, 1.0]}


@pytest.fixture(scope="module")
def cost(tmp_path_factory):
    """Return the folder and page of the cost of some optimizers on small problems."""
    out = tmp_path_factory.mktemp("cost")
    names = ["mnist-adam", "mnist-sqgn", "mnist-sqgn-plain", "tomography-adam", "tomography-sqgn"]
    names += ["sine-adam", "sine-sgn-2"]
    study = chosen(load_study("optimizer-cost", {"seeds": 1, "training.threads": 1}), names)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(optimizer_cost, "MNIST_BATCH", 20)
        patch.setattr(optimizer_cost, "SINE_TURN", 1)
        patch.setitem(optimizer_cost.TOMOGRAPHY, "small", ((4, 8, 20), (4, 4), 4, 2))
        network = optimizer_cost.NetworkConfig(channels=[2], kernels=[[2, 4, 4]], pools=[[2, 4, 4]])
        patch.setattr(optimizer_cost, "NetworkConfig", lambda: network)
        page = measure_cost(study, out, command="seistomo benchmark optimizer-cost")
    return out, page, study


def test_cost_is_told_by_time_in_units_of_adams_and_by_count(cost):
    out, page, _ = cost
    problems = json.loads((out / "optimizer-cost.json").read_text())["problems"]
    mnist, tomography = (problems[name]["optimizers"] for name in ("mnist", "tomography"))
    assert mnist["mnist-adam"]["ratio"] == 1
    assert mnist["mnist-adam"]["count"] == 1
    # 0.9 + a full gradient of 60 batches in 10 iterations + a product of 1.5.
    assert mnist["mnist-sqgn"]["count"] == pytest.approx(0.9 + 6 + 1.5, abs=0.2)
    assert mnist["mnist-sqgn-plain"]["count"] == pytest.approx(2.5, abs=0.1)
    assert tomography["tomography-sqgn"]["count"] == pytest.approx(7 / 8 + 1 + 1.5, abs=0.2)
    assert mnist["mnist-sqgn"]["ratio"] > 1
    # A gradient and two products.
    assert problems["sine"]["optimizers"]["sine-sgn-2"]["count"] == pytest.approx(1 + 2 * 1.5)
    assert "8.1" in page
    assert (out / "index.md").read_text() == page


def test_results_are_not_replaced_unasked(cost):
    out, _, study = cost
    with pytest.raises(InputError, match="--overwrite"):
        measure_cost(study, out)


def test_pipeline_is_held_against_deepwave_over_the_same_shots(tmp_path, monkeypatch):
    preset = tmp_path / "small.toml"
    preset.write_text(
        "[velocity]\nshape = [16, 16]\nspacing = 20.0\nwater_probability = 0.0\n"
        "families = {layers = 1}\n"
        "[survey]\nsources = 2\nreceivers = 6\nfrequency = 6.0\ntime_step = 0.02\n"
        "time_samples = 30\n"
    )
    monkeypatch.setattr(
        simulation_speed,
        "candidate_settings",
        lambda config, device: [simulation_speed.BareSettings(1, 1, n) for n in (1, 2)],
    )
    changes = {"config": str(preset), "samples": 2, "seeds": 2, "training.threads": 1}
    page = measure_speed(load_study("simulation-speed", changes), tmp_path / "out")
    numbers = json.loads((tmp_path / "out/simulation-speed.json").read_text())
    assert len(numbers["ratios"]) == 2
    assert 0 < numbers["ratio"] < 1.5
    assert all(0 <= share < 1 for share in numbers["outside_wave_equation"])
    assert len(numbers["bare_settings"]) == 2
    assert "deepwave alone" in page
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
        "index.md",
        "simulation-speed.json",
    ]
