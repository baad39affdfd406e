import pytest

from seistomo.config import VelocityConfig, parse_config
from seistomo.config.velocity import FAMILIES
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
        ("minimum = 999", ["velocity.minimum = 999", "1000"]),
        ("minimum = 1000\nwater_velocity = [1300, 1500]", ["velocity.water_velocity.0", "1400"]),
        ("maximum = 7000", ["velocity.maximum = 7000", "6500"]),
        ("shape = [4, 100]", ["velocity.shape.0 = 4", "11"]),
        ('families = "fault"', ["velocity.families", "fault", "did you mean faults?"]),
        ('families = ["layers", "flatvel"]', ["flatvel", "did you mean flatvel_"]),
        ("families = []", ["velocity.families", "at least one family"]),
        ("families = 3", ["velocity.families", "3"]),
        ('families = ["layers", 3]', ["velocity.families", "layers"]),
        (
            'families = "flatvel_a"\nopenfwi_velocity = [1400, 4500]',
            ["velocity.openfwi_velocity = [1400, 4500]", "1450 to 4650 m/s"],
        ),
        ("openfwi_layers = [1, 3]", ["velocity.openfwi_layers.0 = 1", "2"]),
        ("openfwi_throw_b = [50, 40]", ["velocity.openfwi_throw_b", "low not above high"]),
        ('layer_speeds = "falling"', ["velocity.layer_speeds", "falling", "rising"]),
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


@pytest.mark.parametrize(
    ("given", "families"),
    [
        ('"curvefault_b"', {"curvefault_b": 1.0}),
        ('["flatvel_a", "style_b"]', {"flatvel_a": 1.0, "style_b": 1.0}),
        ("{layers = 2, style_a = 0.5}", {"layers": 2.0, "style_a": 0.5}),
    ],
)
def test_families_are_named_listed_or_weighted(given, families):
    config = parse_config(f"[velocity]\nfamilies = {given}\n")
    assert config.velocity.families == families
    assert parse_config("", [f"velocity.families={given}"]).velocity.families == families
    assert parse_config(config.to_toml()).velocity == config.velocity


def test_one_family_can_be_named_without_quotation_marks():
    assert parse_config("", ["velocity.families=style_b"]).velocity.families == {"style_b": 1.0}


def test_speeds_of_families_that_are_not_drawn_do_not_matter():
    only = VelocityConfig(families="flatvel_a", minimum=1500, maximum=4500)
    assert not only.draws_salt
    assert only.draws("salt", "flatvel_a")
    assert not only.draws("salt", "style_a")
    VelocityConfig(openfwi_velocity=(1400, 6500))


def test_nothing_is_drawn_where_models_are_imported():
    config = VelocityConfig(imported="0123", minimum=3000, maximum=3500)
    assert not config.draws(*FAMILIES)
    assert not config.draws_salt
