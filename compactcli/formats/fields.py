"""Fields of text formats: names that hold separators, stray bytes, numbers, and events read from them."""

import re
from collections.abc import Sequence

from compactcli.errors import ManifestError
from compactcli.events import Event

ESCAPES = {"\\": r"\\", "\t": r"\t", "\n": r"\n", "\r": r"\r"}
UNESCAPES = {escape: character for character, escape in ESCAPES.items()}

# letters of the first line of a file that turns out to be no table
LONGEST_HEADER = 100

# the pictures that Unicode has for control characters
CONTROLS, PICTURES = "\t\n\r", "\u2409\u240a\u240d"


def encode(text: str) -> bytes:
    r"""Text of a writer as bytes: UTF-8, with the bytes of ill-encoded file names as they are on disk.

    Surrogates that stand for no byte, which only Windows allows in names, become U+FFFD.

    Example:
        >>> encode("caf\udce9.wav")
        b'caf\xe9.wav'
    """
    return re.sub("[\ud800-\udc7f\udd00-\udfff]", "\ufffd", text).encode("utf-8", "surrogateescape")


def escape(name: str) -> str:
    r"""Tab, line feed, carriage return and backslash as ``\t``, ``\n``, ``\r`` and ``\\``."""
    return re.sub(r"[\\\t\n\r]", lambda match: ESCAPES[match[0]], name)


def unescape(name: str) -> str:
    """What ``escape`` was given; other backslashes are kept."""
    return re.sub(r"\\[\\tnr]", lambda match: UNESCAPES[match[0]], name)


def to_pictures(name: str) -> str:
    """Tab, line feed and carriage return as U+2409, U+240A and U+240D.

    For programs that know no escapes: paths of Windows keep their backslashes.
    """
    return name.translate(str.maketrans(CONTROLS, PICTURES))


def from_pictures(name: str) -> str:
    """What ``to_pictures`` was given, unless that held such pictures itself."""
    return name.translate(str.maketrans(PICTURES, CONTROLS))


def split_lines(text: str) -> list[str]:
    """Lines of a table, without a byte order mark and the carriage returns of Windows.

    Only line feeds end a line: ``str.splitlines`` would also cut at U+2028 and others, which names may hold.
    """
    return [line.removesuffix("\r") for line in text.removeprefix("\ufeff").split("\n")]


def show_header(names: Sequence[str]) -> str:
    """Names of columns for a message; a first line that is none is shown by its beginning.

    Example:
        >>> show_header(["file", "label"])
        "['file', 'label']"
    """
    text = str(list(names))
    return text if len(text) <= LONGEST_HEADER else f"{text[:LONGEST_HEADER]}…"


def read_event(onset: str, offset: str, label: str, *, where: str, score: str = "") -> Event:
    """An event from its fields.

    Args:
        onset: Seconds.
        offset: Seconds.
        label: Class name.
        where: Table and line, for messages.
        score: How sure the event is; empty where nobody knows.

    Raises:
        ManifestError: There is no label, a time or the score is no number, or the times make no event.
    """
    onset_s, offset_s = read_times(onset, offset, where=where)
    try:
        score_of_event = float(score) if score else None
    except ValueError as error:
        raise ManifestError(f"{where} has score '{score}', expected a number") from error
    return make_event(onset_s, offset_s, label, where=where, score=score_of_event)


def read_score(text: str) -> float | None:
    """The score of an event in a table of another program; None where there is none, or none from 0 to 1.

    Example:
        >>> [read_score(text) for text in ("0.25", "", "87")]
        [0.25, None, None]
    """
    try:
        score = float(text)
    except ValueError:
        return None
    return score if 0 <= score <= 1 else None


def read_times(onset: str, offset: str, *, where: str) -> tuple[float, float]:
    """Two numbers of seconds; see ``read_event``."""
    try:
        return float(onset), float(offset)
    except ValueError as error:
        raise ManifestError(f"{where} has onset '{onset}' and offset '{offset}', expected two numbers") from error


def make_event(onset_s: float, offset_s: float, label: str, *, where: str, score: float | None = None) -> Event:
    """An event, or an error that names the line; see ``read_event``."""
    if not label:
        raise ManifestError(f"{where} has no label")
    if score is not None and not 0 <= score <= 1:
        raise ManifestError(f"{where} has score {score}, expected 0 to 1")
    try:
        return Event(onset=onset_s, offset=offset_s, label=label, score=score)
    except ManifestError as error:
        raise ManifestError(f"{where}: {error.message}") from error
