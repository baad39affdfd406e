"""The report needs nothing but itself, and its verdict does not flatter."""

import base64
import re
from html.parser import HTMLParser

import numpy as np

from seistomo.dataset import open_dataset, write_dataset
from seistomo.evaluation import evaluate
from seistomo.evaluation.metrics import ScoreTable
from seistomo.evaluation.report import choose_examples, judge

VOID = {"meta", "img", "br", "hr", "link", "input"}


class Page(HTMLParser):
    """Collects what a page refers to and checks that its tags are closed in order."""

    def __init__(self, text):
        super().__init__()
        self.open, self.images, self.references, self.tags, self.text = [], [], [], [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        self.tags.append(tag)
        if tag not in VOID:
            self.open.append(tag)
        if tag == "img":
            self.images.append(attributes)
        names = ("src", "href", "srcset", "data", "poster", "action")
        self.references += [attributes[name] for name in names if attributes.get(name)]

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_report_needs_nothing_but_itself(fake_run, run_dir, data_path, tmp_path):
    evaluate(run_dir, data_path, tmp_path / "out & more")
    report = (tmp_path / "out & more" / "report.html").read_text(encoding="utf-8")
    page = Page(report)
    assert page.open == []
    assert all(re.match("data:|#", reference) for reference in page.references)
    assert not re.search(r"@import|url\(|<script|<link|https?://", report)
    files = {path.read_bytes() for path in (tmp_path / "out & more" / "figures").iterdir()}
    embedded = {base64.b64decode(image["src"].partition(",")[2]) for image in page.images}
    assert embedded == files
    assert len(page.images) == 4
    assert all(len(image["alt"]) > 40 for image in page.images)
    text = "".join(page.text)
    for words in (
        "Mean training model",
        "Own lateral mean",
        "salt_threshold = 4000.0",
        fake_run.data_identity,
        f"seistomo evaluate {run_dir} --data {data_path} --out '{tmp_path / 'out & more'}'",
        "numpy " + np.__version__,
        "3 sources x 5 receivers",
    ):
        assert words in text


def test_another_data_set_its_survey_and_odd_names_are_told(
    fake_run, run_dir, data_path, tmp_path, config, models
):
    with open_dataset(data_path) as data:
        gathers = data.read_gathers(range(35))
    path = tmp_path / "<script>alert(1)<.h5"
    survey = config.survey.model_copy(update={"frequency": 5.0})
    other = config.model_copy(update={"survey": survey})
    write_dataset(path, other, models, gathers, family=["<i>salt</i>"] * 35)
    metrics = evaluate(run_dir, path, tmp_path / "out")
    assert metrics["trained_on_this_data"] is False
    page = Page((tmp_path / "out" / "report.html").read_text())
    assert not {"script", "i"} & set(page.tags)
    text = "".join(page.text)
    assert "trained on another data set" in text
    assert "survey.frequency = 5.0" in text
    assert f"seistomo train {run_dir}/config.toml --data training.h5" in text


def verdict_of(prediction, reference, differences=(), **request):
    table = ScoreTable(reference.mean(axis=0), 3200.0, 4000.0)
    count = len(prediction)
    table.add(prediction.astype("f4"), reference[:count], range(count), ["layers"] * count)
    asked = {"split": "test", "noise_snr": None, "dead_traces": None}
    origin = {"trained_on_this_data": True, "baseline_of_run": False}
    return judge(table, {**table.summary(), **asked, **origin, **request}, differences)


def test_near_the_truth_is_good_and_samples_are_counted(models):
    verdict = verdict_of(models + 5, models)
    assert verdict.kind == "good"
    assert verdict.headline.count("35") == 3
    assert "varies sideways" in verdict.details[1]
    assert verdict.details[2].startswith("Salt is outlined well")


def test_what_is_no_better_than_the_mean_model_is_bad(models):
    mean = np.repeat(models.mean(axis=0)[None], 35, axis=0)
    noise = np.random.default_rng(0).normal(0, 900, models.shape)
    for prediction in (mean, models + noise):
        verdict = verdict_of(prediction, models)
        assert verdict.kind == "bad"
        assert "It does not beat each model's own lateral mean" in verdict.details[1]
    assert verdict_of(mean, models).details[2].startswith("No salt is found")


def test_two_scores_must_agree(models):
    # Salt and pepper ruins the structure, not the error.
    noise = np.random.default_rng(0).choice([-120, 120], models.shape)
    verdict = verdict_of(models + noise, models)
    assert verdict.kind == "unclear"
    assert "in RMSE, but not in SSIM" in verdict.headline
    # The few samples where much is to be gained do not speak for all: here those with salt.
    flat = models.mean(axis=2, keepdims=True)
    blurred = np.where((models > 4000).any(axis=(1, 2), keepdims=True), models, 0.7 * flat + 600)
    assert "does not beat each model's own" in verdict_of(blurred, models).details[1]


def test_examples_are_best_median_worst_and_one_with_salt_once_each():
    ssim = np.array([0.5, 0.9, 0.1, 0.7, 0.6])
    iou = np.array([0.3, np.nan, 0.8, np.nan, 0.1])
    expected = {"Best": 1, "Median": 4, "Worst": 2, "Median salt": 0}
    assert choose_examples(ssim, iou) == expected
    assert choose_examples(ssim[:2], iou[:2]) == {"Best": 1, "Median": 0}
    assert "Median salt" not in choose_examples(ssim, np.full(5, np.nan))
