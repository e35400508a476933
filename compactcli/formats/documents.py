"""Records as JSON: one array, or an object a line."""

import json
import re

from compactcli.records import Record


class JsonWriter:
    """One JSON array with a record a line."""

    def __init__(self) -> None:
        self._separator = "\n"

    def begin(self) -> str:
        """The opening bracket."""
        return "["

    def record(self, record: Record) -> str:
        """One element, after a comma where it is not the first."""
        text = self._separator + _json(record)
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
        return _json(record) + "\n"

    def end(self) -> str:
        """Nothing."""
        return ""


def _json(record: Record) -> str:
    """One line of JSON; what some readers take for a line end, and lone surrogates, as escapes."""
    text = json.dumps(record.to_dict(), ensure_ascii=False, allow_nan=False)
    return re.sub("[\x7f-\x9f\u2028\u2029\ud800-\udfff]", lambda match: f"\\u{ord(match[0]):04x}", text)
