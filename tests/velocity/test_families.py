import numpy as np
import pytest

from seistomo.config import VelocityConfig
from seistomo.config.velocity import GEOLOGICAL_FAMILIES
from seistomo.velocity import draw_earth


def families(config, count, seed=0):
    return [draw_earth(config, seed, index) for index in range(count)]


def test_families_obey_their_weights():
    config = VelocityConfig(shape=(11, 11), families={"layers": 1, "faults": 3}, folds=(0, 0))
    drawn = [family for family, _, _ in families(config, 400)]
    assert set(drawn) == {"layers", "faults"}
    assert 260 < drawn.count("faults") < 340  # mean 300, standard deviation 9


def test_salt_is_missing_from_one_in_twenty_of_its_family():
    config = VelocityConfig(shape=(11, 11), families={"salt": 1}, salt_shapes={"dome": 1})
    free = sum(earth.salt is None for _, earth, _ in families(config, 400))
    assert 6 <= free <= 36  # mean 20, standard deviation 4.4


@pytest.mark.parametrize(
    ("family", "events"),
    [
        ("layers", set()),
        ("folds", {"folding"}),
        ("faults", {"folding", "faults"}),
        ("salt", {"folding", "salt"}),
        ("mixture", {"folding", "faults", "salt", "unconformity"}),
    ],
)
def test_each_family_has_its_events(family, events):
    config = VelocityConfig(families={family: 1}, unconformity_probability=0.5)
    happened = set()
    for name, earth, parameters in families(config, 20):
        assert name == family
        for event in ("folding", "faults", "salt", "unconformity"):
            if getattr(earth, event):
                happened.add(event)
        assert len(parameters["faults"]) == len(earth.faults)
        assert (family != "faults") or earth.faults
    assert happened == events | ({"unconformity"} if family == "folds" else set())


def test_changing_one_event_leaves_the_others_alone():
    plain = VelocityConfig(families={"mixture": 1}, salt_in_mixture=1)
    other = VelocityConfig(families={"mixture": 1}, salt_in_mixture=1, faults=(3, 3))
    for index in range(5):
        first, second = (draw_earth(config, 0, index)[2] for config in (plain, other))
        for key in ("water", "layers", "folds", "salt", "unconformity"):
            assert first[key] == second[key]
        assert len(second["faults"]) == 3


def test_families_cover_the_default_config():
    drawn = {family for family, _, _ in families(VelocityConfig(shape=(11, 11)), 60)}
    assert drawn == set(GEOLOGICAL_FAMILIES)


def test_subsidence_by_faulting_is_taken_back():
    config = VelocityConfig(
        families={"faults": 1}, reverse_probability=0, faults=(4, 4), growth_probability=0
    )
    for index in range(5):
        _, earth, _ = draw_earth(config, 0, index)
        x, depth = np.linspace(0, 1500, 65), np.zeros(65)
        for fault in reversed(earth.faults):
            x, depth = fault.restore(x, depth)
        assert abs(float(depth.mean()) + earth.level) < 1e-6
        assert earth.level > 0
