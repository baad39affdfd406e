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
# A cluster of two nodes.
SRUN = """#!/bin/bash
echo "srun $*" >> "{log}"
while [[ "$1" == --* ]]; do shift; done
exec "$@"
"""
TORCHRUN = """#!/bin/bash
echo "torchrun $* OMP_NUM_THREADS=$OMP_NUM_THREADS" >> "{log}"
"""
SCONTROL = """#!/bin/bash
[ "$*" = "show hostnames node[07-08]" ] && printf 'node07\nnode08\n'
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
    texts = {"python": PYTHON, "seistomo": COMMAND, "ruff": COMMAND, "srun": SRUN}
    texts |= {"torchrun": TORCHRUN, "scontrol": SCONTROL}
    for name, text in texts.items():
        (programs / name).write_text(text.format(**names))
        (programs / name).chmod(0o755)
    return folder


def calls(project, script, *arguments, folder, **settings):
    """Run a script from ``folder``, with more environment; return the calls that it made."""
    log = project.parent / "log"
    log.unlink(missing_ok=True)
    command = ["bash", str(project / "scripts" / script), *arguments]
    environment = {**os.environ, "CDPATH": str(project.parent), **settings}
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
    assert first[-1].startswith("python -m pytest ")
    assert first[-1].endswith(" -k salt")
    second = calls(project, "test.sh", folder=tmp_path)
    assert installations(second) == []
    # What the tests need holds what the quickstart needs.
    assert installations(calls(project, "quickstart.sh", folder=tmp_path)) == []


def test_a_moved_project_is_installed_anew(project, tmp_path):
    calls(project, "quickstart.sh", folder=tmp_path)
    moved = project.rename(tmp_path / "moved")
    assert installations(calls(moved, "quickstart.sh", folder=tmp_path)) == ["."]


def test_marmousi2_takes_a_path_as_the_caller_sees_it(project, tmp_path):
    (tmp_path / "Vp 1.segy").touch()
    lines = calls(project, "marmousi2.sh", "Vp 1.segy", "out put", folder=tmp_path)
    assert installations(lines) == ["."]
    commands = [line.split()[1] for line in lines if line.startswith("seistomo")]
    assert commands == ["import", "import", "simulate", "export", "plot", "plot"]
    assert f"import {tmp_path}/Vp 1.segy" in "\n".join(lines)
    assert f"--out {tmp_path}/out put/data.h5" in "\n".join(lines)


def test_the_figure_of_the_physics_options_can_be_made_again(project, tmp_path):
    lines = calls(project, "physics-options.sh", "fig ure", folder=tmp_path)
    commands = [line.split()[1] for line in lines if line.startswith("seistomo")]
    assert commands == ["simulate"] * 3 + ["plot"]
    names = ["absorbing top", "free surface", "free surface, density"]
    for line, name in zip(lines[-4:], names, strict=False):
        assert line.endswith(f"--out {tmp_path}/fig ure/{name}.h5")
        assert f"{tmp_path}/fig ure/{name}.h5" in lines[-1]
    settings = [line.split("accuracy=6")[1].count("--set") for line in lines[-4:-1]]
    assert settings == [0, 1, 2]
    assert "--samples 26 " in lines[-2]
    assert "--samples 25 --shots 0" in lines[-1]


def test_a_task_of_a_job_array_makes_its_part(project, tmp_path):
    slurm = {"SLURM_ARRAY_TASK_ID": "3", "SLURM_SUBMIT_DIR": str(project)}
    arguments = ("tomography", "my parts", "--set", "dataset.samples=96000")
    lines = calls(project, "simulate-array.slurm", *arguments, folder=tmp_path, **slurm)
    command = "seistomo simulate tomography --out my parts/part-3.h5 --shard 3/16 --resume"
    assert lines == [f"{command} --set dataset.samples=96000"]
    assert (tmp_path / "my parts").is_dir()
    # The number of parts does not follow from the array: a few of them may be made again.
    lines = calls(project, "simulate-array.slurm", "a", "b", folder=tmp_path, PARTS="64", **slurm)
    assert "--shard 3/64" in lines[0]
    text = (project / "scripts" / "simulate-array.slurm").read_text()
    assert "--array=1-16" in text


@pytest.mark.parametrize(
    ("settings", "ranks", "threads"),
    [({"SLURM_GPUS_ON_NODE": "4"}, 4, 8), ({"RANKS": "2"}, 2, 16), ({}, 1, 32)],
)
def test_the_nodes_of_a_job_meet(project, tmp_path, settings, ranks, threads):
    slurm = {
        "SLURM_JOB_ID": "123456",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_JOB_NODELIST": "node[07-08]",
        "SLURM_CPUS_PER_TASK": "32",
        "SLURM_SUBMIT_DIR": str(project),
    }
    arguments = ("salt", "big.h5", "--quiet")
    lines = calls(
        project, "simulate-torchrun.slurm", *arguments, folder=tmp_path, **slurm, **settings
    )
    assert lines[0].startswith("srun --kill-on-bad-exit=1 torchrun ")
    assert f"--nnodes 2 --nproc-per-node {ranks} " in lines[1]
    assert "--rdzv-endpoint node07:23456 -m seistomo simulate salt --out big.h5" in lines[1]
    assert lines[1].endswith(f"--resume --quiet OMP_NUM_THREADS={threads}")


def test_the_nodes_of_a_job_train_together(project, tmp_path):
    slurm = {
        "SLURM_JOB_ID": "123456",
        "SLURM_JOB_NUM_NODES": "2",
        "SLURM_JOB_NODELIST": "node[07-08]",
        "SLURM_CPUS_PER_TASK": "32",
        "SLURM_GPUS_ON_NODE": "4",
        "SLURM_SUBMIT_DIR": str(project),
    }
    arguments = ("salt", "big.h5", "my run", "--optimizer", "sqgn")
    lines = calls(project, "train-torchrun.slurm", *arguments, folder=tmp_path, **slurm)
    assert "--nnodes 2 --nproc-per-node 4 " in lines[1]
    assert "-m seistomo train salt --data big.h5 --out my run --resume --optimizer" in lines[1]
    assert lines[1].endswith("sqgn OMP_NUM_THREADS=8")
