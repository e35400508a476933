import dataclasses
import json
import math
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from compactcli.checkpoint import load_network, save_model
from compactcli.config import ModelConfig
from compactcli.datasets import DROPPED, TEST, VALIDATION, read_corpus
from compactcli.engine import load_engine
from compactcli.errors import CompactError, ConfigError, ManifestError
from compactcli.evaluation import hear, tag_scores
from compactcli.heldout import HeldOut
from compactcli.mixing import Mixer
from compactcli.plans import Planner
from compactcli.training import (
    build_network,
    load_training_data,
    train,
    validate,
)


class StoppedError(Exception):
    """What a test stops a run with."""


@pytest.fixture
def run(tiny_corpus, tiny_cache, tiny_recipe, tmp_path):
    """Train the tiny recipe into a folder, stopping at the report of step ``stop_at``."""

    def run_into(name, *, stop_at=None, recipe=tiny_recipe, corpus=tiny_corpus, start=None):
        reports = []

        def report(progress):
            reports.append(progress)
            if progress.step == stop_at:
                raise StoppedError

        network = train(
            recipe,
            corpus,
            tmp_path / name,
            cache=tiny_cache,
            device=torch.device("cpu"),
            report=report,
            start=start,
        )
        return network, reports

    return run_into


def with_steps(recipe, **settings):
    return dataclasses.replace(recipe, optimisation=dataclasses.replace(recipe.optimisation, **settings))


# ---------------------------------------------------------------- data


def test_the_network_has_the_recipes_heads(tiny_recipe):
    scenes, events = build_network(tiny_recipe).eval()(torch.randn(2, 16, 50))
    assert scenes.shape == (2, 25, 3)
    assert events.shape == (2, 25, 5)


def test_training_data_are_all_recordings_that_are_not_dropped(tiny_corpus, tiny_cache, tiny_recipe):
    bank, curves = load_training_data(tiny_corpus, tiny_recipe, cache=tiny_cache)
    assert list(bank.recordings) == [item for item in read_corpus(tiny_corpus, tiny_recipe) if item.split != DROPPED]
    assert curves.shape == (2, 16)
    assert curves[0] == pytest.approx(np.zeros(16), abs=1e-3)  # one sample is a flat response
    assert curves[1][0] > curves[1][-1] + 10  # two samples of one sign lose the high bands


def test_a_corpus_that_does_not_fit_is_refused(run, tmp_path):
    with pytest.raises(ManifestError, match="esc50.csv' cannot be read"):
        run("output", corpus=tmp_path)


# ---------------------------------------------------------------- the run


def test_a_run_reports_and_logs(run, tiny_recipe, tmp_path):
    network, reports = run("output")
    assert [progress.step for progress in reports] == [2, 4, 6]
    for progress in reports:
        assert progress.steps == 6
        assert set(progress.losses) == {"frame", "tag", "weak", "scene", "teacher", "embedding"}
        assert all(math.isfinite(value) for value in progress.losses.values())
        assert set(progress.metrics) == {"esc50", "urbansound8k", "scenes"}
        assert all(0 <= value <= 1 for value in progress.metrics.values())
        assert progress.clips_per_s > 0
    lines = (tmp_path / "output/log.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["step"] for line in lines] == [2, 4, 6]
    assert json.loads(lines[-1])["losses"] == reports[-1].losses
    assert not network.training
    assert {path.name for path in (tmp_path / "output").iterdir()} == {"log.jsonl", "state.pt"}


def test_training_changes_every_weight_and_lowers_the_loss(run, tiny_recipe):
    longer = with_steps(tiny_recipe, steps=60, warmup_steps=5, validate_every=30, save_every=60, batch_size=8)
    network, reports = run("output", recipe=longer)
    first, last = (sum(progress.losses.values()) for progress in (reports[0], reports[-1]))
    assert last < 0.9 * first
    torch.manual_seed(longer.seed)
    fresh = dict(build_network(longer).named_parameters())
    unchanged = [name for name, weight in network.named_parameters() if torch.equal(weight, fresh[name])]
    assert unchanged == []


@pytest.mark.parametrize("stop_at", [2, 4, 6])
def test_a_stopped_run_goes_on_as_if_it_had_not_stopped(run, tiny_recipe, stop_at):
    recipe = with_steps(tiny_recipe, dropout=0.3)
    whole, whole_reports = run("whole", recipe=recipe)
    with pytest.raises(StoppedError):
        run("stopped", stop_at=stop_at, recipe=recipe)
    resumed, reports = run("stopped", recipe=recipe)
    # the state is saved after the report, so the stopped step is done again
    assert [progress.step for progress in reports] == [step for step in (2, 4, 6) if step >= stop_at]
    for name, weight in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], weight), name
    assert reports[-1].losses == whole_reports[-1].losses
    assert reports[-1].metrics == whole_reports[-1].metrics


