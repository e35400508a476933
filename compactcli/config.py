"""The numbers that define a system: features, network, detection, calibration.

Every option set is a frozen dataclass that checks itself; ``plainjson`` writes and reads them.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from compactcli.errors import require
from compactcli.timing import FrameClock

FORMAT_VERSION = 1
# of a model folder's files, the one that its answers come from
WEIGHTS = "model.safetensors"
CHECKSUM_LETTERS = 8
LONGEST_FILTER_S = 60.0  # a median keeps its whole window in memory
LONGEST_TIME_S = 1e9  # 30 years; its frames can be counted
LOWEST_THRESHOLD = 0.01  # a sigmoid is never 0: without a floor, a large hysteresis would let no event end


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """Log-mel settings.

    Args:
        sample_rate: Hz, of the waveform that enters.
        n_fft: FFT length and length of the periodic Hann window in samples, even: torchaudio misplaces odd ones' bands.
        hop_length: Samples between frames, even.
        n_mels: Mel bands (HTK scale, no area normalisation).
        f_min: Lower edge of the first band in Hz.
        f_max: Upper edge of the last band in Hz. 7,600 by default: lossy training audio holds nothing above.
        floor_db: Level in dB relative to a full-scale sine under which everything is the same silence.
    """

    sample_rate: int = 16000
    n_fft: int = 1024
    hop_length: int = 320
    n_mels: int = 64
    f_min: float = 40.0
    f_max: float = 7600.0
    floor_db: float = -100.0

    def __post_init__(self) -> None:
        require(self.sample_rate > 0, f"sample_rate is {self.sample_rate}, expected a positive number of Hz")
        require(
            0 < self.hop_length <= self.n_fft and self.hop_length % 2 == self.n_fft % 2 == 0,
            f"hop_length is {self.hop_length} and n_fft {self.n_fft}, expected 0 < hop_length <= n_fft, both even",
        )
        require(self.n_mels > 0, f"n_mels is {self.n_mels}, expected at least 1")
        require(
            0 <= self.f_min < self.f_max <= self.sample_rate / 2,
            f"mel bands from {self.f_min} to {self.f_max} Hz do not fit a sample rate of {self.sample_rate} Hz",
        )
        require(self.n_fft <= 2**16, f"n_fft is {self.n_fft}, expected at most 65536")
        require(self.floor_db < 0, f"floor_db is {self.floor_db}, expected a level below 0 dB")

    @property
    def clock(self) -> FrameClock:
        """Clock of the log-mel frames."""
        return FrameClock(sample_rate=self.sample_rate, frame_length=self.hop_length)


@dataclass(frozen=True, kw_only=True)
class StageConfig:
    """A run of residual blocks at one width and one frequency resolution.

    Args:
        channels: Width, divisible by the network's group size.
        n_blocks: Residual blocks after the block that changes the width.
        kernel_size: Depth-wise kernel as (frequency, time), both odd.
    """

    channels: int
    n_blocks: int
    kernel_size: tuple[int, int] = (3, 3)

    def __post_init__(self) -> None:
        require(self.channels > 0, f"a stage has {self.channels} channels, expected at least 1")
        require(self.n_blocks >= 0, f"a stage has {self.n_blocks} blocks, expected 0 or more")
        require(
            all(size > 0 and size % 2 == 1 for size in self.kernel_size),
            f"a stage has kernel {self.kernel_size}, expected two odd sizes",
        )


@dataclass(frozen=True, kw_only=True)
class NetworkConfig:
    """Shape of CompactNet.

    Args:
        stem_channels: Channels after the first convolution, which halves time and frequency.
        stem_kernel_size: Kernel of the first convolution as (frequency, time), both odd.
        stages: Two-dimensional stages; each halves the frequency axis on entry.
        context: One-dimensional stages that follow frequency pooling, residual blocks only; long kernels
            see seconds, and cost little there.
        operation: Interchannel operation.
        group_size: Adjacent channels joined by one interchannel operation.
    """

    stem_channels: int = 32
    stem_kernel_size: tuple[int, int] = (5, 5)
    stages: tuple[StageConfig, ...] = (
        StageConfig(channels=64, n_blocks=1),
        StageConfig(channels=128, n_blocks=2),
        StageConfig(channels=256, n_blocks=4),
    )
    context: tuple[StageConfig, ...] = (
        StageConfig(channels=256, n_blocks=3, kernel_size=(1, 9)),
        StageConfig(channels=256, n_blocks=3, kernel_size=(1, 33)),
    )
    operation: str = "max"
    group_size: int = 2

    def __post_init__(self) -> None:
        StageConfig(channels=self.stem_channels, n_blocks=0, kernel_size=self.stem_kernel_size)  # the same rules
        require(len(self.stages) > 0, "the network has no stages, expected at least one")
        require(self.group_size > 0, f"group_size is {self.group_size}, expected at least 1")

    @property
    def time_stride(self) -> int:
        """Log-mel frames per output frame."""
        return 2

    @property
    def embedding_size(self) -> int:
        """Numbers that the heads see of an output frame."""
        last = (*self.stages, *(stage for stage in self.context if stage.n_blocks))[-1]
        return last.channels

    @property
    def context_frames(self) -> int:
        """Log-mel frames before and after an output frame's own that can change its logits."""
        reach = sum((1 + stage.n_blocks) * (stage.kernel_size[1] // 2) for stage in self.stages)
        reach += sum(stage.n_blocks * (stage.kernel_size[1] // 2) for stage in self.context)
        return self.stem_kernel_size[1] // 2 + reach * self.time_stride


@dataclass(frozen=True, kw_only=True)
class DetectionConfig:
    """How frame probabilities become events.

    Args:
        threshold: Lowest score of an event, in [0, 1].
        class_thresholds: Thresholds of single classes, which override ``threshold``.
        hysteresis: For events at their threshold: how far below it a class may fall while an event goes on, in [0, 1];
            not below 0.01.
        median_s: For events at their threshold: length of the median filter in seconds, at most 60; 0 switches it off.
        step_s: Length of the step filter in seconds, at most 60, at whose extrema events begin and end, see
            ``compactcli.detection.steps``. 0 lets events begin and end at their threshold.
        merge_share: For events at steps: those with a mean score of this share of their own between them are one.
        max_gap_s: Gaps up to this many seconds inside one class are closed.
        min_duration_s: Events shorter than this many seconds are dropped, after gaps were closed.
    """

    threshold: float = 0.5
    class_thresholds: Mapping[str, float] = field(default_factory=dict)
    hysteresis: float = 0.0
    median_s: float = 0.2
    step_s: float = 0.0
    merge_share: float = 0.25
    max_gap_s: float = 0.2
    min_duration_s: float = 0.1

    def __post_init__(self) -> None:
        require(0 <= self.threshold <= 1, f"threshold is {self.threshold}, expected a number from 0 to 1")
        for name, value in self.class_thresholds.items():
            require(0 <= value <= 1, f"the threshold of '{name}' is {value}, expected a number from 0 to 1")
        require(0 <= self.hysteresis <= 1, f"hysteresis is {self.hysteresis}, expected a number from 0 to 1")
        require(0 <= self.merge_share <= 1, f"merge_share is {self.merge_share}, expected a number from 0 to 1")
        for name in ("median_s", "step_s", "max_gap_s", "min_duration_s"):
            value = getattr(self, name)
            known_as = name.removesuffix("_s")  # on the command line and in Python
            require(math.isfinite(value) and value >= 0, f"{known_as} is {value}, expected seconds, 0 or more")
            longest = LONGEST_FILTER_S if name in ("median_s", "step_s") else LONGEST_TIME_S
            require(value <= longest, f"{known_as} is {value} s, expected at most {longest:g} s")

    def threshold_of(self, label: str) -> float:
        """Threshold that holds for one class."""
        return self.class_thresholds.get(label, self.threshold)

    def lower_threshold_of(self, label: str) -> float:
        """Threshold at or above which an event of one class goes on once it has begun."""
        threshold = self.threshold_of(label)
        return min(threshold, max(threshold - self.hysteresis, LOWEST_THRESHOLD))


@dataclass(frozen=True, kw_only=True)
class CalibrationConfig:
    """Maps logits to probabilities whose operating point is 0.5.

    Event class ``k``: ``sigmoid(event_scale * logit + event_bias[k])``; scenes:
    ``softmax(scene_scale * logits + scene_bias)``. Fitted on validation recordings (see the model's card).
    """

    scene_scale: float = 1.0
    scene_bias: tuple[float, ...] = ()
    event_scale: float = 1.0
    event_bias: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        require(
            self.scene_scale > 0 and self.event_scale > 0,
            f"calibration scales are {self.scene_scale} and {self.event_scale}, expected positive numbers",
        )


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """Everything but the weights that a model is.

    Args:
        name: Name under which users ask for the model.
        version: Version of the weights, as a date or a number.
        scenes: Scene names, in the order of the scene head.
        events: Event names, in the order of the event head.
        features: Log-mel settings.
        network: Network shape.
        detection: Default post-processing.
        calibration: Fitted on validation recordings; empty biases mean zeros.
        training: Summary of the training run, for people.
        sha256: Checksums of the model folder's other files.
        format_version: Version of this layout.

    Raises:
        ConfigError: A class list is empty or repeats a name, or the calibration does not fit it.
    """

    name: str
    version: str
    scenes: tuple[str, ...]
    events: tuple[str, ...]
    features: FeatureConfig = FeatureConfig()
    network: NetworkConfig = NetworkConfig()
    detection: DetectionConfig = DetectionConfig()
    calibration: CalibrationConfig = CalibrationConfig()
    training: Mapping[str, Any] = field(default_factory=dict)
    sha256: Mapping[str, str] = field(default_factory=dict)
    format_version: int = FORMAT_VERSION

    @property
    def release(self) -> str:
        """Version, and the beginning of the checksum of the weights where it is known: no two networks share it.

        Example:
            >>> from dataclasses import replace
            >>> config = ModelConfig(name="a", version="2", scenes=("any",), events=("any",))
            >>> replace(config, sha256={WEIGHTS: "5b2467a5ff"}).release
            '2+5b2467a5'
        """
        checksum = self.sha256.get(WEIGHTS, "")
        return f"{self.version}+{checksum[:CHECKSUM_LETTERS]}" if checksum else self.version

    def __post_init__(self) -> None:
        require(
            self.format_version == FORMAT_VERSION,
            f"model format version is {self.format_version}, this compact reads version {FORMAT_VERSION}",
        )
        for classes, bias in ((self.scenes, self.calibration.scene_bias), (self.events, self.calibration.event_bias)):
            require(len(classes) > 0, "a head has no classes, expected at least one")
            require(len(set(classes)) == len(classes), f"class names repeat in {list(classes)}")
            require(len(bias) in (0, len(classes)), f"{len(bias)} biases for {len(classes)} classes")
        unknown = set(self.detection.class_thresholds) - set(self.events)
        require(not unknown, f"thresholds for unknown events {sorted(unknown)}")

    @property
    def clock(self) -> FrameClock:
        """Clock of the output frames."""
        return FrameClock(
            sample_rate=self.features.sample_rate,
            frame_length=self.features.hop_length * self.network.time_stride,
        )
