"""Recordings of any length become records: the same functions behind the shell and the Python API."""

from compactcli.inference.api import classify, detect, embed, load_model
from compactcli.inference.levels import load_log_mel, measure_recording
from compactcli.inference.listening import LARGEST_GAIN_DB, Listening, StageTimes
from compactcli.inference.pictures import picture_recording
from compactcli.inference.planning import DEFAULT_TOP_K, DetectionPlan, check_part, override_detection, plan_detection
from compactcli.inference.recordings import classify_recording, detect_recording, error_record
from compactcli.inference.vectors import embed_part, embed_recording, load_embedder

__all__ = [
    "DEFAULT_TOP_K",
    "LARGEST_GAIN_DB",
    "DetectionPlan",
    "Listening",
    "StageTimes",
    "check_part",
    "classify",
    "classify_recording",
    "detect",
    "detect_recording",
    "embed",
    "embed_part",
    "embed_recording",
    "error_record",
    "load_embedder",
    "load_log_mel",
    "load_model",
    "measure_recording",
    "override_detection",
    "picture_recording",
    "plan_detection",
]
