"""Messages and bars go to standard error; they never stop the work, however it breaks."""

import subprocess
import sys

import pytest

from seistomo import progress
from seistomo.progress import bar, quietly, say, set_quiet, warn


def test_quiet_silences_messages_and_bars_but_no_warnings(capsys):
    with quietly():
        say("hello")
        for _ in bar(range(3), description="count"):
            pass
        warn("careful")
    assert capsys.readouterr() == ("", "warning: careful\n")


def test_bars_in_a_log_are_lines(capsys, monkeypatch):
    set_quiet(False)
    monkeypatch.setattr(progress, "LOG_INTERVAL", 0.0)
    shown = bar(range(3), description="count")
    shown.mininterval = 0
    for _ in shown:
        say("hello")
    out, err = capsys.readouterr()
    assert out == ""
    assert "\r" not in err
    lines = [line for line in err.splitlines() if line != "hello"]
    assert all(line.startswith("count: ") for line in lines)
    assert lines[-1].startswith("count: 100%|3/3 ")


@pytest.mark.parametrize("how", ["2>/dev/full", "2>&-", "2>&1 >/dev/null | true"])
def test_a_broken_stream_does_not_stop_the_work(tmp_path, how):
    code = (
        "import time\nfrom seistomo.progress import bar, say, warn\n"
        "for i in bar(range(3)):\n    say('x' * 100000); warn('y'); time.sleep(0.1)\n"
        f"open({str(tmp_path / 'done')!r}, 'w').close()"
    )
    command = f'set -o pipefail; "$0" -c "$1" {how}'
    done = subprocess.run(["bash", "-c", command, sys.executable, code], check=False)
    assert done.returncode == 0
    assert (tmp_path / "done").exists()
