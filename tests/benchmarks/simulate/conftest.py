import pytest

from seistomo.benchmarks.simulate.bench import Bench
from seistomo.config import load_config

TINY = """
[velocity]
shape = [24, 26]
spacing = 20.0
layer_thickness = [80.0, 200.0]
[survey]
sources = 4
receivers = 11
source_x = [20.0, 480.0]
receiver_x = [0.0, 490.0]
frequency = 6.0
time_step = 0.02
time_samples = 42
[dataset]
samples = 7
shard_samples = 4
"""


@pytest.fixture(scope="session")
def tiny_file(tmp_path_factory):
    """Return the path of a configuration whose models take milliseconds."""
    path = tmp_path_factory.mktemp("config") / "tiny.toml"
    path.write_text(TINY)
    return path


@pytest.fixture
def tiny(tiny_file):
    return load_config(tiny_file)


@pytest.fixture
def bench(tiny, tmp_path, monkeypatch):
    """Return a bench on which every turn makes two models."""
    monkeypatch.setattr(Bench, "models_for", lambda self, seconds=0: 2)
    return Bench(tiny, "cpu", 1, tmp_path)
