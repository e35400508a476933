"""What reads a recording from front to back, whichever library does the work."""

from typing import Any, Protocol

import numpy as np
import numpy.typing as npt


class DecodingError(Exception):
    """Decoding cannot go on; the text is the library's own, fit for the middle of a sentence."""


class Decoder(Protocol):
    """An open recording, of which nothing has been read.

    Attributes:
        samplerate: Hz.
        channels: Channels.
        frames: Samples per channel that the header promises; more than anything could hold where it does not know.
        format: Name of the file format.
        subtype: Name of the sample format.
        extra_info: What was noticed in the header, line by line.
        damage: Once all was read, what the file is known to lack or to hold beyond that; None when nothing is.
    """

    samplerate: int
    channels: int
    frames: int
    format: str
    subtype: str
    extra_info: str
    damage: str | None

    def read(self, *, out: npt.NDArray[np.float32]) -> Any:
        """Fill ``out``, shape ``(n_frames, n_channels)``, with the next frames, as far as there are any.

        Returns:
            The part of ``out`` that was filled; it is shorter than ``out`` at the end of the recording alone.

        Raises:
            DecodingError: The recording is damaged; what came before the damage is in ``out``.
        """
        ...
