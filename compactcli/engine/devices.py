"""Names of devices, checked without torch, which takes over a second to import."""

import ctypes
import sys

from compactcli.errors import DeviceError
from compactcli.packages import is_installed


def check_device(device: str) -> None:
    """Refuse what is not the name of a device.

    Raises:
        DeviceError: The name is not ``auto``, ``cpu``, ``cuda`` or ``cuda:N``.
    """
    kind, colon, number = device.partition(":")
    if device not in ("auto", "cpu") and (kind != "cuda" or (colon and not number.isdecimal())):
        raise DeviceError(f"device '{device}' is unknown, expected auto, cpu, cuda or cuda:N")


def may_have_cuda() -> bool:
    """Whether it is worth importing torch to look for a CUDA device: torch and NVIDIA's driver are there."""
    if not is_installed("torch"):
        return False
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")
    except OSError:
        return False
    return True
