"""The layout that docs/architecture.md describes, held by a machine."""

import ast
import subprocess
import sys
import tomllib
from functools import cache
from pathlib import Path

import pytest

import seistomo

PACKAGE = Path(seistomo.__file__).parent
MODULES = sorted(PACKAGE.rglob("*.py"))
# The only places that may import a library.
HOMES = {
    "h5py": "dataset/store/",
    "matplotlib": "evaluation/figures/",
    "deepwave": "simulation/",
    "typer": "cli/",
    "jinja2": "evaluation/report.py",
    "segyio": "dataset/exchange/segy.py",
}


@cache
def imported_roots(path: Path) -> set[str]:
    roots = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            roots.add(node.module.split(".")[0])
    return roots


def test_imports_point_down_the_floors():
    pytest.importorskip("importlinter")
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as c; c()"]
    done = subprocess.run(
        [*command, "--no-cache"], cwd=PACKAGE.parent, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize(("library", "home"), HOMES.items())
def test_library_is_imported_at_home_only(library, home):
    users = {str(p.relative_to(PACKAGE)) for p in MODULES if library in imported_roots(p)}
    assert users, f"{library} is not used at all"
    assert all(user.startswith(home) for user in users), users


def test_optim_needs_torch_alone():
    allowed = set(sys.stdlib_module_names) | {"torch", "numpy", "seistomo"}
    for path in (PACKAGE / "optim").rglob("*.py"):
        assert imported_roots(path) <= allowed, path


def test_importing_optim_loads_no_other_part():
    code = (
        "import sys, seistomo.optim\n"
        "print([m for m in sys.modules if m.startswith('seistomo.') and '.optim' not in m])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_every_package_is_listed_for_the_build():
    listed = tomllib.loads((PACKAGE.parent / "pyproject.toml").read_text())["tool"]["setuptools"]
    folders = {path.parent.relative_to(PACKAGE.parent) for path in MODULES}
    expected = {".".join(folder.parts) for folder in folders} | {"seistomo.presets"}
    assert set(listed["packages"]) == expected
    for folder in folders:
        assert (PACKAGE.parent / folder / "__init__.py").is_file()
