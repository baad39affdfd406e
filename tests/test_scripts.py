"""The scripts, with stand-ins for the programs that they call."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT = Path(__file__).parents[1]
# Each notes its call. Python computes what the scripts ask it to; a cluster has two nodes.
PROGRAMS = {
    "python": 'if [ "$1" = -c ]; then exec "{python}" "$@"; fi; echo "python $*" >> "{log}"',
    "seistomo": 'echo "seistomo $*" >> "{log}"',
    "ruff": 'echo "ruff $*" >> "{log}"',
    "srun": 'echo "srun $*" >> "{log}"; while [[ "$1" == --* ]]; do shift; done; exec "$@"',
    "torchrun": 'echo "torchrun $* OMP_NUM_THREADS=$OMP_NUM_THREADS" >> "{log}"',
    "scontrol": 'printf "node07\\nnode08\\n"',
}
SLURM = {
    "SLURM_JOB_ID": "123456",
    "SLURM_JOB_NUM_NODES": "2",
    "SLURM_JOB_NODELIST": "node[07-08]",
    "SLURM_CPUS_PER_TASK": "32",
    "SLURM_ARRAY_TASK_ID": "3",
}

pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")


@pytest.fixture
def call(tmp_path):
    """Run a script of a project with a space in its name; return the calls that it made."""
    project, log = tmp_path / "my project", tmp_path / "log"
    shutil.copytree(PROJECT / "scripts", project / "scripts")
    for name in ("pyproject.toml", "constraints.txt"):
        shutil.copy(PROJECT / name, project)
    (project / ".venv" / "bin").mkdir(parents=True)
    for name, text in PROGRAMS.items():
        program = project / ".venv" / "bin" / name
        program.write_text(f"#!/bin/bash\n{text.format(python=sys.executable, log=log)}\n")
        program.chmod(0o755)

    def run(script, *arguments, status=0, **settings):
        log.write_text("")
        environment = {**os.environ, "CDPATH": str(tmp_path), "SLURM_SUBMIT_DIR": str(project)}
        done = subprocess.run(
            ["bash", str(project / "scripts" / script), *arguments],
            cwd=tmp_path,
            env={**environment, **settings},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == status, done.stderr
        lines = log.read_text().splitlines()
        return [line for line in lines if "pip --version" not in line]

    return run


def test_quickstart_installs_once_and_writes_where_it_was_called(call, tmp_path):
    lines = call("quickstart.sh", "first try")
    assert lines[0].endswith("--editable .")
    commands = [line.split()[1] for line in lines if line.startswith("seistomo")]
    assert commands == ["simulate", "train", "evaluate", "benchmark", "plot"]
    assert f"--out {tmp_path}/first try/data.h5" in "\n".join(lines)
    assert not any("--editable" in line for line in call("quickstart.sh"))
    assert (tmp_path / "my project" / "quickstart").is_dir(), "without a name: in the project"


def test_the_papers_size_is_worked_on_until_time_is_up(call):
    options = ["--set", "survey.sources=8"]
    lines = [line for line in call("paper-size.sh", "out", *options) if line.startswith("seistomo")]
    assert [line.split()[1] for line in lines] == ["simulate", "benchmark", "train", "evaluate"]
    assert all(line.endswith(" ".join(options)) for line in lines[::2])
    assert not any(
        line.startswith("seistomo")
        for line in call("paper-size.sh", "out", status=130, MINUTES="0")
    )


def test_the_tests_install_their_tools_and_take_arguments(call):
    lines = call("test.sh", "-k", "salt")
    assert lines[0].endswith("--editable .[dev]")
    assert [line.split()[0] for line in lines[1:]] == ["ruff", "ruff", "python"]
    assert lines[-1].startswith("python -m pytest -n 2 ")
    assert lines[-1].endswith(" -k salt")


@pytest.mark.parametrize(
    ("script", "arguments", "commands"),
    [
        (
            "marmousi2.sh",
            ["Vp 1.segy", "out put"],
            ["import", "import", "simulate", "export", "plot", "plot"],
        ),
        ("physics-options.sh", ["out put"], ["simulate"] * 3 + ["plot"]),
    ],
)
def test_figures_of_the_docs_are_made_where_the_caller_says(
    call, tmp_path, script, arguments, commands
):
    (tmp_path / "Vp 1.segy").touch()
    lines = [line for line in call(script, *arguments) if line.startswith("seistomo")]
    assert [line.split()[1] for line in lines] == commands
    assert all(f"--out {tmp_path}/out put/" in line for line in lines)


def test_a_task_of_a_job_array_makes_its_part(call, tmp_path):
    line = "seistomo simulate tomography --out my parts/part-3.h5 --shard 3/{} --resume --seed 1"
    arguments = ("simulate-array.slurm", "tomography", "my parts", "--seed", "1")
    assert call(*arguments, **SLURM) == [line.format(16)]
    assert call(*arguments, PARTS="64", **SLURM) == [line.format(64)]
    assert (tmp_path / "my parts").is_dir()


@pytest.mark.parametrize(
    ("settings", "ranks", "threads"),
    [({"SLURM_GPUS_ON_NODE": "4"}, 4, 8), ({"RANKS": "2"}, 2, 16), ({}, 1, 32)],
)
@pytest.mark.parametrize(
    ("script", "arguments", "command"),
    [
        ("simulate-torchrun.slurm", ["salt", "big.h5"], "simulate salt --out big.h5"),
        ("train-torchrun.slurm", ["salt", "d.h5", "a run"], "train salt --data d.h5 --out a run"),
    ],
)
def test_the_nodes_of_a_job_meet(call, script, arguments, command, settings, ranks, threads):
    lines = call(script, *arguments, "--quiet", **SLURM, **settings)
    assert lines[0].startswith("srun --kill-on-bad-exit=1 torchrun ")
    assert f"--nnodes 2 --nproc-per-node {ranks} " in lines[1]
    assert f"--rdzv-endpoint node07:23456 -m seistomo {command} --resume --quiet" in lines[1]
    assert lines[1].endswith(f"OMP_NUM_THREADS={threads}")