def test_a_finished_run_is_not_done_again(run):
    whole, _ = run("output")
    again, reports = run("output")
    assert reports == []
    for name, weight in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], weight), name


def test_another_seed_gives_other_weights(run, tiny_recipe):
    one, _ = run("one")
    other, _ = run("other", recipe=dataclasses.replace(tiny_recipe, seed=4))
    assert not torch.equal(one.event_head.weight, other.event_head.weight)


def test_the_state_of_another_recipe_is_refused(run, tiny_recipe, tmp_path):
    run("output")
    before = (tmp_path / "output/state.pt").read_bytes()
    other = with_steps(tiny_recipe, learning_rate=1e-3)
    with pytest.raises(
        ConfigError, match=r"'.*state.pt' was saved by another recipe, from another start or on another corpus"
    ) as error:
        run("output", recipe=other)
    assert "empty --output folder" in error.value.hint
    assert (tmp_path / "output/state.pt").read_bytes() == before


def test_the_state_of_another_start_is_refused(run, tiny_model):
    run("output")
    with pytest.raises(ConfigError, match=r"was saved by another recipe, from another start or on another corpus"):
        run("output", start=tiny_model)


def test_the_state_of_another_corpus_is_refused(run, tiny_corpus, tmp_path):
    run("output")
    shutil.copytree(tiny_corpus, tmp_path / "moved")
    run("output", corpus=tmp_path / "moved")  # the same wherever it lies
    table = tmp_path / "moved/esc50/esc50.csv"
    lines = table.read_text(encoding="utf-8").splitlines(keepends=True)
    table.write_text("".join(lines[:-1]), encoding="utf-8")
    with pytest.raises(ConfigError, match=r"was saved by another recipe, from another start or on another corpus"):
        run("output", corpus=tmp_path / "moved")


@pytest.mark.parametrize("content", [{"step": 3}, [1, 2]])
def test_a_state_that_is_none_is_refused(run, tmp_path, content):
    (tmp_path / "output").mkdir()
    torch.save(content, tmp_path / "output/state.pt")
    with pytest.raises(ConfigError, match=r"state.pt' is no training state") as caught:
        run("output")
    assert caught.value.hint == "remove the file to start afresh"


def test_a_full_disk_is_said_and_the_last_state_stays(run, tiny_recipe, tmp_path, monkeypatch):
    with pytest.raises(StoppedError):
        run("output", stop_at=4)
    before = (tmp_path / "output/state.pt").read_bytes()

    def fail(path, _content):
        path.touch()
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_bytes", fail)
        with pytest.raises(CompactError, match=r"state.pt' cannot be written \(No space left on device\)") as caught:
            run("output")
    assert "it goes on from what was saved last" in caught.value.hint
    assert {path.name for path in (tmp_path / "output").iterdir()} == {"state.pt", "log.jsonl"}
    assert (tmp_path / "output/state.pt").read_bytes() == before


def test_the_log_of_a_run_that_went_on_is_that_of_one_that_did_not(run, tiny_recipe, tmp_path):
    recipe = with_steps(tiny_recipe, validate_every=1, save_every=2)
    run("whole", recipe=recipe)
    with pytest.raises(StoppedError):
        run("stopped", recipe=recipe, stop_at=3)
    with (tmp_path / "stopped/log.jsonl").open("a", encoding="utf-8") as stream:
        stream.write('{"step": 4, "los')  # as a process that is killed leaves it
    run("stopped", recipe=recipe)

    def losses(name):
        lines = [json.loads(line) for line in (tmp_path / name / "log.jsonl").read_text().splitlines()]
        return [(line["step"], line["losses"]) for line in lines]

    assert [step for step, _ in losses("stopped")] == [1, 2, 3, 4, 5, 6]
    assert losses("stopped") == losses("whole")


