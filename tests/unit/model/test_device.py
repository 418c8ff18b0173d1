"""Accelerators: which ones are found, one job on each, sweeps without waiting, and the same numbers as on the CPU.

The test of the numbers needs an accelerator and is defined only on machines that have one.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from plateaus.config.reading import SCHEMA, load_schema, resolve
from plateaus.curves.rows import stack
from plateaus.curves.sweep import Group, sweep
from plateaus.model import accelerators
from plateaus.model.transformer import Transformer
from plateaus.plan import threads
from plateaus.prompts.pairs import Pair, tokenise_with_file
from plateaus.stages.extract import endpoints
from plateaus.stages.freeze import freeze_pair
from plateaus.stages.interpolate import Ends, interpolate_pairs
from plateaus.stages.jacobian import COMPONENTS, jacobian_layer, start
from tests import tiny
from tests.unit.stages.test_jacobian import traced

HERE = [kind for kind in ("cuda", "mps") if getattr(torch, kind).is_available()]
CONDITIONS = ("none", "attn_mean", "mlp_secant", "norm_mean")


class Waits(TorchDispatchMode):
    """Record the operations for which the host waits: they fetch a value, or a shape that depends on values."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func._overloadpacket.__name__ in {"_local_scalar_dense", "nonzero", "masked_select", "equal"}:
            self.seen.append(str(func))
        return func(*args, **(kwargs or {}))


# The bridge itself compares what Granite's blocks add with what a hook returns, so a sweep of Granite waits.
@pytest.mark.parametrize("kind", [kind for kind in tiny.SHAPES if kind != "granite"])
def test_a_sweep_never_waits_for_the_device(kind, tiny_folder):
    model = Transformer.load(tiny_folder(kind))
    prefix = model.prefix([1, 2, 3])
    groups = [Group(layer, torch.randn(5, model.d_model), one) for layer in (0, 2) for one in CONDITIONS]
    with Waits() as waits:
        *_, recording = sweep(model, prefix, groups, memory_gb=1.0)
        model.logits(recording.resid_post.flatten(0, 1))
    assert waits.seen == []
    with Waits() as waits:
        recording.resid_post.max().item()
    assert waits.seen != []


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Imitate a machine with three GPUs."""
    for name in ("0000:1a:00.0", "0000:1b:00.0", "0000:1c:00.0"):
        (tmp_path / "gpus" / name).mkdir(parents=True)
    monkeypatch.setattr(accelerators, "NVIDIA", tmp_path / "gpus")
    monkeypatch.setattr(accelerators.tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(accelerators, "_held", [])
    monkeypatch.delenv(accelerators.VISIBLE, raising=False)


def test_the_accelerators_of_a_machine(machine, monkeypatch):
    assert len(accelerators.names("auto")) == len(accelerators.names("cuda")) == 3
    assert accelerators.names("cpu") == []
    monkeypatch.setenv(accelerators.VISIBLE, "2,0")
    assert accelerators.names("auto") == ["2", "0"]
    monkeypatch.setenv(accelerators.VISIBLE, "")
    assert accelerators.names("cuda") == []


def test_a_machine_without_any(tmp_path, monkeypatch):
    monkeypatch.setattr(accelerators, "NVIDIA", tmp_path / "none")
    monkeypatch.setattr(accelerators.sys, "platform", "linux")
    monkeypatch.setenv(accelerators.VISIBLE, "0")  # a cluster's shell may set this on every machine
    assert accelerators.names("auto") == []
    monkeypatch.setattr(accelerators.sys, "platform", "darwin")
    monkeypatch.setattr(accelerators.platform, "machine", lambda: "arm64")
    assert accelerators.names("auto") == accelerators.names("mps") == ["mps"]


def test_every_job_takes_an_accelerator_that_no_other_has(machine):
    assert [accelerators.claim(3) for _ in range(3)] == [0, 1, 2]
    accelerators._held.pop(1).release()
    assert accelerators.claim(3) == 1


def test_the_cores_are_shared_out_over_the_accelerators(root):
    config = resolve(
        {"models": {"m": {"source": "embedded"}, "r": {"source": "random", "like": "m"}}, "prompts": {"shards": 4}},
        load_schema(root / SCHEMA),
    )
    assert threads.of_job(config, 16) == 2
    assert threads.of_job(config, 16, 1) == 16
    assert threads.of_job(config, 16, 4) == 4


def measured(model: Transformer, folder) -> dict[str, dict[str, np.ndarray]]:
    """Return everything that the stages measure for one pair, by stage and column."""
    (pair,) = tokenise_with_file(
        [Pair("house-big-in", "The house was", "big", "in", "")], folder / "tokenizer.json", "m"
    )
    ((residuals, _),) = endpoints(model, [pair])
    run = {"steps": 7, "path": "spherical", "memory_gb": 1.0}
    of_paths = interpolate_pairs(
        model, [Ends(pair, residuals.cpu())], layers=[0, 1, 3], trace_layer=0, top_tokens=2, **run
    )[0].interpolate
    frozen = freeze_pair(model, pair, residuals.cpu(), conditions=list(CONDITIONS), layers=[0], **run)
    _, trace = traced(folder, steps=7)
    state, jacobians = [start(model, trace)], []
    for layer in trace.layers:
        (found,), state = jacobian_layer(
            model, layer, state, components=list(COMPONENTS), exact=True, probes=4, memory_gb=1.0
        )
        jacobians.append(found)
    return {"interpolate": of_paths, "freeze": frozen, "jacobian": stack(jacobians)}


if HERE:

    @pytest.mark.parametrize("device", HERE)
    @pytest.mark.parametrize("kind", ["gpt2", "llama", "neox"])
    def test_the_same_numbers_on_an_accelerator(device, kind, tiny_folder):
        folder = tiny_folder(kind)
        expected = measured(Transformer.load(folder, device="cpu"), folder)
        found = measured(Transformer.load(folder, device=device), folder)
        for stage, columns in found.items():
            for name, values in columns.items():
                if np.issubdtype(values.dtype, np.floating):
                    np.testing.assert_allclose(values, expected[stage][name], rtol=1e-3, atol=1e-4, err_msg=name)
