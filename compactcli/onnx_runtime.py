"""onnxruntime as compact imports it: it writes nothing into the home folder and calls nobody.

Version 1.32 for Linux counts who uses it: as it is imported it puts a database and a number for the device into
``~/.cache/Microsoft``, and after some seconds looks for its maker's collector. Only the environment variable below,
set before, prevents it; `onnxruntime.disable_telemetry_events` comes too late.
"""

import os

os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as states

__all__ = ["onnxruntime", "states"]