def test_nothing_is_left_behind_where_nothing_can_be_trained(run, tiny_recipe, tmp_path):
    everything = dataclasses.replace(tiny_recipe.split, folders=("esc50",), test_folds={"esc50": tuple("12345")})
    with pytest.raises(ManifestError, match=r"corpus '.*' has no recordings that train under recipe 'tiny'"):
        run("output", recipe=dataclasses.replace(tiny_recipe, split=everything))
    assert not (tmp_path / "output").exists()


def test_a_corpus_of_one_table_is_enough(run, tiny_corpus, tiny_recipe, tmp_path):
    shutil.copytree(tiny_corpus / "esc50", tmp_path / "own/esc50")
    alone = dataclasses.replace(
        tiny_recipe,
        split=dataclasses.replace(tiny_recipe.split, folders=("esc50",)),
        mix=dataclasses.replace(tiny_recipe.mix, response_probability=0.0),
        events=dataclasses.replace(tiny_recipe.events, unsure=(), teacher={}),
    )
    with pytest.raises(ManifestError, match=r"teacher outputs of 'esc50' cannot be read") as caught:
        run("output", recipe=alone, corpus=tmp_path / "own")
    assert "set teacher_weight and embedding_weight to 0" in caught.value.hint
    alone = with_steps(alone, teacher_weight=0.0, embedding_weight=0.0)
    _, reports = run("output", recipe=alone, corpus=tmp_path / "own")
    assert reports[-1].losses["teacher"] == reports[-1].losses["embedding"] == 0
    assert reports[-1].losses["tag"] > 0


def test_trained_weights_are_averaged_with_those_of_the_start(run, tiny_model, tiny_recipe):
    _, start = load_network(tiny_model)
    trained, _ = run("trained", start=tiny_model)
    averaged, _ = run("averaged", start=tiny_model, recipe=with_steps(tiny_recipe, start_share=0.25))
    began, ended, mean = start.state_dict(), trained.state_dict(), averaged.state_dict()
    statistics = {name for name in mean if "running" in name or "batches" in name}
    for name in mean.keys() - statistics:
        torch.testing.assert_close(mean[name], 0.25 * began[name] + 0.75 * ended[name])
    # those of the average of the networks are not the average of their statistics
    name = "stages.0.norm.running_var"
    assert not torch.allclose(mean[name], 0.25 * began[name] + 0.75 * ended[name], rtol=1e-3)
    again, _ = run("averaged", start=tiny_model, recipe=with_steps(tiny_recipe, start_share=0.25))
    for name, weight in mean.items():
        assert torch.equal(again.state_dict()[name], weight), name
    assert all(module.momentum == 0.1 for module in averaged.modules() if isinstance(module, torch.nn.BatchNorm2d))


def test_an_average_with_a_start_needs_a_start(run, tiny_recipe):
    with pytest.raises(ConfigError, match=r"recipe 'tiny' has start_share 0.5, but no model to start from was given"):
        run("output", recipe=with_steps(tiny_recipe, start_share=0.5))


def test_the_heads_do_without_dropped_channels(run, tiny_recipe):
    whole, _ = run("whole")
    dropped, reports = run("dropped", recipe=with_steps(tiny_recipe, dropout=0.5))
    assert not torch.equal(whole.event_head.weight, dropped.event_head.weight)
    assert all(np.isfinite(value) for value in reports[-1].losses.values())


def test_mixed_precision_trains_too(run, tiny_recipe):
    _, reports = run("output", recipe=with_steps(tiny_recipe, precision="bf16", steps=3))
    assert all(math.isfinite(value) for value in reports[-1].losses.values())


# ---------------------------------------------------------------- validation


