"""Other programs' formats: velocity models come in, data sets go out."""

from seistomo.dataset.exchange.crops import CropOptions
from seistomo.dataset.exchange.exporting import export_dataset
from seistomo.dataset.exchange.importing import ImportOptions, import_velocity
from seistomo.dataset.exchange.model_file import FileOptions
from seistomo.dataset.exchange.shots import RecordedShots, read_shots

__all__ = [
    "CropOptions",
    "FileOptions",
    "ImportOptions",
    "RecordedShots",
    "export_dataset",
    "import_velocity",
    "read_shots",
]
