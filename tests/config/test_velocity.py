import pytest

from seistomo.config import VelocityConfig, parse_config
from seistomo.errors import InputError


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("families = {fault = 1}", ["velocity.families", "fault", "did you mean faults?"]),
        ("families = {basalt = 1}", ["basalt", "did you mean salt?"]),
        ("families = {layers = 0}", ["velocity.families", "at least one family"]),
        ("families = {layers = -1}", ["velocity.families.layers = -1", "greater than or equal"]),
        ("salt_shapes = {doom = 1}", ["velocity.salt_shapes", "doom", "did you mean dome?"]),
        ("fault_dip = [80, 50]", ["velocity.fault_dip = [80, 50]", "low not above high"]),
        ("fault_dip = [50, 95]", ["velocity.fault_dip.1 = 95", "85"]),
        ("layers = [0, 3]", ["velocity.layers.0 = 0", "1"]),
        ("water_depth = [0.1, 1.5]", ["velocity.water_depth.1 = 1.5", "fraction"]),
        ("fault_throw = [nan, 20]", ["velocity.fault_throw.0", "finite"]),
        ("salt_velocity = [4450, 4700]", ["velocity.salt_velocity", "1450 to 4650 m/s"]),
        ("water_velocity = [1400, 1500]", ["velocity.water_velocity", "1450 to 4650 m/s"]),
        ("velocity_cap = 4500", ["velocity.velocity_cap = 4500", "below velocity.salt_velocity"]),
        ("velocity_cap = 1900", ["velocity.velocity_cap = 1900", "surface_velocity", "2000"]),
        ("minimum = 4700\nsurface_velocity = [4700, 4700]", ["velocity.minimum = 4700"]),
        ("minimum = 1000", ["velocity.minimum = 1000", "1400"]),
        ("maximum = 7000", ["velocity.maximum = 7000", "6500"]),
        ("shape = [4, 100]", ["velocity.shape.0 = 4", "11"]),
        ("fault_trow = [1, 2]", ["velocity.fault_trow", "did you mean velocity.fault_throw?"]),
    ],
)
def test_bad_values_are_refused_in_one_line(line, parts):
    with pytest.raises(InputError) as error:
        parse_config(f"[velocity]\n{line}\n")
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_salt_speeds_matter_only_where_salt_is_drawn():
    config = VelocityConfig(maximum=4200, families={"layers": 1, "folds": 1})
    assert not config.draws_salt
    assert not VelocityConfig(families={"mixture": 1}, salt_in_mixture=0).draws_salt
    assert VelocityConfig(families={"mixture": 1}).draws_salt


def test_every_field_says_what_it_is():
    for name, field in VelocityConfig.model_fields.items():
        assert field.description, name
        assert field.description.endswith("."), name


@pytest.mark.parametrize(
    "values",
    [
        # Yang and Ma (2019): wavy layers, salt of exactly 4500 m/s.
        {
            "families": {"salt": 1},
            "salt_free_probability": 0,
            "layers": (5, 10),
            "surface_velocity": (2003, 2100),
            "salt_velocity": (4500, 4500),
            "salt_area": (0.04, 0.21),
            "water_probability": 0,
            "minimum": 2000,
            "maximum": 4500,
        },
        # OpenFWI's curved and faulted families.
        {
            "families": {"folds": 1, "faults": 1},
            "shape": (70, 70),
            "spacing": 10,
            "water_probability": 0,
            "minimum": 1500,
            "maximum": 4500,
            "velocity_cap": 4500,
        },
    ],
)
def test_published_sets_can_be_described(values):
    assert VelocityConfig(**values).layers