def test_validation_agrees_with_the_evaluation_of_the_same_recordings(
    tiny_corpus, tiny_cache, tiny_recipe, tiny_bank, tmp_path
):
    torch.manual_seed(1)
    network = build_network(tiny_recipe).eval()
    config = ModelConfig(
        name="x",
        version="1",
        scenes=tuple(tiny_recipe.scenes),
        events=tiny_recipe.events.classes,
        features=tiny_recipe.features,
        network=tiny_recipe.network,
    )
    save_model(tmp_path, config, network)
    engine = load_engine(tmp_path, device="cpu")
    held_out = HeldOut(tiny_corpus, tiny_recipe, split=VALIDATION, cache=tiny_cache)
    tags, scenes = {}, {}
    for item in held_out.recordings:
        heard = hear(engine, held_out.waveform(item))
        if item.folder in ("esc50", "urbansound8k") and item.event:
            best = config.events[int(tag_scores(heard.events, config.calibration).argmax())]
            tags.setdefault(item.folder, []).append(best == item.event)
        if item.scene:
            scenes.setdefault(item.scene, []).append(config.scenes[int(heard.scenes.argmax())] == item.scene)
    # a clip as long as the recordings, so that nothing is padded or cut
    planner = Planner(tiny_bank, tiny_recipe, split=VALIDATION, clip_s=2.0)
    found = validate(network, Mixer(planner, curves=None, device=torch.device("cpu")))
    expected = {name: np.mean(values) for name, values in tags.items()}
    expected["scenes"] = np.mean([np.mean(values) for values in scenes.values()])
    assert found == pytest.approx(expected)


def test_validation_says_nothing_about_what_no_recording_stands_for(tiny_bank, tiny_recipe):
    chosen = {"music", "speech"}
    recordings = tuple(
        dataclasses.replace(item, split=TEST) if item.folder not in chosen else dataclasses.replace(item, scene=None)
        for item in tiny_bank.recordings
    )
    bank = dataclasses.replace(tiny_bank, recordings=recordings)
    planner = Planner(bank, tiny_recipe, split=VALIDATION, clip_s=1.0)
    mixer = Mixer(planner, curves=None, device=torch.device("cpu"))
    assert validate(build_network(tiny_recipe), mixer) == {}


@pytest.mark.parametrize("content", [b"", b"not a training state"])
def test_a_damaged_state_is_refused(run, tmp_path, content):
    (tmp_path / "output").mkdir()
    (tmp_path / "output/state.pt").write_bytes(content)
    with pytest.raises(ConfigError, match=r"training state '.*state.pt' cannot be read"):
        run("output")


def test_training_can_start_from_a_model(run, tiny_model, tiny_recipe):
    # a learning rate of next to nothing leaves the weights where they started
    recipe = with_steps(tiny_recipe, learning_rate=1e-12)
    network, _ = run("output", recipe=recipe, start=tiny_model)
    _, first = load_network(tiny_model)
    torch.testing.assert_close(network.event_head.weight, first.event_head.weight)
    torch.testing.assert_close(network.stem[0].weight, first.stem[0].weight)


def grown(recipe, *, stages=0, context=0):
    network = recipe.network
    *early, last = network.stages
    longer = (*early, dataclasses.replace(last, n_blocks=last.n_blocks + stages))
    added = (dataclasses.replace(last, n_blocks=context, kernel_size=(1, 5)),) if context else ()
    return dataclasses.replace(
        recipe, network=dataclasses.replace(network, stages=longer, context=(*network.context, *added))
    )


def test_blocks_that_the_first_model_lacks_begin_as_the_identity(run, tiny_model, tiny_recipe):
    recipe = grown(with_steps(tiny_recipe, learning_rate=1e-12), stages=1, context=2)
    network, _ = run("output", recipe=recipe, start=tiny_model)
    _, first = load_network(tiny_model)
    torch.testing.assert_close(network.event_head.weight, first.event_head.weight)
    added = [*network.stages[len(first.stages) :], *network.context[len(first.context) :]]
    assert len(added) == 3
    x = torch.rand(2, first.embedding_size, 4, 9)
    for block in added:
        torch.testing.assert_close(block(x), x)
        assert block.convolution.depthwise.weight.abs().min() > 0


@pytest.mark.parametrize(
    "change",
    [
        lambda network: dataclasses.replace(network, stem_channels=8),
        lambda network: dataclasses.replace(network, operation="mean"),
        lambda network: dataclasses.replace(network, context=()),
        # the same shapes, but the frequency axis is halved once more instead of a residual block
        lambda network: dataclasses.replace(network, stages=(*network.stages, network.stages[-1])),
    ],
    ids=["width", "operation", "fewer blocks", "another stage"],
)
def test_a_model_of_another_shape_is_no_start(run, tiny_model, tiny_recipe, change):
    other = dataclasses.replace(tiny_recipe, network=change(tiny_recipe.network))
    with pytest.raises(ConfigError, match="has another network, other features or other classes than recipe 'tiny'"):
        run("output", recipe=other, start=tiny_model)
