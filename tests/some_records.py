"""Records of every kind, for tests of what becomes of them."""

from compactcli.events import Event
from compactcli.records import Record

SCENE = Record(
    path="beach.wav",
    duration=30.0004,
    sample_rate=44100,
    model="compactnet",
    model_version="2026.11",
    scenes=(("beach", 0.91234567), ("stream", 0.05)),
)
BARK = Event(onset=0.40049, offset=1.2, label="dog", score=0.98765)
SIREN = Event(onset=2.0, offset=12.3456, label="siren", score=0.5)
EVENTS = Record(
    path="street.wav",
    duration=12.3456,
    sample_rate=16000,
    model="compactnet",
    model_version="2026.11",
    events=(BARK, SIREN),
)
SILENCE = Record(
    path="quiet.wav", duration=5.0, sample_rate=16000, model="compactnet", model_version="2026.11", events=()
)
FAILED = Record(
    path="broken.wav",
    status="error",
    error_code="not-audio",
    error_message="broken.wav is text",
    model="compactnet",
    model_version="2026.11",
)
CUT = Record(
    path="cut.flac",
    status="partial",
    error_code="damaged",
    error_message="cut.flac stops at 3 s",
    duration=3.0,
    sample_rate=48000,
    model="compactnet",
    model_version="2026.11",
    events=(Event(onset=1.0, offset=3.0, label="rain", score=0.75),),
)
