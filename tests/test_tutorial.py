"""The tutorial notebook, run as written but for its first cell: another section, fewer samples."""

import json
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np

NOTEBOOK = Path(__file__).parents[1] / "docs" / "marmousi.ipynb"
SMALL = """
SECTION = "section.npy"
SAMPLES, EPOCHS = 28, 1
PIECES, REFINED = 2, "0:1"
REFINEMENT = ["refinement.budget=4", "refinement.frequencies=[6.0]"]
"""


def test_the_notebook_runs(tmp_path, monkeypatch):
    depth, x = np.mgrid[0:72, 0:100] * 20.0
    beds = 250 * np.sign(np.sin((depth + 0.2 * x) / 60))
    np.save(tmp_path / "section.npy", (1900 + 0.9 * depth + beds).astype(np.float32))
    monkeypatch.chdir(tmp_path)
    # The pictures are files; only a notebook's page shows them.
    monkeypatch.setitem(sys.modules, "IPython.display", SimpleNamespace(Image=Path))
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    first, *others = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    assert first.startswith("SECTION = ")
    names = {}
    for source in (SMALL, *others):
        exec(compile(source, NOTEBOOK.name, "exec"), names)
    assert Path("refined/figures/models.png").exists()
    assert names["rows"]["network + inversion"]["data_misfit_far"] > 0
