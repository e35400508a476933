import numpy as np
import pytest
import torch
from tiny_model import make_network
from torch import nn

from compactcli.descent import MAX_GRADIENT, learning_rate, make_optimiser, precision, take_step
from compactcli.recipe import OptimisationConfig


def test_the_learning_rate_warms_up_and_falls_to_one_hundredth():
    options = OptimisationConfig(steps=110, warmup_steps=10, learning_rate=0.5)
    rates = [learning_rate(step, options) for step in range(111)]
    assert rates[:10] == pytest.approx([0.05 * (step + 1) for step in range(10)])
    assert rates[10] == pytest.approx(0.5)
    assert rates[60] == pytest.approx(0.5 * (0.01 + 0.99 / 2))  # half-way down the cosine
    assert rates[110] == pytest.approx(0.005)
    assert (np.diff(rates[10:]) < 0).all()


def test_weight_decay_is_for_matrices_and_kernels():
    network, heads = make_network(), nn.Linear(3, 2)
    optimiser = make_optimiser([network, heads], OptimisationConfig(weight_decay=0.02, learning_rate=0.5))
    decayed, free = optimiser.param_groups
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.02, 0.0)
    assert (decayed["lr"], free["lr"]) == (0.5, 0.5)
    parameters = [*network.named_parameters(), *((f"heads.{name}", item) for name, item in heads.named_parameters())]
    assert len(decayed["params"]) + len(free["params"]) == len(parameters)
    names = {id(parameter): name for name, parameter in parameters}
    assert {names[id(item)].rpartition(".")[2] for item in decayed["params"]} == {"weight"}
    assert not any("norm" in names[id(item)] for item in decayed["params"])
    assert all(
        "norm" in name or "bias" in name or name.startswith("stem.1")
        for name in map(names.get, map(id, free["params"]))
    )


@pytest.mark.parametrize(("slope", "moved"), [(1.0, 1.0), (-3.0, 3.0), (100.0, MAX_GRADIENT)])
def test_a_step_goes_against_the_gradient_at_the_schedules_rate_and_never_too_far(slope, moved):
    weight = nn.Parameter(torch.zeros(()))
    optimiser = torch.optim.SGD([weight], lr=99.0)
    options = OptimisationConfig(steps=10, warmup_steps=4, learning_rate=0.8)
    for step in (0, 1):  # what the first step left behind does not count in the second
        before = weight.item()
        take_step(optimiser, slope * weight, step=step, options=options)
        assert weight.item() - before == pytest.approx(-np.sign(slope) * moved * 0.2 * (step + 1), rel=1e-4)


@pytest.mark.parametrize(
    ("name", "cpu", "dtype"),
    [
        ("bf16", "AVX512", torch.bfloat16),
        ("bf16", "SVE256", torch.bfloat16),
        ("fp32", "AVX512", torch.float32),
        # emulated there, many times as slowly
        ("bf16", "AVX2", torch.float32),
        ("bf16", "DEFAULT", torch.float32),
    ],
)
def test_precision_is_that_of_the_options_where_the_cpu_can(name, cpu, dtype, monkeypatch):
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: cpu)
    with precision(torch.device("cpu"), OptimisationConfig(precision=name)):
        assert nn.functional.linear(torch.ones(2, 2), torch.ones(2, 2)).dtype == dtype


def test_a_gpu_is_taken_at_the_options_word(monkeypatch):
    asked = []
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: "AVX2")
    monkeypatch.setattr(torch, "autocast", lambda device, dtype, *, enabled: asked.append((device, dtype, enabled)))
    precision(torch.device("cuda"), OptimisationConfig(precision="bf16"))
    assert asked == [("cuda", torch.bfloat16, True)]
