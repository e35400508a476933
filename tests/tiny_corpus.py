"""A corpus of a few seconds, made in code with the layout of the real one, and a recipe that trains in no time."""

import csv
import zipfile
from pathlib import Path

import numpy as np
import soundfile

from compactcli.datasets import share_of

RATE = 16000
VALIDATION_SHARE = 0.3
TEACHER_CLASSES = ("Speech", "Music", "Rain", "Dog")
EMBEDDING_SIZE = 6

RECIPE = f"""
name = "tiny"
version = "0"
seed = 3

[split]
validation_share = {VALIDATION_SHARE}
validation_folders = ["esc50", "urbansound8k", "speech", "music", "effects"]

[split.test_folds]
esc50 = ["5"]
urbansound8k = ["3"]

[split.test_prefixes]
speech = ["test_"]

[split.test_sources]
ambience = ["street"]

[scenes.rain.recordings]
esc50 = ["rain"]
ambience = ["downpour"]

[scenes.street.recordings]
ambience = ["street", "avenue"]
urbansound8k = ["siren"]

[[scenes.street.layers]]
labels = ["urbansound8k/siren", "esc50/siren"]
[[scenes.street.layers]]
labels = ["esc50/dog", "urbansound8k/dog_bark", "nowhere/nothing"]
level_db = [-6.0, 0.0]
copies = [1, 2]
probability = 0.9
whole = false

[scenes.talk.recordings]
speech = ["speech"]

[events]
classes = ["dog", "rain", "siren", "speech", "music"]
identity = ["esc50", "urbansound8k", "speech", "music"]
continuous = ["rain", "siren", "music"]
unsure = ["speech"]
unsure_probability = 0.2

[events.labels.urbansound8k]
dog_bark = "dog"

[events.labels.effects]
woof = "dog"

[events.teacher]
speech = ["Speech"]

[mix]
clip_s = 1.0
time_mask_s = 0.1
shift_bands = 1
band_mask = 2

[optimisation]
steps = 6
batch_size = 4
warmup_steps = 2
learning_rate = 3e-3
precision = "fp32"
validate_every = 2
save_every = 2

[features]
n_mels = 16

[network]
stem_channels = 4
stem_kernel_size = [3, 3]

[[network.stages]]
channels = 8
n_blocks = 0

[[network.context]]
channels = 8
n_blocks = 1
kernel_size = [1, 3]
"""


def freesound_id(first: int, *, validation: bool) -> int:
    """The first id from ``first`` on whose recording is on the validation side, or is not."""
    while (share_of(f"validation fs:{first}") < VALIDATION_SHARE) != validation:
        first += 1
    return first


def speaker(name: str, *, validation: bool) -> str:
    """A speaker's name on the side asked for."""
    while (share_of(f"validation {name} en") < VALIDATION_SHARE) != validation:
        name += "x"
    return name


def track(name: str, *, validation: bool) -> str:
    """A track's name on the side asked for."""
    while (share_of(f"validation {name}") < VALIDATION_SHARE) != validation:
        name += "x"
    return name


def sound(label: str, duration_s: float, rng: np.random.Generator) -> np.ndarray:
    """Something that a network can tell from the other labels."""
    seconds = np.arange(round(duration_s * RATE)) / RATE
    noise = rng.standard_normal(len(seconds))
    if label in ("dog", "dog_bark", "woof"):  # two barks of 0.3 s in near silence
        on = (seconds % 1.0 >= 0.2) & (seconds % 1.0 < 0.5)
        waveform = 0.3 * np.sin(2 * np.pi * 600 * seconds) * on + 1e-5 * noise
    elif label == "siren":
        waveform = 0.2 * np.sin(2 * np.pi * 1500 * seconds + 20 * np.sin(2 * np.pi * 2 * seconds)) + 1e-4 * noise
    elif label == "speech":
        waveform = 0.2 * np.sin(2 * np.pi * 200 * seconds) * (np.sin(2 * np.pi * 4 * seconds) > 0) + 1e-4 * noise
    elif label == "music":
        waveform = sum(0.1 * np.sin(2 * np.pi * hz * seconds) for hz in (440, 880, 1320)) + 1e-4 * noise
    elif label in ("street", "avenue"):
        waveform = np.convolve(0.1 * noise, np.ones(20) / 20, mode="same")
    else:
        waveform = 0.05 * noise
    return waveform.astype(np.float32)


