"""A training recipe: which recordings teach which class, what is held out, and how training runs.

One TOML file per released model; it is copied into the model's folder, so a model says how it was made. A recipe
may say ``based_on = "other.toml"`` and then hold only what is different.
"""

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from compactcli.config import DetectionConfig, FeatureConfig, NetworkConfig
from compactcli.errors import require
from compactcli.plainjson import from_json
from compactcli.tomlfiles import read_toml

# where recordings come from, a table of its own for each
CORPUS_FOLDERS = ("esc50", "urbansound8k", "ambience", "speech", "music", "effects")
# the official folds of the corpus folder that --fold is about
FOLDED, FOLDS = "esc50", ("1", "2", "3", "4", "5")
SHORTEST_CLIP_S = 0.2
LOSSES = ("frame", "tag", "weak", "scene", "teacher", "embedding")


@dataclass(frozen=True, kw_only=True)
class SplitConfig:
    """What is held out, always whole source recordings.

    Args:
        folders: Corpus folders that are used at all; empty for all of them.
        test_folds: Corpus folder to its test folds.
        test_sources: Corpus folder to source names (file stem, track, speaker) that are test.
        test_prefixes: Corpus folder to beginnings of file names that are test.
        dropped: Corpus folder to names of files that are on no side, such as copies of another folder's recordings.
        test_share: Corpus folder to the share of the remaining sources that is test, by hash.
        validation_share: Share of the sources left for training that is validation instead, by hash.
        validation_folders: Folders that validation sources come from; empty for all of them.
    """

    folders: tuple[str, ...] = ()
    test_folds: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    test_sources: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    test_prefixes: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    test_share: Mapping[str, float] = field(default_factory=dict)
    dropped: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    validation_share: float = 0.08
    validation_folders: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for name, share in {"validation_share": self.validation_share, **self.test_share}.items():
            require(0 <= share < 1, f"{name} is {share}, expected a share from 0 up to 1")
        tables = (self.test_folds, self.test_sources, self.test_prefixes, self.test_share, self.dropped)
        named = {*self.folders, *self.validation_folders, *(folder for table in tables for folder in table)}
        unknown = sorted(named - set(CORPUS_FOLDERS))
        require(not unknown, f"[split] names the folders {unknown}, expected some of {list(CORPUS_FOLDERS)}")


@dataclass(frozen=True, kw_only=True)
class SceneLayer:
    """One layer of a simulated scene.

    Args:
        labels: Source labels as ``folder/label``; one recording is drawn for each copy.
        level_db: Lowest and highest level; the levels of all layers are relative to one another.
        copies: Fewest and most copies.
        probability: Chance that the layer is there at all.
        whole: Whether the layer lasts the whole clip (a bed) rather than being placed at a random time.
    """

    labels: tuple[str, ...]
    level_db: tuple[float, float] = (-12.0, 0.0)
    copies: tuple[int, int] = (1, 1)
    probability: float = 1.0
    whole: bool = True

    def __post_init__(self) -> None:
        require(len(self.labels) > 0, "a scene layer has no labels")
        require(0 < self.probability <= 1, f"a layer's probability is {self.probability}, expected 0 to 1")
        require(self.copies[0] <= self.copies[1], f"a layer's copies are {self.copies}, expected fewest, most")


@dataclass(frozen=True, kw_only=True)
class SceneConfig:
    """Where the recordings of one scene come from.

    Args:
        recordings: Corpus folder to source labels whose recordings are this scene by themselves.
        layers: Layers of its simulated form, or none.
    """

    recordings: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    layers: tuple[SceneLayer, ...] = ()


