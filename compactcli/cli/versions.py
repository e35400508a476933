"""Which versions are at work, for bug reports; found without importing any of them."""

import ctypes
import importlib.metadata
import importlib.util
import platform
from pathlib import Path

from compactcli import __version__

PACKAGES = ("numpy", "soundfile", "soxr", "av", "onnxruntime", "torch", "torchaudio")


def version_text() -> str:
    """One line for compact and each thing that its results depend on."""
    versions = {
        "compact": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        **{name: _package_version(name) for name in PACKAGES},
        "libsndfile": _libsndfile_version(),
    }
    return "\n".join(f"{name} {version}" for name, version in versions.items())


def _package_version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "not installed"


def _libsndfile_version() -> str:
    """Version of the library inside the soundfile package; elsewhere soundfile alone knows which one it takes."""
    found = importlib.util.find_spec("_soundfile_data")
    for folder in [] if found is None else found.submodule_search_locations or []:
        for path in sorted(Path(folder).glob("libsndfile*")):
            try:
                version = ctypes.CDLL(str(path)).sf_version_string
            except OSError:  # for another kind of processor
                continue
            version.restype = ctypes.c_char_p
            return str(version().decode("ascii")).removeprefix("libsndfile-")
    return "of the system"
