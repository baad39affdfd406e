"""The set-up scripts, with a stand-in for the environment that they make."""

import json
import os
import shutil
import subprocess
import sys
import tarfile
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
    assert first[-1] == "python -m pytest -k salt"
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
    assert installations(lines) == [".[segy]"]
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


def test_the_mnist_results_can_be_made_again(project, tmp_path):
    (tmp_path / "my data").mkdir()
    arguments = ("out put", "my data")
    lines = calls(project, "mnist-results.sh", *arguments, folder=tmp_path, SEEDS="7")
    cost, *others = [line for line in lines if line.startswith("seistomo")]
    # Beside the folder of the runs, which takes nothing else in.
    assert cost == (
        f"seistomo benchmark optimizer-cost --problem mnist --out {tmp_path}/out put-cost"
    )
    start = f"seistomo benchmark mnist --out {tmp_path}/out put --data {tmp_path}/my data "
    assert all(line.startswith(start) for line in others)
    whats = [line.removeprefix(start).split("--")[1].strip() for line in others]
    tables = ["table 1", "table 1", "table 2", "table 3", "table ablation"]
    assert whats == ["study race", *tables, "study pairs", "study sensitivity", "study stuck"]
    assert others[-1].endswith("--seeds 7")
    (tmp_path / "out put-cost").mkdir()
    (tmp_path / "out put-cost" / "optimizer-cost-mnist.json").touch()
    again = calls(project, "mnist-results.sh", *arguments, folder=tmp_path)
    assert not any("optimizer-cost" in line for line in again)


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


def test_a_piece_of_the_tomography_benchmark_packs_what_must_not_be_lost(project, tmp_path):
    out = tmp_path / "my results"
    (out / "runs" / "sqgn-s0").mkdir(parents=True)
    kept = ["table-4.json", "figure-3.png", "runs/sqgn-s0/history.csv"]
    for name in (*kept, "data.h5", "runs/sqgn-s0/checkpoint.pt", "runs/.sqgn-s0.lock"):
        (out / name).touch()
    settings = {"MINUTES": "8", "SIZE": "tiny"}
    arguments = ("my results", "--device", "cpu")
    lines = calls(project, "tomography-results.sh", *arguments, folder=tmp_path, **settings)
    command = f"seistomo benchmark tomography --out {out} --size tiny --optimizers adam-1e-2,sqgn"
    start, _, rest = lines[-1].partition(" --minutes ")
    assert start == f"{command} --repeats 1"
    minutes, rest = rest.split(maxsplit=1)
    # What the script itself took is part of them.
    assert 7.5 < float(minutes) <= 8
    assert rest == "--device cpu"
    with tarfile.open(out / "results.tar.gz") as archive:
        assert sorted(name.removeprefix("./") for name in archive.getnames()) == sorted(kept)


def test_a_piece_of_the_tomography_benchmark_takes_another_command(project, tmp_path):
    # Its path has a space in it, which a command of several words cannot have.
    link = tmp_path / "python"
    link.symlink_to(project / ".venv" / "bin" / "python")
    command = f"{link} -m seistomo"
    lines = calls(project, "tomography-results.sh", "out", folder=tmp_path, SEISTOMO=command)
    assert len(lines) == 1
    assert lines[0].startswith(f"python -m seistomo benchmark tomography --out {tmp_path}/out")
    assert "--size paper" in lines[0]


def test_pieces_of_the_tomography_benchmark_bring_home_its_results(tmp_path):
    """With the real command, at a size that takes seconds."""
    command = tmp_path / "command"
    command.write_text(f'#!/bin/bash\nexec "{sys.executable}" -m seistomo "$@"\n')
    command.chmod(0o755)
    script = PROJECT / "scripts" / "tomography-results.sh"
    settings = {"SIZE": "tiny", "SEISTOMO": "./command"}
    environment = {**os.environ, **settings, "PYTHONPATH": str(PROJECT)}
    arguments = ["bash", str(script), "out", "--threads", "1", "--epochs", "1"]
    runs = tmp_path / "out" / "runs"
    histories = [runs / name / "history.csv" for name in ("adam-1e-2-s0", "sqgn-s0")]
    made = []
    for _ in range(2):
        subprocess.run(arguments, cwd=tmp_path, env=environment, check=True, capture_output=True)
        made.append([history.stat().st_mtime_ns for history in histories])
        with tarfile.open(tmp_path / "out" / "results.tar.gz") as archive:
            names = {name.removeprefix("./") for name in archive.getnames()}
            table = json.load(archive.extractfile("./table-4.json"))
        assert {"index.md", "figure-2-epoch.png", "figure-3.png"} < names
        assert not any(name.endswith((".h5", ".pt")) for name in names)
        assert [row["name"] for row in table["rows"]] == ["adam-1e-2", "sqgn"]
        assert [row["epochs"] for row in table["rows"]] == [[1], [1]]
    # The second piece finds all done.
    assert made[0] == made[1]
