"""spline: find which hinges of the MLPs the traced path crosses, and how densely they lie along it."""

from __future__ import annotations

import numpy as np
import torch

from plateaus.curves.rows import Columns, stack, with_pair
from plateaus.curves.trace import Inputs, Trace, read_inputs
from plateaus.data import tables
from plateaus.data.results import table_path
from plateaus.mechanism import mlp_jacobian, splines
from plateaus.model.mlp import Mlp
from plateaus.model.transformer import Transformer
from plateaus.sources.quiet import go_offline
from plateaus.stages.job import Job
from plateaus.stages.runner import run


def spline_layer(mlp: Mlp, trace: Trace | Inputs, layer: int) -> tuple[Columns, Columns]:
    """Return the rows of the tables `spline` and `codes` for one pair and layer."""
    read = trace.mlp_input[trace.layers.index(layer)].to(mlp.w_in.device)
    steps = len(trace.alphas)
    found = splines.density(mlp, read)
    midpoints = ((trace.alphas[1:] + trace.alphas[:-1]) / 2).numpy()
    between = {"layer": np.full(steps - 1, layer), "step": np.arange(steps - 1), "alpha": midpoints, **found._asdict()}
    packed = np.array([code.tobytes() for code in splines.codes(mlp, read)], dtype=object)
    return between, {"layer": np.full(steps, layer), "step": np.arange(steps), "code": packed}


def neuron_rows(mlp: Mlp, matrices: mlp_jacobian.Gram, trace: Trace | Inputs, layer: int, top: int) -> Columns:
    """Return the rows of the table `neurons`: per step, the `top` units whose switching would raise |J_fc|_F^2 most."""
    read = trace.mlp_input[trace.layers.index(layer)].to(mlp.w_in.device)
    found = splines.switches(mlp, matrices, read)
    best = found.switch.topk(min(top, found.switch.shape[-1]), dim=-1).indices
    steps, ranks = best.shape
    picked = {name: values.gather(1, best).flatten().cpu().numpy() for name, values in found._asdict().items()}
    return {
        "layer": np.full(steps * ranks, layer),
        "step": np.repeat(np.arange(steps), ranks),
        "rank": np.tile(np.arange(ranks), steps),
        "neuron": best.flatten().cpu().numpy(),
        **picked,
    }


def spline(job: Job) -> None:
    """Write the tables `spline`, `codes` and `neurons` of one shard; `neurons` is empty unless the MLPs are ReLU."""
    go_offline()
    torch.set_num_threads(job.threads)
    settings = job.slice
    traces = read_inputs(job.root, job.model, job.shard, job.model_folder, settings["bos"])
    model = Transformer.load(job.model_folder, device=job.device, centre=settings["centre"])
    layers = traces[0].layers if traces else ()
    densities, codes, neurons = [], [], []
    for number, layer in enumerate(layers, start=1):
        job.progress(f"layer {number} of {len(layers)}, {len(traces)} pairs")
        mlp = model.mlp(layer)
        matrices = mlp_jacobian.gram(mlp) if splines.is_relu(mlp) else None
        for trace in traces:
            name = trace.pair.pair.id
            between, packed = spline_layer(mlp, trace, layer)
            densities.append(with_pair(between, name))
            codes.append(with_pair(packed, name))
            if matrices is not None:
                neurons.append(with_pair(neuron_rows(mlp, matrices, trace, layer, settings["top_neurons"]), name))
    for table, found in ((tables.CODES, codes), (tables.NEURONS, neurons), (tables.SPLINE, densities)):
        data = tables.build(table, stack(found) if found else tables.no_rows(table, model.d_model))
        tables.write_table(table_path(job.root, job.model, table, job.shard), table, data, job.metadata())


if __name__ == "__main__":
    run("spline", spline)
