"""The folder of results: what it was made with, and where its files are."""

import json
import shutil
from pathlib import Path
from typing import Any

from seistomo.errors import InputError
from seistomo.files import remove_quietly, written_whole

FORMAT = "seistomo-generalization"
SETTINGS = "settings.json"
PAGE, NUMBERS = "generalization.md", "generalization.json"
SCORES_FIGURE, MODELS_FIGURE = "generalization-scores.png", "generalization-models.png"
RESULTS = (PAGE, NUMBERS, SCORES_FIGURE, MODELS_FIGURE)
PARTS = ("data", "scores")


class ResultFolder:
    """A folder that one kind of results belongs in, so that an interrupted command can go on.

    Parameters
    ----------
    path
        The folder, made if it is not there.
    settings
        What the results depend on, JSON-able: option or fact by what people call it.
    overwrite
        Whether results that are there are made anew.

    Raises
    ------
    InputError
        If it holds results of other settings and ``overwrite`` was not asked for, or is a folder
        of something else.
    """

    def __init__(self, path: str | Path, settings: dict[str, Any], *, overwrite: bool) -> None:
        self.path = Path(path)
        if self.path.exists() and not self.path.is_dir():
            raise InputError(f"--out {path}: is no folder")
        ours = self._is_ours()
        if ours and (overwrite or not self._is_begun()):
            # An attempt that was refused before it began binds nobody.
            self._clear()
        elif ours:
            self._require_same(settings)
            return
        elif self.path.exists() and any(self.path.iterdir()):
            raise InputError(
                f"--out {path}: holds something else than this benchmark; give another name"
            )
        with written_whole(self.path / SETTINGS) as temporary:
            text = json.dumps({"format": FORMAT, "settings": settings}, indent=1)
            temporary.write_text(text + "\n", encoding="utf-8")

    def data(self, name: str) -> Path:
        """Return where a data set or velocity file belongs."""
        return self.path / "data" / f"{name}.h5"

    def scores(self, name: str) -> Path:
        """Return where a condition's scores belong."""
        return self.path / "scores" / f"{name}.json"

    def _is_ours(self) -> bool:
        return (self.path / SETTINGS).is_file()

    def _is_begun(self) -> bool:
        """Whether anything was scored or simulated."""
        made = (path.name for path in (self.path / "data").glob("*.h5*"))
        scored = any((self.path / "scores").glob("*.json"))
        return scored or any(not name.endswith("-models.h5") for name in made)

    def _require_same(self, settings: dict[str, Any]) -> None:
        try:
            found = json.loads((self.path / SETTINGS).read_text(encoding="utf-8"))
            before = dict(found["settings"])
        except (ValueError, KeyError, TypeError):
            raise InputError(f"--out {self.path}: {SETTINGS} is damaged; use --overwrite") from None
        for name, value in json.loads(json.dumps(settings)).items():
            if before.get(name) != value:
                raise InputError(
                    f"--out {self.path}: was made with {name} = {_text(before.get(name))}, now it"
                    f" is {_text(value)}; go on with the same, give another folder, or --overwrite"
                )

    def _clear(self) -> None:
        """Remove all that this benchmark writes; what says whose it is goes last."""
        for name in RESULTS:
            remove_quietly(self.path / name)
        for name in PARTS:
            shutil.rmtree(self.path / name, ignore_errors=True)
        remove_quietly(self.path / SETTINGS)


def _text(value: Any) -> str:
    return "none" if value is None else str(value)
