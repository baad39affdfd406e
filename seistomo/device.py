"""Which device to compute on."""

import torch

from seistomo.errors import InputError


def choose_device(name: str, field: str = "device") -> torch.device:
    """Return the device called auto (CUDA where there is one), cpu, cuda or cuda:N.

    Parameters
    ----------
    name
        Its name.
    field
        What asks for it, for the error.

    Raises
    ------
    InputError
        If the device does not exist here.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = None
    if device is None or device.type not in ("cpu", "cuda"):
        raise InputError(f"{field} = {name}: must be auto, cpu, cuda or cuda:N")
    count = torch.cuda.device_count() if device.type == "cuda" else 1
    if (device.index or 0) >= count:
        raise InputError(
            f"{field} = {name}: this machine has {count} such devices; use auto or cpu"
        )
    return device
