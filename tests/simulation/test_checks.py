import numpy as np
import pytest

from seistomo.config import load_config
from seistomo.errors import InputError
from seistomo.simulation import check_simulation
from seistomo.simulation.checks import check_velocity


def check(*overrides):
    return check_simulation(load_config("", overrides))


# Longer records, so that only what is tested warns.
LONG = "survey.time_samples=400"


def test_tomography_preset_passes_with_one_warning_at_most(capsys):
    lines = check_simulation(load_config("tomography"))
    text = "\n".join(lines)
    assert "12.1 grid cells" in text
    assert "4 inner steps of 1.5 ms" in text
    assert "31 sources" in text
    warnings = capsys.readouterr().err
    assert "dispersion" not in warnings
    assert warnings.count("warning:") <= 1


def test_dispersion_warns_below_twelve_cells_and_names_what_would_do(capsys):
    check(LONG, "survey.frequency=9.0")
    warning = capsys.readouterr().err
    assert warning.startswith("warning: dispersion: 10.7 grid cells")
    assert "survey.frequency of at most 8.05" in warning
    assert "simulation.grid_spacing of at most 13.4" in warning
    assert "simulation.accuracy = 6" in warning


@pytest.mark.parametrize(
    "remedy",
    [
        ["survey.frequency=8.05"],
        ["survey.frequency=9.0", "simulation.grid_spacing=13.4"],
        ["survey.frequency=9.0", "simulation.accuracy=6"],
    ],
)
def test_what_the_dispersion_warning_names_does(capsys, remedy):
    check(LONG, *remedy)
    assert "dispersion" not in capsys.readouterr().err


def test_dispersion_refuses_below_eight_cells():
    with pytest.raises(InputError, match=r"survey\.frequency = 15: 6\.44 grid cells.*at least 8"):
        check(LONG, "survey.frequency=15.0")
    check(LONG, "survey.frequency=15.0", "simulation.grid_spacing=8.05")
    with pytest.raises(InputError, match="at least 20 are needed"):
        check(LONG, "simulation.accuracy=2")


def test_recording_time_refuses_what_sees_no_bottom_and_names_what_does(capsys):
    # 2 x 1485 m / 4650 m/s + 1.5 / 8 Hz = 0.826 s, 138 steps of 6 ms.
    with pytest.raises(InputError, match=r"survey\.time_samples = 138: .* use at least 139, or"):
        check("survey.time_samples=138")
    check("survey.time_samples=139")
    # 445.5 m at 1480 m/s, then 1039.5 m at 1600 m/s + 0.4 z: 0.301 + 0.578 s down; twice that
    # and 1.5 / 8 Hz make 1.945 s, 325 steps of 6 ms.
    assert "survey.time_samples = 326 do" in capsys.readouterr().err
    check("survey.time_samples=374", "simulation.noise_snr=20.0")
    check("survey.time_samples=340", "survey.source_depth=150.0", "survey.receiver_depth=150.0")
    assert capsys.readouterr().err == ""


def test_a_wavelet_that_the_record_cuts_is_warned_of(capsys):
    check(LONG, "survey.delay=0.15")
    assert capsys.readouterr().err == ""
    # (1 - 2a) exp(-a), a = (8π 0.078)² = 3.84.
    check(LONG, "survey.delay=0.078")
    assert "already at 14% of its peak; use a longer survey.delay" in capsys.readouterr().err


def test_other_wavelets_are_judged_by_their_dispersion(capsys):
    corners = [LONG, "survey.wavelet=ormsby", "survey.time_step=0.005"]
    check(*corners, "survey.corner_frequencies=[2, 4, 10, 14]")
    assert "dispersion" not in capsys.readouterr().err
    check(*corners, "survey.corner_frequencies=[3, 6, 15, 21]")
    warning = capsys.readouterr().err
    assert "9.864 Hz (a Ricker wavelet that would disperse alike)" in warning
    assert "use a wavelet of 0.816 times these frequencies or" in warning
    check(*corners, "survey.corner_frequencies=[2.44, 4.89, 12.2, 17.1]")
    assert "dispersion" not in capsys.readouterr().err
    with pytest.raises(InputError, match=r"Ormsby wavelet, 5-10-30-40 Hz: .* at least 8 are need"):
        check(*corners, "survey.corner_frequencies=[5, 10, 30, 40]")


def test_coarser_modelling_grid_is_refused():
    with pytest.raises(InputError, match=r"simulation\.grid_spacing = 30"):
        check("simulation.grid_spacing=30.0")


@pytest.mark.parametrize("bad", [np.nan, -2000.0, 0.0, np.inf, 1400.0, 4700.0, 2.0])
def test_bad_velocities_are_refused_by_sample_value_and_bounds(bad):
    config = load_config().velocity
    velocity = np.full((3, 100, 100), 2000, np.float32)
    velocity[1, 7, 9] = bad
    with pytest.raises(InputError) as error:
        check_velocity(velocity, [4, 5, 6], config)
    message = str(error.value)
    assert message.startswith(f"sample 5: velocity = {bad:g} m/s at node [7, 9]")
    assert "velocity.minimum = 1450" in message
    assert "velocity.maximum = 4650" in message
    assert "\n" not in message


def test_models_of_another_shape_are_refused():
    with pytest.raises(InputError, match=r"velocity shape \[1, 90, 100\]: must be \[1 models, 100"):
        check_velocity(np.full((1, 90, 100), 2000.0), [0], load_config().velocity)


def test_a_spacing_in_the_wrong_unit_is_refused():
    with pytest.raises(InputError, match=r"survey\.time_step = 0\.006: takes .* at most 1000"):
        check("velocity.spacing=0.001")
