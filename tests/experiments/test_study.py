import pytest

from seistomo.errors import InputError
from seistomo.experiments.study import chosen, load_study, parse_study, study_names

STUDIES = [
    *("mnist-smoke", "sqgn-table-1", "sqgn-table-2", "sqgn-table-3", "sqgn-table-4"),
    *("sqgn-ablation", "sqgn-stuck", "sqgn-sensitivity", "sqgn-pairs", "predictions"),
    *("race-mnist", "race-tomography", "generalization", "optimizer-cost", "simulation-speed"),
    "refinement",
]
PUBLISHED = {"first_step": "code", "undo_above": 0}


def content(**more):
    return {
        "title": "T",
        "problem": {"name": "mnist"},
        "methods": [{"name": "a", "optimizer": "adam", "options": {"eps": 1e-7}}],
        **more,
    }


def test_studies_of_the_package_load_with_a_line_about_each():
    assert set(STUDIES) <= set(study_names())
    for name in study_names():
        study, small = load_study(name), load_study(name, smoke=True)
        assert study.name == name
        assert study.title
        assert study.about
        assert small.seeds <= study.seeds


@pytest.mark.parametrize("name", STUDIES)
def test_rows_beside_the_papers_sqgn_run_the_published_method(name):
    study = load_study(name)
    for entry in study.methods:
        beside = {"loss", "accuracy", "ssim"} & set(entry.paper)
        if entry.optimizer == "sqgn" and beside:
            assert PUBLISHED.items() <= entry.options.items(), entry.name
        # The paper's own restart rule is nobody else's.
        assert not entry.restarts or (entry.optimizer == "sqgn" and beside)


def test_method_takes_what_another_one_says():
    methods = [
        {"name": "a", "optimizer": "adam", "learning_rate": 0.1, "options": {"eps": 1e-7}},
        {"name": "b", "like": "a", "options": {"amsgrad": True}, "training": {"batch_size": 5}},
        {"name": "c", "runs_of": "a", "epochs": 2, "paper": {"loss": 1.0}},
    ]
    study = parse_study(content(methods=methods), "s")
    a, b, c = study.methods
    assert (b.optimizer, b.learning_rate) == ("adam", 0.1)
    assert b.options == {"eps": 1e-7, "amsgrad": True}
    assert b.method().training == {"batch_size": 5}
    assert a.options == {"eps": 1e-7}
    assert [entry.name for entry in study.trained] == ["a", "b"]
    assert c.optimizer == "adam"


def test_sweep_makes_a_method_of_each_value_but_its_own():
    sweep = {"method": "a", "key": "options.eps", "symbol": "ε", "values": [1e-9, 1e-7, 1e-5]}
    study = parse_study(content(sweeps=[sweep]), "s")
    assert [entry.name for entry in study.methods] == ["a", "a-eps-1e-09", "a-eps-1e-05"]
    assert study.entry("a-eps-1e-05").options == {"eps": 1e-5}
    assert study.sweeps[0].name(1e-7, study.entry("a")) == "a"


def test_some_methods_bring_what_they_need_and_leave_out_the_optional():
    study = load_study("sqgn-table-4")
    assert "svrg" not in [entry.name for entry in study.trained]
    assert [entry.name for entry in chosen(study, ["svrg"]).trained] == ["svrg"]
    borrowed = chosen(load_study("sqgn-table-1"), ["sqgn-25"])
    assert [entry.name for entry in borrowed.trained] == ["sqgn"]
    ablation = chosen(load_study("predictions"), ["squared"])
    assert [entry.name for entry in ablation.trained] == ["unet", "squared"]


@pytest.mark.parametrize(
    ("more", "field"),
    [
        ({"titel": "x"}, "titel"),
        ({"methods": [{"name": "a", "optimizr": "adam"}]}, "optimizer"),
        ({"methods": [{"name": "../a", "optimizer": "adam"}]}, "name"),
        ({"sweeps": [{"method": "x", "key": "k", "symbol": "s", "values": [1]}]}, "sweeps"),
        ({"reference": "x"}, "reference"),
        ({"figures": ["pie"]}, "figures"),
        ({"columns": ["loss@soon"]}, "loss@soon"),
        ({"columns": ["loss@25%"]}, "seconds"),
    ],
)
def test_study_that_cannot_be_is_refused(more, field):
    with pytest.raises(InputError, match=field):
        parse_study(content(**more), "s")


def test_unknown_study_and_method_name_the_nearest(tmp_path):
    with pytest.raises(InputError, match="sqgn-table-1"):
        load_study("sqgn-tabel-1")
    with pytest.raises(InputError, match="did you mean adam"):
        chosen(load_study("sqgn-table-1"), ["adm"])
    broken = tmp_path / "broken.toml"
    broken.write_text("title = ")
    with pytest.raises(InputError, match=r"broken\.toml"):
        load_study(broken)
