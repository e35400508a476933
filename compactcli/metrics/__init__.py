"""Predictions and truth become numbers: clip-level, segment-based and event-based metrics."""
