"""The commands and code of README.md, CONTRIBUTING.md and docs/, taken from there as written.

Each command is read by the real command line: its options, numbers, presets, keys and studies
exist. The quick ones that only look at a data set or a run (`LOOKS`) are run on tiny ones, and so
is the code of `RUN_CODE`. Of all other commands it is not proved that they end well.
"""

import contextlib
import re
import shlex
import shutil
from pathlib import Path

import pytest
import typer
from typer.main import get_command
from typer.testing import CliRunner

from seistomo.cli import app
from seistomo.cli.app import overrides
from seistomo.cli.benchmark import TAKES
from seistomo.config import load_config, preset_names
from seistomo.experiments.study import chosen, load_study

PROJECT = Path(__file__).parents[2]
PAGES = [PROJECT / "README.md", PROJECT / "CONTRIBUTING.md", *(PROJECT / "docs").rglob("*.md")]
LOOKS = ("config", "export", "info", "predict")
RUN_CODE = ("evaluation.md", "optimizers.md", "velocity-models.md")
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
# typer does not export it.
MissingParameter = next(
    kind for kind in typer.BadParameter.__subclasses__() if kind.__name__ == "MissingParameter"
)
COMMANDS = get_command(app).commands


def whole_commands(page):
    """Return the words after `seistomo` of each command in a block, however it is launched."""
    blocks = [text for kind, text in FENCE.findall(page.read_text()) if kind in ("", "bash")]
    lines = "\n".join(blocks).replace("\\\n", " ").splitlines()
    lines = [shlex.split(line, comments=True) for line in lines if "seistomo " in line]
    found = [words[words.index("seistomo") + 1 :] for words in lines if "seistomo" in words]
    return [words for words in found if words[:1] and words[0] != "--help"]


def mentions(page):
    """Return commands inside sentences, which may lack what they need."""
    found = re.findall(r"`seistomo ([a-z][^`]+)`", FENCE.sub("", page.read_text()))
    return [["5" if len(word) == 1 else word for word in shlex.split(text)] for text in found]


def parameters(words):
    return COMMANDS[words[0]].make_context(words[0], words[1:]).params


def check_settings(given):
    """Look up the preset, keys and study that a command names."""
    named = {"optimizer__name": given.get("optimizer"), "dataset__samples": given.get("samples")}
    if given.get("config"):
        own = given["config"].endswith(".toml")
        load_config("" if own else given["config"], overrides(given["set_"], **named))
    study = given.get("study")
    if study and study != "list" and not study.endswith(".toml"):
        found = load_study(study, {})
        chosen(found, (given["methods"] or "").split(",") if given["methods"] else [])
        options = ("repeats", "epochs", "seed", "methods", "shard", "data", "minutes")
        asked = {f"--{name}" for name in options if given[name] is not None}
        assert asked <= TAKES[found.kind]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(PROJECT)))
def test_the_command_line_understands_what_is_written(page):
    for words in whole_commands(page):
        check_settings(parameters(words))
    for words in mentions(page):
        with contextlib.suppress(MissingParameter):
            parameters(words)
    for script in re.findall(r"scripts/[\w.-]+", page.read_text()):
        assert (PROJECT / script).is_file(), script


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    """Change into a folder that holds what the documentation speaks of, tiny."""
    folder = tmp_path / "work"
    shutil.copytree(made, folder, symlinks=True)
    monkeypatch.chdir(folder)
    shutil.rmtree("evaluation")
    shutil.copytree("run", "other-run")
    shutil.copy("predictions.h5", "velocity.h5")


def test_commands_that_only_look_run(folder):
    done = set()
    for words in (words for page in PAGES for words in whole_commands(page)):
        given = parameters(words)
        named = (given.get("run"), given.get("data"), given.get("path"), *given.get("paths", ()))
        inputs = [Path(path) for path in named if path and str(path) not in preset_names()]
        out = given.get("out")
        there = all(map(Path.exists, inputs)) and not (out and out.is_absolute())
        if words[0] in LOOKS and there and not given.get("segy"):
            # Several pages write the same file.
            ended = CliRunner().invoke(app, [*words, *(["--overwrite"] if out else [])])
            assert ended.exit_code == 0, (words, ended.output)
            done.add(words[0])
    assert done == set(LOOKS)


@pytest.mark.parametrize("name", RUN_CODE)
def test_code_runs(folder, name):
    Path("predictions.h5").unlink()
    """The first block of a page stands alone; others may speak of a reader's own model."""
    blocks = FENCE.findall((PROJECT / "docs" / name).read_text())
    exec(next(code for kind, code in blocks if kind == "python"), {})