def write_table(path: Path, rows: list[dict[str, object]]) -> None:
    """Rows as CSV; the keys of the first are the columns."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.DictWriter(stream, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def write_wav(path: Path, waveform: np.ndarray) -> None:
    """16-bit samples, whatever the name says: content decides what a file is."""
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, waveform, RATE, format="WAV", subtype="PCM_16")


def make_corpus(folder: Path) -> Path:
    """Write the whole corpus into ``folder``."""
    tables = {
        "esc50": _esc50(),
        "urbansound8k": _urbansound8k(),
        "ambience": _ambience(),
        "speech": _speech(),
        "music": _music(),
        "effects": _effects(),
    }
    rng = np.random.default_rng(0)
    for name, rows in tables.items():
        label_column = {"esc50": "category", "urbansound8k": "class", "music": "genre_or_instrument"}.get(name, "label")
        for row in rows:
            label = str(row.get(label_column, name)) if name not in ("speech", "music") else name
            write_wav(folder / name / "audio" / str(row["file"]), sound(label, float(str(row["duration_s"])), rng))
        write_table(folder / name / f"{name}.csv", rows)
        _write_teacher(folder / "teacher" / f"{name}.npz", rows, rng)
    spoken = [(str(row["file"]), onset) for row in tables["speech"] for onset in (0.0, 1.0)]
    write_table(
        folder / "speech/segments.csv",
        [{"file": file, "onset_s": onset, "offset_s": onset + 0.8, "category": "speech"} for file, onset in spoken],
    )
    write_table(
        folder / "teacher/audioset_classes.csv",
        [{"index": index, "display_name": name} for index, name in enumerate(TEACHER_CLASSES)],
    )
    responses = {"flat.wav": [0.9], "dull.wav": [0.5, 0.4]}
    for file, taps in responses.items():
        write_wav(folder / "irs" / file, np.array(taps, dtype=np.float32))
    write_table(folder / "irs/irs.csv", [{"file": file} for file in responses])
    return folder


def _esc50() -> list[dict[str, object]]:
    rows: list[dict[str, object]] = []
    for kind, category in enumerate(("dog", "rain", "siren")):
        for fold, validation in ((1, False), (2, False), (3, True), (5, False)):
            number = freesound_id(1000 * (kind + 1) + 100 * fold, validation=validation)
            file = f"{fold}-{number}-A-{kind}.ogg"
            row = {"file": file, "fold": fold, "category": category, "src_file": number, "duration_s": 2.0}
            rows.append({**row, "esc10": category != "siren"})
    return rows


def _urbansound8k() -> list[dict[str, object]]:
    tested = next(row["src_file"] for row in _esc50() if row["fold"] == 5)
    rows: list[dict[str, object]] = [
        {"file": f"fold1/{tested}-3-0-0.ogg", "fold": 1, "class": "dog_bark", "freesound_id": tested, "duration_s": 2.0}
    ]
    for kind, name in enumerate(("dog_bark", "siren")):
        for fold, validation in ((1, False), (2, True), (3, False)):
            number = freesound_id(10000 * (kind + 1) + 100 * fold, validation=validation)
            file = f"fold{fold}/{number}-{kind}-0-0.ogg"
            rows.append({"file": file, "fold": fold, "class": name, "freesound_id": number, "duration_s": 2.0})
    return rows


def _ambience() -> list[dict[str, object]]:
    durations = {"downpour": 12.0, "avenue": 6.0, "street": 21.0}
    return [{"file": f"{label}.ogg", "label": label, "duration_s": seconds} for label, seconds in durations.items()]


def _speech() -> list[dict[str, object]]:
    speakers = {
        "a": speaker("ann", validation=False),
        "b": speaker("bob", validation=True),
        "test_c": speaker("cleo", validation=False),
    }
    return [
        {"file": f"{file}.ogg", "language": "en", "speaker_or_package": name, "duration_s": 2.0}
        for file, name in speakers.items()
    ]


def _music() -> list[dict[str, object]]:
    names = [f"{track('anthem', validation=False)}_{start}.ogg" for start in (0, 16)]
    names.append(f"{track('ballad', validation=True)}_0.ogg")
    return [{"file": name, "genre_or_instrument": "pop", "duration_s": 1.5} for name in names]


def _effects() -> list[dict[str, object]]:
    names = {track("woof", validation=False): "woof", track("thud", validation=False): "thud"}
    return [{"file": f"{name}.ogg", "label": label, "duration_s": 0.6} for name, label in names.items()]


def _write_teacher(path: Path, rows: list[dict[str, object]], rng: np.random.Generator) -> None:
    files: list[str] = []
    onsets: list[float] = []
    for row in rows:
        duration_s = float(str(row["duration_s"]))
        n_windows = 1 if duration_s <= 5 else int(duration_s // 5) + (duration_s % 5 > 0.1)
        files += [str(row["file"])] * n_windows
        # the last one ends with its recording
        onsets += [min(5.0 * window, max(0.0, duration_s - 5)) for window in range(n_windows)]
    probability = np.full((len(files), len(TEACHER_CLASSES)), 0.01)
    if path.stem == "esc50":
        # under the first recording of rain the teacher hears speech
        probability[[row["category"] for row in rows].index("rain"), 0] = 0.6
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {
        "file": np.array(files),
        "onset_s": np.array(onsets, dtype=np.float32),
        "offset_s": np.array(onsets, dtype=np.float32) + np.float32(5),
        "probability": probability.astype(np.float16),
        "embedding": rng.standard_normal((len(files), EMBEDDING_SIZE)).astype(np.float16),
    }
    with zipfile.ZipFile(path, "w") as archive:  # numpy's savez has no room for an array called "file"
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w") as stream:
                np.lib.format.write_array(stream, array)
