import json

import pytest

from seistomo.benchmarks.generalization.conditions import Skipped
from seistomo.benchmarks.generalization.folder import ResultFolder
from seistomo.benchmarks.generalization.page import build_page, write_results

FACTS = {
    "run": {
        "name": "run",
        "epoch": 3,
        "data_identity": "ab12",
        "families": ["layers", "salt"],
        "optimizer": "adam",
        "network": "tomography",
    },
    "samples": 3,
    "seed": 0,
    "own_test_split": True,
    "machine": {"processor": "P", "cores": 2, "threads": 1, "torch": "2", "seistomo": "0"},
    "command": "seistomo benchmark generalization run",
}
SKIPPED = [Skipped("marmousi", "Marmousi crops", "no file")]


@pytest.fixture
def results(make_scores):
    return [
        make_scores("own test split", "reference", (300, 300, 300)),
        make_scores("noise", "records", (600, 600, 600), ssim=(0.4, 0.4, 0.4)),
        make_scores("style_a", "other", (250, 250, 250), note="drawn"),
    ]


def cells(page, label):
    line = next(line for line in page.splitlines() if line.startswith(f"| {label} "))
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_rows_say_what_may_be_compared(results):
    page = build_page(results, SKIPPED, FACTS)
    assert cells(page, "own test split")[-2:] == ["+0.64", "–"]
    noisy = cells(page, "noise")
    assert noisy[1] == "same"
    assert noisy[-2:] == ["\N{MINUS SIGN}0.44", "\N{MINUS SIGN}0.200 ± 0.058"]
    other = cells(page, "style_a")
    assert other[1] == "new"
    assert other[-1] == "–"
    assert other[-3] == "100"
    assert other[3:5] == [f"{250**2 * 320 / 1e8:.3g}", "250"]
    assert "Marmousi crops: left out, no file." in page
    assert "- style_a: drawn." in page
    assert "**Worse records**" in page
    assert "trained on layers, salt (data set ab12)" in page


def test_a_single_sample_has_no_spread(make_scores, tmp_path):
    results = [
        make_scores("own test split", "reference", (300,), ssim=(0.5,)),
        make_scores("noise", "records", (600,), ssim=(0.4,)),
        make_scores("Marmousi crops", "crops", (400,), ssim=(0.3,)),
    ]
    folder = ResultFolder(tmp_path / "out", {}, overwrite=False)
    page = write_results(folder, results, [], FACTS)
    assert cells(page, "noise")[5] == "0.400"
    assert cells(page, "noise")[-1] == "\N{MINUS SIGN}0.100"
    content = json.loads((folder.path / "generalization.json").read_text())
    assert content["conditions"][1]["ssim_change"]["standard_error"] is None
    assert content["conditions"][2]["ssim_deviation"] is None


def test_numbers_are_written_whole(results, tmp_path):
    folder = ResultFolder(tmp_path / "out", {}, overwrite=False)
    page = write_results(folder, results, SKIPPED, FACTS)
    assert (folder.path / "generalization.md").read_text() == page
    content = json.loads((folder.path / "generalization.json").read_text())
    assert [row["name"] for row in content["conditions"]] == ["own test split", "noise", "style_a"]
    noisy = content["conditions"][1]
    assert noisy["same_models"] is True
    assert noisy["rmse_change"] == {"mean": 300.0, "standard_error": 0.0}
    assert "ssim_change" not in content["conditions"][2]
    assert content["conditions"][2]["skill"] == 0.75
    assert content["skipped"][0]["reason"] == "no file"
