"""Where was this recorded, and what happened when: acoustic scenes and sound events from compact convolutions.

Importing this package loads nothing heavy; the public names are found when they are first used.

Example:
    >>> import compactcli
    >>> record = compactcli.detect("sample_audio/events.wav")
    >>> all(event.offset <= record.duration for event in record.events)
    True
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from compactcli.inference import classify, detect, embed, load_embedder, load_model

__version__ = "0.1.0"

__all__ = ["__version__", "classify", "detect", "embed", "load_embedder", "load_model"]

_HOMES = {
    "classify": "compactcli.inference",
    "detect": "compactcli.inference",
    "embed": "compactcli.inference",
    "load_embedder": "compactcli.inference",
    "load_model": "compactcli.inference",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'compactcli' has no attribute '{name}'")


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
