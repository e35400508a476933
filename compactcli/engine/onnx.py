"""The onnx engine: numpy's log-mel and onnxruntime on the CPU, without torch."""

import itertools
import os
from collections import deque
from collections.abc import Iterable, Iterator
from pathlib import Path

from compactcli.checkpoint import GRAPH, read_config, verify
from compactcli.config import ModelConfig
from compactcli.engine.base import EngineStages, LogitChunk, Waveform, Window, cut_windows
from compactcli.errors import ModelError
from compactcli.logmel import LogMels, NumpyLogMel
from compactcli.onnx_runtime import onnxruntime, states

# threads that one recording keeps busy: decoding it is five times as fast as hearing it with one
MAX_THREADS = 6
# windows that are cut and not yet heard, so that no thread waits for the decoder
WAITING_WINDOWS = 1
INPUT, OUTPUTS = "log_mel", ["scene_logits", "event_logits"]
# what onnxruntime raises about a graph or its weights; they have no base of their own
GRAPH_ERRORS = (
    states.Fail,
    states.InvalidArgument,
    states.InvalidGraph,
    states.InvalidProtobuf,
    states.NoSuchFile,
    states.NotImplemented,
    states.RuntimeException,
)


class OnnxEngine:
    """Runs a model folder with onnxruntime on the CPU.

    Args:
        folder: Model folder with a graph.
        graph: A network alone that ``compact export`` wrote of the model, to run in place of the folder's own.
        threads: Threads of this engine, each of which hears a window of its own while another decodes; None takes
            ``OMP_NUM_THREADS``, or else one for each core that the process may use. More than six are not used.

    Raises:
        ModelError: The folder or the graph cannot be loaded, or they do not belong together.
    """

    device = "cpu"
    name = "onnx"
    precision = "fp32"

    def __init__(self, folder: Path, *, graph: Path | None = None, threads: int | None = None) -> None:
        self.config = read_config(folder)
        verify(folder, self.config)
        self._threads = min(usable_threads() if threads is None else threads, MAX_THREADS)
        path = _own_graph(folder, self.config) if graph is None else graph
        hint = "reinstall the model" if graph is None else "write it with compact export --no-frontend"
        self._session = _open_session(path, hint=hint)
        _check_shapes(path, self._session, self.config, hint=hint)
        if graph is not None:
            _check_origin(path, self._session, self.config)
        self._log_mel = NumpyLogMel(self.config.features)

    def stream(self, blocks: Iterable[Waveform]) -> Iterator[LogitChunk]:
        """See `compactcli.engine.base.Engine.stream`."""
        windows = cut_windows(blocks, config=self.config, context_frames=self.config.network.context_frames)
        first = list(itertools.islice(windows, min(2, self._threads)))
        windows = itertools.chain(first, windows)
        if len(first) < 2:
            yield from map(self._hear, windows)
            return
        from concurrent.futures import Future, ThreadPoolExecutor  # not for the one window of a short recording

        running: deque[Future[LogitChunk]] = deque()
        with ThreadPoolExecutor(max_workers=self._threads) as listeners:
            for window in windows:
                running.append(listeners.submit(self._hear, window))
                if len(running) > self._threads + WAITING_WINDOWS:
                    yield running.popleft().result()
            while running:
                yield running.popleft().result()

    def stages(self) -> EngineStages:
        """See `compactcli.engine.base.StagedEngine.stages`."""
        return EngineStages(log_mel=self._log_mel.of_padded, network=self._logits)

    def _hear(self, window: Window) -> LogitChunk:
        return window.keep(self._logits(self._log_mel.of_padded(window.waveform)))

    def _logits(self, log_mel: LogMels) -> LogitChunk:
        scenes, events = self._session.run(OUTPUTS, {INPUT: log_mel[None]})
        return LogitChunk(scenes=scenes[0], events=events[0])


def usable_threads() -> int:
    """Threads to use where nobody said how many: ``OMP_NUM_THREADS``, or the cores that this process may use."""
    asked = os.environ.get("OMP_NUM_THREADS", "")
    if asked.isdecimal() and int(asked) > 0:
        return int(asked)
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _own_graph(folder: Path, config: ModelConfig) -> Path:
    path = folder / GRAPH
    if GRAPH not in config.sha256:
        found = "hold no sha256 of it" if path.exists() else "name none"
        raise ModelError(
            f"the onnx engine needs '{path}', the model's settings {found}",
            hint="use --engine torch, or write the model folder again with the package onnx installed",
        )
    return path


def _open_session(path: Path, *, hint: str) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    # each window has one thread, whose scores do not depend on how many there are
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # plans of memory for each new length of input cost more than they save: 13 MB on a long recording
    options.enable_mem_pattern = False
    options.log_severity_level = 3  # errors, which are raised as well; warnings are for whoever made the graph
    try:
        return onnxruntime.InferenceSession(os.fspath(path), options, providers=["CPUExecutionProvider"])
    except GRAPH_ERRORS as error:
        reason = " ".join(str(error).split())[:200]
        raise ModelError(f"graph '{path}' cannot be loaded: {reason}", hint=hint) from error


def _check_shapes(path: Path, session: onnxruntime.InferenceSession, config: ModelConfig, *, hint: str) -> None:
    found = {item.name: list(item.shape) for item in (*session.get_inputs(), *session.get_outputs())}
    frames = {name: [length if isinstance(length, int) else "n" for length in found[name]] for name in found}
    expected = {
        INPUT: [1, config.features.n_mels, "n"],
        OUTPUTS[0]: [1, "n", len(config.scenes)],
        OUTPUTS[1]: [1, "n", len(config.events)],
    }
    if frames != expected:
        raise ModelError(f"graph '{path}' has inputs and outputs {frames}, expected {expected}", hint=hint)


def _check_origin(path: Path, session: onnxruntime.InferenceSession, config: ModelConfig) -> None:
    facts = session.get_modelmeta().custom_metadata_map
    found, expected = (facts.get("name"), facts.get("version")), (config.name, config.version)
    if found != expected:
        raise ModelError(
            f"graph '{path}' says that it is of model {found[0]}, version {found[1]}, expected {config.name}, "
            f"version {config.version}",
            hint="name the model that it was exported from",
        )
