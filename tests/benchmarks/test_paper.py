from dataclasses import replace

import pytest
import torch

from seistomo.benchmarks.paper import (
    SQGN_BASELINE,
    TABLES,
    TITLES,
    default_settings,
    paper_row,
)
from seistomo.errors import InputError
from seistomo.optim import make_optimizer

ROWS = [row for table in TABLES.values() for row in table]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.label)
def test_every_row_can_be_built(row):
    weights = [torch.nn.Parameter(torch.zeros(3))]
    make_optimizer(row.optimizer, weights, row.learning_rate, row.options)


def test_tables_have_titles_and_the_baseline_is_in_three_of_them():
    assert set(TABLES) == set(TITLES)
    for table in ("1", "3", "ablation"):
        settings = [row.settings(100, "raw") for row in TABLES[table]]
        assert SQGN_BASELINE.settings(100, "raw") in settings, table


def test_settings_find_their_row_again():
    for row in ROWS:
        found = paper_row(row.settings(25, "unit"))
        assert (found.optimizer, found.learning_rate, found.options) == (
            row.optimizer,
            row.learning_rate,
            row.options,
        )
    settings = SQGN_BASELINE.settings(100, "raw")
    assert paper_row(settings) is SQGN_BASELINE
    assert paper_row(replace(settings, learning_rate=0.3)) is None
    assert paper_row(replace(settings, schedule="cosine")) is None


def test_defaults_are_the_baselines():
    rate, options = default_settings("sqgn", None)
    assert (rate, options) == (0.1, SQGN_BASELINE.options)
    assert default_settings("adam", 0.5) == (0.5, {})
    assert default_settings("sgn", None) == (1.0, {})
    assert default_settings("my.Optimizer", 0.5) == (0.5, {})
    with pytest.raises(InputError, match=r"my\.Optimizer: needs a --learning-rate"):
        default_settings("my.Optimizer", None)


def test_changing_defaults_leaves_the_paper_alone():
    _, options = default_settings("sqgn", None)
    options["history"] = 1
    assert SQGN_BASELINE.options["history"] == 20
