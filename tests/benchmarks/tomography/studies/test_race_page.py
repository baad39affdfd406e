import math

from seistomo.benchmarks.tomography.studies import race_page
from seistomo.benchmarks.tomography.studies.race_result import target_of


def test_runs_that_never_arrive_are_said_so(finishes):
    target = target_of(finishes)
    assert target == 2.5e8
    adam, sqgn, sgn = (race_page._cells(one, target) for one in finishes)
    assert adam[1:3] == ["8.00 (1 never)", "8.00 never"]
    assert sqgn[1:3] == ["9.50 ± 6.36 (1 never)", "5.00 14.0 never"]
    assert sgn[1:3] == ["never", "never"]
    assert (adam[-1], sqgn[-1]) == ("2 of 2", "2 of 3")
    # Without salt in the test split there is no score of it.
    assert adam[8] == "–"
    verdicts = [race_page._verdict(one, finishes, target) for one in finishes[1:]]
    assert (
        "target, 2 of 3 runs arrive, median 14.0 s (Adam: 1 of 2 runs arrive, median never)"
        in (verdicts[0])
    )
    assert "1.05 times it, 2 of 3 runs arrive" in verdicts[0]
    assert "0 of 1 runs arrive, median never" in verdicts[1]
    assert "SSIM at the end: 0.515 ± 0.007 against 0.520 ± 0.000" in verdicts[0]
    assert verdicts[0].endswith("SSIM where they arrive: 0.515 ± 0.007.")


def test_the_record_keeps_them_too(finishes):
    target = target_of(finishes)
    found = race_page._summary(finishes[1], finishes, target)
    assert found["never"] == 1
    assert found["seconds_to_target"] == [5.0, 14.0, math.inf]
    assert found["diverged"] == {3: "training diverged in epoch 2"}
    assert found["validation_loss"]["mean"] == 1.5e8
    assert found["tuning_seconds"] == 2.0
