"""Classes of a user's own: folders of recordings become heads on a trained network, in seconds.

The network stays as it is. A scene head on the mean embedding of a recording says which one class it is, an event head
on the embeddings of frames which classes sound when; both are linear, and what they are worth is told by recordings
that they were not fitted to.
"""

from compactcli.learning.embedding import Example, frames_each, hear_example, hear_noise
from compactcli.learning.fitting import ClassFigures, Learned, check_classes, learn_heads

__all__ = [
    "ClassFigures",
    "Example",
    "Learned",
    "check_classes",
    "frames_each",
    "hear_example",
    "hear_noise",
    "learn_heads",
]
