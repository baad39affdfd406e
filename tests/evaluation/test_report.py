import base64
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from seistomo.evaluation import evaluate
from seistomo.evaluation.facts import power_of_ten, reproduction
from seistomo.evaluation.metrics import ScoreAccumulator
from seistomo.evaluation.report import ReportContent, write_report

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


@pytest.fixture
def report(fake_run, run_dir, data_path, tmp_path):
    evaluate(run_dir, data_path, tmp_path / "out")
    return (tmp_path / "out" / "report.html").read_text(encoding="utf-8")


def test_needs_nothing_but_itself(report):
    page = Page(report)
    assert page.open == []
    assert page.references
    assert all(re.match("data:|#", reference) for reference in page.references)
    assert not re.search(r"@import|url\(|<script|<link|https?://", report)


def test_all_figures_are_embedded_and_described(report, tmp_path):
    images = Page(report).images
    files = {path.read_bytes() for path in (tmp_path / "out" / "figures").iterdir()}
    embedded = {base64.b64decode(image["src"].partition(",")[2]) for image in images}
    assert embedded == files
    assert len(images) == 4
    assert all(image["src"].startswith("data:image/png;base64,") for image in images)
    assert all(len(image["alt"]) > 40 for image in images)


def test_tells_scores_config_origin_and_commands(report, fake_run, data_path, run_dir):
    text = "".join(Page(report).text)
    for words in (
        "Mean training model",
        "Own lateral mean",
        "By family",
        "Worst samples",
        "salt_threshold = 4000.0",
        fake_run.data_identity,
        f"seistomo evaluate {run_dir} --data {data_path}",
        "numpy " + np.__version__,
        "3 sources, 5 receivers",
    ):
        assert words in text
    assert Page(report).tags.count("h1") == 1
    assert 'name="viewport"' in report
    assert "prefers-color-scheme: dark" in report


def test_names_cannot_smuggle_markup(tmp_path, models):
    scores = ScoreAccumulator(models.mean(axis=0), 3200.0, 4000.0)
    scores.add(models[:4] + 5, models[:4])
    table = scores.table(np.arange(4), ["<b>salt</b>"] * 4)
    metrics = {**table.summary(), "split": "test", "checkpoint": "best", "noise_snr": None}
    metrics |= {"dead_traces": None, "trained_on_this_data": True, "baseline_of_run": False}
    content = ReportContent(
        title="<script>alert(1)</script>",
        data=[("File", "a<b>.h5")],
        run=[],
        environment=[],
        commands=["seistomo evaluate 'a&b'"],
        configs=[("Configuration", "name = '<i>'")],
    )
    write_report(tmp_path / "report.html", metrics, table, [], content)
    page = Page((tmp_path / "report.html").read_text())
    assert "script" not in page.tags
    assert "i" not in page.tags
    assert "seistomo evaluate 'a&b'" in "".join(page.text)


def test_commands_quote_paths_and_leave_out_what_was_not_asked():
    options = [("--split", "test"), ("--noise-snr", None)]
    lines = reproduction("my run", "data.h5", "out", options)
    assert lines[-1] == "seistomo evaluate 'my run' --data data.h5 --out out --split test"
    assert lines[0] == "seistomo simulate 'my run/config.toml' --out data.h5"
    assert len(lines) == 3
    assert any("0123" in line for line in reproduction("r", "d", "o", options, other_data="0123"))


@pytest.mark.parametrize(
    ("value", "text"), [(8.5e8, "8.50·10⁸"), (1.0, "1.00·10⁰"), (0.012, "1.20·10⁻²")]
)
def test_power_of_ten(value, text):
    assert power_of_ten(value) == text
