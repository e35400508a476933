"""Records as JSON: one array, or an object a line."""

import json
import re
from typing import Any, TypeGuard

from compactcli.errors import ManifestError
from compactcli.events import Event
from compactcli.formats.fields import make_event
from compactcli.records import SCHEMA, Record

# seconds beyond which there is no recording, and float64 still holds them
LARGEST_NUMBER = 1e12


class JsonWriter:
    """One JSON array with a record a line."""

    def __init__(self) -> None:
        self._separator = "\n"

    def begin(self) -> str:
        """The opening bracket."""
        return "["

    def record(self, record: Record) -> str:
        """One element, after a comma where it is not the first."""
        text = self._separator + json_text(record.to_dict())
        self._separator = ",\n"
        return text

    def end(self) -> str:
        """The closing bracket."""
        return "\n]\n"


class JsonLinesWriter:
    """One JSON object a line."""

    def begin(self) -> str:
        """Nothing."""
        return ""

    def record(self, record: Record) -> str:
        """One line."""
        return json_text(record.to_dict()) + "\n"

    def end(self) -> str:
        """Nothing."""
        return ""


def json_text(values: Any, *, indent: int | None = None, allow_nan: bool = False) -> str:
    r"""Plain values as JSON; what some readers take for a line end, and lone surrogates, as escapes.

    Args:
        values: Plain values.
        indent: As ``json.dumps`` has it; None gives one line.
        allow_nan: Whether numbers may be other than finite, which JSON knows no words for.

    Example:
        >>> json_text({"path": "caf\xe9\udce9\u2028"})
        '{"path": "café\\udce9\\u2028"}'
    """
    text = json.dumps(values, ensure_ascii=False, allow_nan=allow_nan, indent=indent)
    return re.sub("[\x7f-\x9f\u2028\u2029\ud800-\udfff]", lambda match: f"\\u{ord(match[0]):04x}", text)


def read_events_json(text: str, source: str) -> dict[str, list[Event]]:
    r"""Read the events of records that ``JsonWriter`` or ``JsonLinesWriter`` wrote.

    Args:
        text: One array of records, or one record after the other, as ``jq`` writes them too.
        source: Name of the document for messages.

    Returns:
        Events of each recording, recordings and events in the order of the records. Recordings that failed are left
        out: nobody knows what is in them.

    Raises:
        ManifestError: It is no such document, a record has no events, or times that make no event; the message names
            the record.

    Example:
        >>> record = {"schema": 1, "path": "a.wav", "events": [{"onset": 0, "offset": 1, "label": "dog"}]}
        >>> read_events_json(json.dumps(record), "events.jsonl")
        {'a.wav': [Event(onset=0, offset=1, label='dog', score=None)]}
    """
    table: dict[str, list[Event]] = {}
    for number, record in enumerate(parse_records(text, source), start=1):
        where = f"{source} record {number}"
        if not isinstance(record, dict) or record.get("schema") != SCHEMA or not isinstance(record.get("path"), str):
            raise ManifestError(f"{where} is no record of schema {SCHEMA}, expected what compact detect writes")
        if record.get("status") == "error":
            continue
        if not isinstance(record.get("events"), list):
            raise ManifestError(f"{where} has no events, expected a record of compact detect")
        events = table.setdefault(record["path"], [])
        for index, values in enumerate(record["events"], start=1):
            events.append(_read_event(values, where=f"{where}, event {index}"))
    return table


def parse_records(text: str, source: str, *, expected: str = "records of compact detect") -> list[Any]:
    """Values one after the other, those of arrays one by one, however the text is broken into lines.

    Args:
        text: JSON.
        source: Name of the document for messages.
        expected: What it should hold, for messages.

    Raises:
        ManifestError: It is no JSON.
    """
    decoder = json.JSONDecoder()
    records: list[Any] = []
    position = 1 if text.startswith("\ufeff") else 0
    try:
        while rest := re.compile(r"\s*(?=\S)").match(text, position):
            value, position = decoder.raw_decode(text, rest.end())
            records += value if isinstance(value, list) else [value]
    except json.JSONDecodeError as error:
        raise ManifestError(f"{source} line {error.lineno} is no JSON ({error.msg}), expected {expected}") from error
    except ValueError as error:
        raise ManifestError(f"{source} holds a number that is too long ({error}), expected {expected}") from error
    except RecursionError as error:
        raise ManifestError(f"{source} is nested too deeply, expected {expected}") from error
    return records


def _read_event(values: Any, *, where: str) -> Event:
    fields = values if isinstance(values, dict) else {}
    onset, offset, score = fields.get("onset"), fields.get("offset"), fields.get("score")
    label = fields.get("label", "")
    is_scored = score is None or is_number(score)
    if not (is_number(onset) and is_number(offset) and isinstance(label, str) and is_scored):
        raise ManifestError(f"{where} is {values!r:.100}, expected onset and offset in seconds, a label and a score")
    return make_event(onset, offset, label, score=score, where=where)


def is_number(value: Any) -> TypeGuard[float]:
    """Whether a value of JSON is a number that may be seconds."""
    # whole numbers of JSON have no end
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < LARGEST_NUMBER
