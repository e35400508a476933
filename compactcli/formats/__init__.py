r"""Results become text, and event tables become events again; pure functions and small writers.

A writer turns records into text one at a time: ``begin()``, then ``record(record)`` for each input, then
``end()``; joined, they are one document. The text is meant to be written as UTF-8 (``encode``) with nothing added.

File names that are not valid UTF-8 arrive from Python with their stray bytes as lone surrogates (PEP 383). JSON
keeps each as its escape ``\udcXX``, so the document stays valid UTF-8 and ``os.fsencode`` of the parsed path gives
the name on disk back; ``encode`` writes the stray bytes of the other formats as they are on disk.
"""

import functools
from collections.abc import Callable, Mapping

from compactcli.formats.audacity import AudacityWriter, is_audacity_track, read_audacity_labels
from compactcli.formats.dcase import EventTsvWriter, read_events_tsv
from compactcli.formats.documents import JsonLinesWriter, JsonWriter, json_text
from compactcli.formats.drawing import PictureWriter
from compactcli.formats.fields import encode
from compactcli.formats.frames import ScoresTsvWriter
from compactcli.formats.levels import LevelsTsvWriter, NpyWriter
from compactcli.formats.raven import RavenWriter, read_raven_table
from compactcli.formats.reading import read_events
from compactcli.formats.rttm import RttmWriter
from compactcli.formats.scenes import SceneTrack
from compactcli.formats.subtitles import SrtWriter, VttWriter
from compactcli.formats.tables import EventCsvWriter, SceneCsvWriter
from compactcli.formats.vectors import VectorCsvWriter, read_vectors
from compactcli.formats.writer import FrameWriter, Writer
from compactcli.records import Record

__all__ = [
    "BINARY",
    "FORMATS",
    "FRAME_FORMATS",
    "ONE_RECORDING",
    "SUFFIXES",
    "AudacityWriter",
    "EventCsvWriter",
    "EventTsvWriter",
    "FrameWriter",
    "JsonLinesWriter",
    "JsonWriter",
    "LevelsTsvWriter",
    "NpyWriter",
    "PictureWriter",
    "RavenWriter",
    "Record",
    "RttmWriter",
    "SceneCsvWriter",
    "SceneTrack",
    "ScoresTsvWriter",
    "SrtWriter",
    "VectorCsvWriter",
    "VttWriter",
    "Writer",
    "encode",
    "is_audacity_track",
    "json_text",
    "read_audacity_labels",
    "read_events",
    "read_events_tsv",
    "read_raven_table",
    "read_vectors",
]

# what each command can make of records, by the names users ask for; a writer serves one document
FORMATS: Mapping[str, Mapping[str, Callable[[], Writer]]] = {
    "classify": {
        "json": JsonWriter,
        "jsonl": JsonLinesWriter,
        "csv": SceneCsvWriter,
        "audacity": lambda: SceneTrack(AudacityWriter()),
        "raven": lambda: SceneTrack(RavenWriter()),
    },
    "detect": {
        "json": JsonWriter,
        "jsonl": JsonLinesWriter,
        "csv": EventCsvWriter,
        "tsv": EventTsvWriter,
        "audacity": AudacityWriter,
        "raven": RavenWriter,
        "vtt": VttWriter,
        "srt": SrtWriter,
        "rttm": RttmWriter,
    },
    "embed": {"csv": VectorCsvWriter, "json": JsonWriter, "jsonl": JsonLinesWriter},
    "features": {"json": JsonWriter, "jsonl": JsonLinesWriter},
    "plot": {"json": JsonWriter, "jsonl": JsonLinesWriter},
}

# formats of frames and pictures, which are written while a recording is analysed
FRAME_FORMATS: Mapping[str, Mapping[str, Callable[[], FrameWriter]]] = {
    "classify": {},
    "detect": {"scores-tsv": ScoresTsvWriter},
    "embed": {},
    "features": {"npy": NpyWriter, "levels-tsv": LevelsTsvWriter},
    "plot": {form: functools.partial(PictureWriter, form) for form in ("png", "svg", "pdf")},
}

# formats that do not name recordings: a document holds one, and their writers refuse the second
ONE_RECORDING = frozenset({"audacity", "vtt", "srt", "scores-tsv", "npy", "levels-tsv", "png", "svg", "pdf"})

# formats that no terminal can show
BINARY = frozenset({"npy", "png", "pdf"})

# how the names of files of each format end: Raven looks for ``.selections.txt`` and Audacity for ``.txt``
SUFFIXES: Mapping[str, str] = {
    "json": ".json",
    "jsonl": ".jsonl",
    "csv": ".csv",
    "tsv": ".tsv",
    "audacity": ".txt",
    "raven": ".selections.txt",
    "vtt": ".vtt",
    "srt": ".srt",
    "rttm": ".rttm",
    "scores-tsv": ".tsv",
    "npy": ".npy",
    "levels-tsv": ".tsv",
    "png": ".png",
    "svg": ".svg",
    "pdf": ".pdf",
}
