import pytest

from seistomo.config import VelocityConfig, parse_config
from seistomo.config.velocity import FAMILIES
from seistomo.errors import InputError


@pytest.mark.parametrize(
    ("line", "parts"),
    [
        ("families = {fault = 1}", ["velocity.families", "fault", "did you mean faults?"]),
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
        ("minimum = 1000\nwater_velocity = [1300, 1500]", ["velocity.water_velocity.0", "1400"]),
        ('families = ["layers", "flatvel"]', ["flatvel", "did you mean flatvel_"]),
        ("families = 3", ["velocity.families", "3"]),
        ('families = ["layers", 3]', ["velocity.families", "layers"]),
        (
            'families = "flatvel_a"\nopenfwi_velocity = [1400, 4500]',
            ["velocity.openfwi_velocity = [1400, 4500]", "1450 to 4650 m/s"],
        ),
    ],
)
def test_bad_values_are_refused_in_one_line(line, parts):
    with pytest.raises(InputError) as error:
        parse_config(f"[velocity]\n{line}\n")
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


@pytest.mark.parametrize(
    ("given", "families"),
    [
        ("style_b", {"style_b": 1.0}),
        ('"curvefault_b"', {"curvefault_b": 1.0}),
        ('["flatvel_a", "style_b"]', {"flatvel_a": 1.0, "style_b": 1.0}),
        ("{layers = 2, style_a = 0.5}", {"layers": 2.0, "style_a": 0.5}),
    ],
)
def test_families_are_named_listed_or_weighted(given, families):
    config = parse_config("", [f"velocity.families={given}"])
    assert config.velocity.families == families
    assert parse_config(config.to_toml()).velocity == config.velocity


def test_speeds_of_families_that_are_not_drawn_do_not_matter():
    assert not VelocityConfig(maximum=4200, families={"layers": 1, "folds": 1}).draws_salt
    assert not VelocityConfig(families={"mixture": 1}, salt_in_mixture=0).draws_salt
    only = VelocityConfig(families="flatvel_a", minimum=1500, maximum=4500)
    assert only.draws("salt", "flatvel_a")
    assert not only.draws("salt", "style_a")
    VelocityConfig(openfwi_velocity=(1400, 6500))
    imported = VelocityConfig(imported="0123", minimum=3000, maximum=3500)
    assert not imported.draws(*FAMILIES)
    assert not imported.draws_salt
