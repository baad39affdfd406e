"""Speeds beside those of matrix products."""

import pytest
import torch

from seistomo.benchmarks import reached_speed
from seistomo.benchmarks.operations import Operations
from seistomo.benchmarks.reached_speed import MatrixProducts, ReachedSpeed

OPERATIONS = Operations(forward=13_000_000_000, first=4_000_000_000)


def test_a_rate_is_operations_over_seconds(monkeypatch):
    clock = iter(range(100))
    monkeypatch.setitem(reached_speed.MATRIX_SIZE, "cpu", 8)
    monkeypatch.setattr(reached_speed.StopWatch, "now", lambda _: 2.0 * next(clock))
    matrices = MatrixProducts(torch.device("cpu"))
    matrices.turn()
    matrices.turn()
    # Two turns of two seconds, three products each.
    assert matrices.rate() == pytest.approx(6 * 2 * 8**3 / 4 / 1e9)


def test_text_says_medians_spreads_and_shares():
    speed = ReachedSpeed(OPERATIONS, 1024, [80.0, 100.0, 90.0], [40.0, 60.0, 45.0], [8.0, 30, 9])
    text = str(speed)
    assert "gradient takes 35 GFLOP" in text
    assert "product 57." in text
    assert "1,024 rows that took turns 90 (80 to 100)" in text
    assert "gradients 45 (40 to 60), 50% of" in text
    assert "Gauss–Newton products 9 (8 to 30), 10% of" in text
    without = ReachedSpeed(OPERATIONS, 1024, [80.0], [40.0], [])
    assert "products 9" not in str(without)
    assert speed.record()["gflop_a_sample"] == {"forward": 13, "gradient": 35, "product": 57}