@dataclass(frozen=True, kw_only=True)
class EventConfig:
    """Which source labels are which events.

    Args:
        classes: Event classes in the order of the head.
        labels: Corpus folder to source label to event class; folders in ``identity`` need no table.
        identity: Folders whose labels are class names already where they match one.
        continuous: Classes that fill a whole clip; the other classes' activity is found by energy
            where the corpus gives no times.
        unsure: Classes often heard beneath others. Where the teacher hears one that the label does not
            name, its target is left open.
        unsure_probability: Teacher probability from which that holds.
        teacher: Event class to AudioSet display names; needed for unsure classes, and for all to learn its shares by
            name.
    """

    classes: tuple[str, ...]
    labels: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    identity: tuple[str, ...] = ()
    continuous: tuple[str, ...] = ()
    unsure: tuple[str, ...] = ()
    unsure_probability: float = 0.1
    teacher: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class MixConfig:
    """How training clips are put together.

    Args:
        clip_s: Length of a training clip in seconds.
        event_clips: Relative number of clips drawn by event class.
        scene_clips: Relative number of clips drawn by scene.
        soundscapes: Relative number of soundscapes: events over a background.
        simulated_scenes: Relative number of layered scenes.
        noise_clips: Relative number of clips of noise alone: no event, and no scene rather than another.
        by_source: Whether source recordings have equal chances, rather than the clips cut from them.
        mixup_probability: Chance that a clip is mixed with a second one.
        mixup_db: Lowest and highest level of the second clip relative to the first.
        events_per_soundscape: Fewest and most events.
        event_level_db: Lowest and highest level of an event relative to its background.
        gain_db: Lowest and highest level change of the whole clip.
        filter_db: Largest deviation of a random smooth filter.
        response_probability: Chance of a measured microphone response.
        spectrum_probability: Chance that a clip's mean spectrum is drawn towards another clip's.
        spectrum_share: Largest share of the way there.
        lowpass_probability: Chance that everything above a random cut-off is lost.
        noise_probability: Chance of white or pink noise beneath.
        stretch: Largest change of speed, as a factor; 1 switches it off.
        shift_bands: Largest shift along frequency, in mel bands.
        time_mask_s: Longest time mask in seconds, one per clip.
        band_mask: Widest frequency mask in mel bands, two per clip.
    """

    clip_s: float = 5.0
    event_clips: float = 0.5
    scene_clips: float = 0.2
    soundscapes: float = 0.2
    simulated_scenes: float = 0.1
    noise_clips: float = 0.0
    by_source: bool = False
    mixup_probability: float = 0.5
    mixup_db: tuple[float, float] = (-12.0, 6.0)
    events_per_soundscape: tuple[int, int] = (1, 4)
    event_level_db: tuple[float, float] = (0.0, 20.0)
    gain_db: tuple[float, float] = (-30.0, 12.0)
    filter_db: float = 6.0
    response_probability: float = 0.3
    spectrum_probability: float = 0.0
    spectrum_share: float = 0.6
    lowpass_probability: float = 0.1
    noise_probability: float = 0.2
    stretch: float = 1.15
    shift_bands: int = 2
    time_mask_s: float = 0.4
    band_mask: int = 6

    def __post_init__(self) -> None:
        clips = {
            name: getattr(self, name)
            for name in ("event_clips", "scene_clips", "soundscapes", "simulated_scenes", "noise_clips")
        }
        for name, number in clips.items():
            require(0 <= number < math.inf, f"{name} is {number}, expected a number from 0 up")
        require(sum(clips.values()) > 0, f"{', '.join(clips)} are all 0, expected clips of some kind")
        require(self.clip_s >= SHORTEST_CLIP_S, f"clip_s is {self.clip_s}, expected at least {SHORTEST_CLIP_S} s")
        for name in ("mixup", "response", "spectrum", "lowpass", "noise"):
            share = getattr(self, f"{name}_probability")
            require(0 <= share <= 1, f"{name}_probability is {share}, expected 0 to 1")
        require(0 <= self.spectrum_share <= 1, f"spectrum_share is {self.spectrum_share}, expected 0 to 1")
        for name in ("mixup_db", "event_level_db", "gain_db", "events_per_soundscape"):
            low, high = getattr(self, name)
            require(-math.inf < low <= high < math.inf, f"{name} is [{low}, {high}], expected lowest, highest")
        fewest = self.events_per_soundscape[0]
        require(fewest >= 0, f"events_per_soundscape begins with {fewest}, expected 0 or more")
        require(1 <= self.stretch < math.inf, f"stretch is {self.stretch}, expected a factor from 1 up")
        for name in ("filter_db", "shift_bands", "time_mask_s", "band_mask"):
            size = getattr(self, name)
            require(0 <= size < math.inf, f"{name} is {size}, expected a number from 0 up")


