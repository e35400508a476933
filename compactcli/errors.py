"""What can go wrong, in the user's words, each with its exit code.

Every message says which input, what was found, what was expected; the hint says what to do.
``code`` is the stable word that records carry in ``error.code``.
"""

import contextlib
import numbers
import os
from collections.abc import Iterator


class CompactError(Exception):
    """Base of every error that compact raises on purpose.

    Args:
        message: One sentence: which input, what was found, what was expected; no full stop.
        hint: What the user can do about it, or None.
        code: Stable word for records and scripts; None keeps the class's own.
    """

    exit_code = 1
    code = "error"

    def __init__(self, message: str, *, hint: str | None = None, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        if code is not None:
            self.code = code


class AudioError(CompactError, ValueError):
    """A recording cannot be analysed; the other recordings of the run can."""

    code = "bad-audio"


class ConfigError(CompactError, ValueError):
    """An option, a configuration value or a recipe is wrong; nothing was done."""

    exit_code = 2
    code = "bad-config"


class ModelError(CompactError, ValueError):
    """A model folder is missing, incomplete, altered or of another format; nothing was done."""

    exit_code = 2
    code = "bad-model"


class DeviceError(CompactError, RuntimeError):
    """The device asked for is not there; nothing was done."""

    exit_code = 2
    code = "bad-device"


class ManifestError(CompactError, ValueError):
    """A table of files or labels cannot be used as it is; nothing was done."""

    exit_code = 2
    code = "bad-manifest"


class DeviceWarning(RuntimeWarning):
    """A device is used in another way than was asked for; the results are the same."""


def reason_of(error: Exception) -> str:
    """What the system says of a failed call, without the number and the path around it; else the error's own words.

    Example:
        >>> reason_of(FileNotFoundError(2, "not here", "a.wav")), reason_of(ValueError("embedded null byte"))
        ('No such file or directory', 'embedded null byte')
    """
    return os.strerror(error.errno) if isinstance(error, OSError) and error.errno else str(error)


def require(condition: bool, message: str) -> None:
    """Raise ConfigError with ``message`` unless ``condition`` holds."""
    if not condition:
        raise ConfigError(message)


def require_number(value: object, name: str) -> None:
    """Raise ConfigError unless a setting that users call ``name`` is a number; the types say so, callers may not."""
    # numbers of numpy are real ones; so are fractions, which no format of a message knows
    is_plain = isinstance(value, numbers.Integral) or not isinstance(value, numbers.Rational)
    is_number = isinstance(value, numbers.Real) and is_plain and not isinstance(value, bool)
    require(is_number, f"{name} is {value!r}, expected a number")


@contextlib.contextmanager
def writing_to(name: str) -> Iterator[None]:
    """Turn what the system refuses inside into the error of a file that cannot be written.

    Raises:
        CompactError: The disk is full, or the file cannot be written for another reason.
    """
    try:
        yield
    except OSError as error:
        raise unwritable(name, error) from error


def unwritable(name: str, error: OSError, *, hint: str = "make room, or choose another place") -> CompactError:
    """The error of a file that cannot be written."""
    return CompactError(
        f"{name} cannot be written ({reason_of(error)}), expected room and the right to write",
        hint=hint,
        code="unwritable",
    )
