"""The set-up scripts, with a stand-in for the environment that they make."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
# Notes every call; computes what the scripts ask Python to compute.
PYTHON = """#!/bin/bash
if [ "$1" = -c ]; then exec "{python}" "$@"; fi
echo "python $*" >> "{log}"
"""
COMMAND = """#!/bin/bash
echo "seistomo $*" >> "{log}"
"""

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@pytest.fixture
def project(tmp_path):
    """Copy the scripts into a folder with a space in its name, beside a stand-in for .venv."""
    folder = tmp_path / "my project"
    shutil.copytree(PROJECT / "scripts", folder / "scripts")
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(PROJECT / name, folder)
    programs = folder / ".venv" / "bin"
    programs.mkdir(parents=True)
    names = {"python": sys.executable, "log": tmp_path / "log"}
    for name, text in (("python", PYTHON), ("seistomo", COMMAND), ("ruff", COMMAND)):
        (programs / name).write_text(text.format(**names))
        (programs / name).chmod(0o755)
    return folder


def calls(project, script, *arguments, folder):
    """Run a script from ``folder``; return the calls that it made."""
    log = project.parent / "log"
    log.unlink(missing_ok=True)
    command = ["bash", str(project / "scripts" / script), *arguments]
    environment = {**os.environ, "CDPATH": str(project.parent)}
    done = subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return log.read_text().splitlines()


def installations(lines):
    return [line.split("--editable ")[1] for line in lines if "pip install" in line]


def test_quickstart_writes_into_the_callers_folder(project, tmp_path):
    elsewhere = tmp_path / "else where"
    elsewhere.mkdir()
    lines = calls(project, "quickstart.sh", "first try", folder=elsewhere)
    assert installations(lines) == ["."], "the folder is no extra of the package"
    assert f"--out {elsewhere}/first try/data.h5" in "\n".join(lines)
    assert (elsewhere / "first try").is_dir()


def test_quickstart_without_a_folder_stays_in_the_project(project, tmp_path):
    lines = calls(project, "quickstart.sh", folder=tmp_path)
    assert (project / "quickstart").is_dir()
    assert [line.split()[1] for line in lines if line.startswith("seistomo")] == [
        "simulate",
        "train",
        "evaluate",
        "plot",
    ]


def test_tests_install_the_tools_once_and_take_arguments(project, tmp_path):
    first = calls(project, "test.sh", "-k", "salt", folder=tmp_path)
    assert installations(first) == [".[dev]"]
    assert first[-1] == "python -m pytest -k salt"
    second = calls(project, "test.sh", folder=tmp_path)
    assert installations(second) == []
    # What the tests need holds what the quickstart needs.
    assert installations(calls(project, "quickstart.sh", folder=tmp_path)) == []


def test_a_moved_project_is_installed_anew(project, tmp_path):
    calls(project, "quickstart.sh", folder=tmp_path)
    moved = project.rename(tmp_path / "moved")
    assert installations(calls(moved, "quickstart.sh", folder=tmp_path)) == ["."]