@dataclass(frozen=True, kw_only=True)
class OptimisationConfig:
    """How training runs.

    Args:
        steps: Optimiser steps.
        batch_size: Clips per step.
        learning_rate: Peak of the schedule: linear warm-up, then a cosine down to 1 % of it.
        warmup_steps: Steps of the warm-up.
        weight_decay: AdamW's, on weight matrices and kernels only.
        frame_weight: Weight of the frame-wise event loss.
        tag_weight: Weight of the clip-wise event loss (softmax over events, where one clip has one label).
        teacher_share: Share of that loss' target that is what the teacher hears rather than the label.
        teacher_hears: By what it is known what the teacher hears: ``names``, its classes that ``events.teacher`` maps
            to ours, or ``embedding``, classifiers on its embedding that never heard the recording they speak of.
        weak_weight: Weight of the clip-wise event loss by pooled probabilities.
        scene_weight: Weight of the scene loss.
        scene_teacher_share: Share of that loss' target in a recording by itself that is what classifiers on the
            teacher's embedding hear rather than its scene.
        teacher_weight: Weight of the loss on the teacher's class probabilities.
        embedding_weight: Weight of the loss on the teacher's embedding.
        start_share: Share of the weights that training started from in the weights that it ends with.
        dropout: Share of the embedding's channels that the heads do without, drawn for each clip.
        precision: ``fp32`` or ``bf16`` (mixed); a CPU without units for bfloat16 computes in ``fp32`` either way.
        validate_every: Steps between validations.
        save_every: Steps between checkpoints to resume from.
    """

    steps: int = 10000
    batch_size: int = 64
    learning_rate: float = 3e-3
    warmup_steps: int = 300
    weight_decay: float = 0.02
    frame_weight: float = 1.0
    tag_weight: float = 1.0
    teacher_share: float = 0.0
    teacher_hears: str = "names"
    weak_weight: float = 0.5
    scene_weight: float = 1.0
    scene_teacher_share: float = 0.0
    teacher_weight: float = 50.0
    embedding_weight: float = 1.0
    start_share: float = 0.0
    dropout: float = 0.0
    precision: str = "bf16"
    validate_every: int = 500
    save_every: int = 250

    def __post_init__(self) -> None:
        require(self.precision in ("fp32", "bf16"), f"precision is '{self.precision}', expected 'fp32' or 'bf16'")
        require(0 <= self.teacher_share <= 1, f"teacher_share is {self.teacher_share}, expected 0 to 1")
        require(
            0 <= self.scene_teacher_share <= 1,
            f"scene_teacher_share is {self.scene_teacher_share}, expected 0 to 1",
        )
        require(
            self.teacher_hears in ("names", "embedding"),
            f"teacher_hears is '{self.teacher_hears}', expected 'names' or 'embedding'",
        )
        require(0 <= self.start_share < 1, f"start_share is {self.start_share}, expected a share from 0 up to 1")
        require(0 <= self.dropout < 1, f"dropout is {self.dropout}, expected a share from 0 up to 1")
        require(0 < self.warmup_steps < self.steps, f"warmup_steps is {self.warmup_steps} of {self.steps} steps")
        require(self.batch_size > 1, f"batch_size is {self.batch_size}, expected at least 2")
        require(0 < self.learning_rate < math.inf, f"learning_rate is {self.learning_rate}, expected more than 0")
        for name in ("weight_decay", *(f"{loss}_weight" for loss in LOSSES)):
            weight = getattr(self, name)
            require(0 <= weight < math.inf, f"{name} is {weight}, expected a number from 0 up")
        for name in ("validate_every", "save_every"):
            require(getattr(self, name) > 0, f"{name} is {getattr(self, name)}, expected at least 1")

    @property
    def has_teacher(self) -> bool:
        """Whether anything is learned from the teacher."""
        return max(self.teacher_weight, self.embedding_weight, self.teacher_share, self.scene_teacher_share) > 0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """Everything that ``compact train`` is told.

    Args:
        name: Name of the model.
        version: Version of the model.
        seed: Of all randomness.
        split: What is held out.
        scenes: Scene name to its recordings, in the order of the head.
        events: Events and their sources.
        mix: Training clips.
        optimisation: Training run.
        features: Log-mel settings.
        network: Network shape.
        detection: Default post-processing of the released model.
    """

    name: str
    version: str
    seed: int = 1
    split: SplitConfig
    scenes: Mapping[str, SceneConfig]
    events: EventConfig
    mix: MixConfig = MixConfig()
    optimisation: OptimisationConfig = OptimisationConfig()
    features: FeatureConfig = FeatureConfig()
    network: NetworkConfig = NetworkConfig()
    detection: DetectionConfig = DetectionConfig()

    def __post_init__(self) -> None:
        targets = {name for table in self.events.labels.values() for name in table.values()}
        lists = (*self.events.continuous, *self.events.unsure, *self.events.teacher)
        unknown = sorted((targets | set(lists)) - set(self.events.classes))
        unmapped = sorted(set(self.events.classes) - set(self.events.teacher))
        by_names = self.optimisation.teacher_share > 0 and self.optimisation.teacher_hears == "names"
        require(
            not by_names or not unmapped,
            f"teacher_share is {self.optimisation.teacher_share}, but events.teacher maps nothing to {unmapped}",
        )
        require(not unknown, f"recipe '{self.name}' uses event classes {unknown} that are not in events.classes")


def read_recipe(path: Path) -> Recipe:
    """Read a recipe.

    Raises:
        ConfigError: The file, or one that it is based on, cannot be read, is not TOML, or holds unknown or wrong
            settings.
    """
    return from_json(Recipe, read_toml(path), where=str(path), partial=True)


def with_fold(recipe: Recipe, fold: str) -> Recipe:
    """The recipe with another official fold of ESC-50 held out; everything else stays.

    Raises:
        ConfigError: ESC-50 has no such fold.
    """
    require(fold in FOLDS, f"fold is '{fold}', expected one of {', '.join(FOLDS)}")
    folds = {**recipe.split.test_folds, FOLDED: (fold,)}
    return dataclasses.replace(recipe, split=dataclasses.replace(recipe.split, test_folds=folds))
