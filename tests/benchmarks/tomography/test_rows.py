import pytest

from seistomo.benchmarks.tomography.rows import DEFAULT, ROWS, rows_for
from seistomo.benchmarks.tomography.sizes import size_config, velocity_span
from seistomo.errors import InputError


def names(text):
    return [row.name for row in rows_for(text)]


def test_rows_come_in_the_tables_order_once_each():
    assert names("sgn, sqgn,adam,sqgn") == ["adam-1e-2", "adam-1e-3", "sqgn", "sgn"]
    assert names(DEFAULT) == DEFAULT.split(",")


def test_other_rates_and_other_optimizers_follow():
    first, second, third = rows_for("torch.optim.NAdam,sqgn@0.3,adam@3e-4")
    assert (first.label, first.learning_rate) == ("NAdam", None)
    assert (second.learning_rate, second.damping, second.paper) == (0.3, 0.1, None)
    assert (third.label, third.name) == ("Adam, α = 0.0003", "adam@3e-4")


@pytest.mark.parametrize("text", ["adamm", "", "adam@", "adam@-1", "adam@nan", "sqgn,,sgn"])
def test_names_that_lead_nowhere_are_refused(text):
    with pytest.raises(InputError, match="--optimizers"):
        rows_for(text)


def test_an_optimizer_that_cannot_be_made_is_refused():
    with pytest.raises(InputError, match=r"--optimizers torch\.optim\.Nothing"):
        rows_for("torch.optim.Nothing")[0].config(size_config("tiny"))


@pytest.mark.parametrize("size", ["paper", "tiny"])
def test_damping_and_curvature_samples_follow_the_problem(size):
    base = size_config(size)
    configs = {row.name: row.config(base) for row in ROWS}
    squared = velocity_span(base) ** 2
    assert configs["sqgn"].optimizer.options["damping"] * squared == pytest.approx(0.1)
    for name in ("sqgn-t10", "sqgn-scaled"):
        assert configs[name].optimizer.options["damping"] == 0.1
    assert "curvature_samples" not in configs["sqgn"].optimizer.options
    batch = base.training.batch_size
    assert configs["sqgn-t10"].optimizer.options["curvature_samples"] == max(1, batch // 10)
    for config in configs.values():
        assert config.training == base.training
        assert config.network == base.network


def test_the_papers_rows_have_its_settings():
    rows = {row.name: row for row in ROWS if row.paper}
    assert list(rows) == ["adam-1e-2", "adam-1e-3", "sqgn"]
    sqgn = rows["sqgn"]
    assert sqgn.learning_rate == 0.1
    assert sqgn.options == {"history": 20, "pair_interval": 1, "full_gradient_interval": "epoch"}
    assert sqgn.paper.seconds / rows["adam-1e-2"].paper.seconds == pytest.approx(3.46, abs=0.01)
