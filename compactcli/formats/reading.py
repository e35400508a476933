"""Tables of events, whichever program wrote them: what it is shows in how it begins."""

import csv
from collections.abc import Sequence

from compactcli.errors import ManifestError
from compactcli.events import Event
from compactcli.formats.dcase import EVENT_COLUMNS, read_events_tsv
from compactcli.formats.documents import read_events_json
from compactcli.formats.fields import show_header, split_lines
from compactcli.formats.raven import BEGIN, FILE_OFFSET, NAME_COLUMNS, read_raven_table
from compactcli.formats.tables import NEEDED_COLUMNS, column_names, read_events_csv

# of CSV: what compact writes, and what spreadsheets make of it
SEPARATORS = ",;\t"


def read_events(text: str, source: str) -> dict[str, list[Event]]:
    r"""Read the events of recordings from a table that names them.

    Args:
        text: JSON, JSON Lines or CSV of ``compact detect``, a DCASE event table, or a selection table of Raven.
        source: Name of the table for messages.

    Returns:
        Events of each recording, recordings and events in the order of the table.

    Raises:
        ManifestError: It is none of these, is damaged, or does not say where in which recordings its events are.

    Example:
        >>> read_events("filename\tonset\toffset\tevent_label\na.wav\t0.5\t1\tdog\n", "truth.tsv")
        {'a.wav': [Event(onset=0.5, offset=1.0, label='dog', score=None)]}
    """
    if text.removeprefix("\ufeff").lstrip().startswith(("{", "[")):
        return read_events_json(text, source)
    first_line = split_lines(text)[0]
    columns = first_line.split("\t")
    if BEGIN in columns:
        return _read_raven(text, source, columns)
    for separator in SEPARATORS:
        names = next(csv.reader([first_line], delimiter=separator), [])
        # with tabs between them, DCASE's names have escapes in their fields
        if set(NEEDED_COLUMNS) <= set(names if separator == "\t" else column_names(names)):
            return read_events_csv(text, source, separator=separator)
    if not set(EVENT_COLUMNS) & set(columns):
        raise ManifestError(
            f"{source} begins with {show_header(columns)}, expected a table of events",
            hint="call the columns path, onset, offset and label, or give what compact detect writes as jsonl, json, "
            "csv or tsv, a selection table of Raven, or label tracks of Audacity called as their recordings with .txt "
            "behind",
        )
    return read_events_tsv(text, source)


def _read_raven(text: str, source: str, columns: Sequence[str]) -> dict[str, list[Event]]:
    if not set(NAME_COLUMNS) & set(columns):
        raise ManifestError(
            f"{source} has none of the columns {list(NAME_COLUMNS)}, expected one that names the recordings",
            hint="let Raven show that column in the table before it is saved",
        )
    table = read_raven_table(text, source)
    if len(table) > 1 and FILE_OFFSET not in columns:
        raise ManifestError(
            f"{source} names {len(table)} recordings and lacks the column '{FILE_OFFSET}', without which its times may "
            "run on from one recording to the next",
            hint="let Raven show that column in the table before it is saved",
        )
    return table
