"""Frame probabilities become sound events."""

from compactcli.detection.decoder import EventDecoder, detect_events

__all__ = ["EventDecoder", "detect_events"]
