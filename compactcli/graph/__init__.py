"""Models as ONNX graphs, for onnxruntime here and for other runtimes elsewhere. Needs the package ``onnx``."""

from compactcli.graph.network import network_model
from compactcli.graph.scoring import describe, scoring_model

__all__ = ["describe", "network_model", "scoring_model"]
