"""What only a process of its own shows: signals, broken streams, quick starts."""

import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SEISTOMO = [sys.executable, "-m", "seistomo"]
LONG = ["simulate", "quickstart", "--samples", "2000", "--set", "survey.sources=1"]


def shell(line):
    """Run a line of bash in which $0 stands for the interpreter."""
    command = ["bash", "-c", f"set -o pipefail; {line}", sys.executable]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_sigterm_ends_with_a_word_and_without_leftovers(tmp_path):
    command = [*SEISTOMO, *LONG, "--out", tmp_path / "data.h5", "-q"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not list(tmp_path.glob("*.unfinished")):
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        error = process.communicate()[1]
    assert process.returncode == 130
    last = error.splitlines()[-1]
    assert last.startswith("terminated; go on with: seistomo simulate quickstart --samples 2000")
    assert last.endswith("-q --resume")
    assert "Traceback" not in error
    assert not list(tmp_path.rglob("*.part"))


def catches_sigterm(process):
    """Whether our code runs: Python itself leaves SIGTERM as it is."""
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"SigCgt:\s*(\w+)", status)[1], 16) >> (signal.SIGTERM - 1) & 1


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="needs /proc")
@pytest.mark.parametrize(
    ("number", "delay"), [(signal.SIGINT, 0), (signal.SIGTERM, 0.5), (signal.SIGINT, 1)]
)
def test_early_signals_show_no_traceback(tmp_path, number, delay):
    command = [*SEISTOMO, *LONG, "--out", tmp_path / "data.h5", "-q"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        while not catches_sigterm(process):
            time.sleep(0.01)
        time.sleep(delay)
        process.send_signal(number)
        error = process.communicate()[1]
    assert process.returncode == 130
    assert error.startswith(("interrupted; ", "terminated; "))
    assert "Traceback" not in error


@pytest.mark.parametrize(
    ("line", "status"),
    [
        ('"$0" -m seistomo config >/dev/full', 2),
        ('"$0" -m seistomo config | true', 1),
        ('"$0" -m seistomo config xylophone 2>/dev/full', 2),
        ('"$0" -m seistomo config training 2>&1 | cat', 0),
    ],
)
def test_broken_streams(line, status):
    done = shell(line)
    assert done.returncode == status
    assert "Traceback" not in done.stderr


def test_a_broken_message_stream_does_not_end_the_work(tmp_path):
    out = tmp_path / "data.h5"
    done = shell(
        f'"$0" -m seistomo simulate quickstart --samples 1 --out {out} 2>&1 >/dev/null | true'
    )
    assert done.returncode == 0
    assert out.exists()


def test_only_rank_0_speaks(run, monkeypatch):
    """The others of a launch by torchrun are silent; one that cannot join says so itself."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    monkeypatch.delenv("MASTER_ADDR", raising=False)
    error = run("simulate tiny.toml --out data.h5", status=2).err
    assert error.startswith("error: rank 1: cannot")
