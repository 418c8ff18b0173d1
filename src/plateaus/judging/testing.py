"""Run the claims' tests over the models of a run."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import pyarrow.compute as pc
import pyarrow.parquet as pq

from plateaus.data import tables
from plateaus.data.results import Results
from plateaus.judging.evidence import Evidence, Filters, Source
from plateaus.judging.interface import Claim, NotTested, Rules
from plateaus.judging.module import ClaimModule
from plateaus.judging.verdicts import Tested


class Models(NamedTuple):
    """The models of a run.

    Attributes:
        names: Ids of the models, in the config's order.
        controls: Model to the model with the same architecture and random weights.
        random: Ids of the models with random weights.
        without_layernorm: Model whose LayerNorm was removed, to the first of its `controls`, a model with the same
            fine-tuning and LayerNorm; "" if the config names none.
    """

    names: tuple[str, ...]
    controls: Mapping[str, str]
    random: frozenset[str]
    without_layernorm: Mapping[str, str] = {}


def from_results(results: Results) -> Source:
    """Return a source that reads the tables of a run from disk and keeps what it has read.

    Each shard is filtered before the next one is read, because the tables of curves have tens of millions of rows.
    """
    kept: dict[tuple[object, ...], pd.DataFrame | None] = {}

    def read(model: str, table: str, columns: Sequence[str], filters: Filters) -> pd.DataFrame | None:
        wanted = (model, table, tuple(columns), tuple((name, tuple(values)) for name, values in filters.items()))
        if wanted not in kept:
            declared = tables.TABLES.get(table)
            paths = [] if declared is None else results.paths(model, declared)
            parts = [_part(path, columns, filters) for path in paths]
            there = [part for part in parts if part is not None]
            kept[wanted] = pd.concat(there, ignore_index=True) if there and len(there) == len(parts) else None
        found = kept[wanted]
        return None if found is None else found.copy()

    return read


def _part(path: Path, columns: Sequence[str], filters: Filters) -> pd.DataFrame | None:
    if not path.is_file() or not {*columns, *filters} <= set(pq.read_schema(path).names):
        return None
    expression = None
    for name, values in filters.items():
        one = pc.field(name).isin(list(values))
        expression = one if expression is None else expression & one
    data = pq.read_table(path, columns=list(columns), filters=expression, partitioning=None)
    frame: pd.DataFrame = data.to_pandas()
    for name in frame.columns:
        if isinstance(frame[name].dtype, pd.CategoricalDtype):
            frame[name] = frame[name].astype(object)
    return frame


def run_all(
    modules: Iterable[ClaimModule],
    source: Source,
    models: Models,
    *,
    trace_layer: int,
    rules: Rules,
    progress: Callable[[str], None] = lambda text: None,
) -> list[Tested]:
    """Test every claim on every model.

    Args:
        modules: The claims' modules.
        source: Where to read tables.
        models: The models of the run.
        trace_layer: The interpolation layer of the trace.
        rules: The decision rules.
        progress: Called with a line of text after each test.

    Returns:
        One result per claim and model: claims in the given order, and for each of them the models.
    """
    found = []
    for module in modules:
        for model in models.names:
            evidence = Evidence(
                source,
                module.CLAIM,
                model=model,
                control=models.controls.get(model),
                is_control=model in models.random,
                with_layernorm=models.without_layernorm.get(model),
                trace_layer=trace_layer,
                rules=rules,
            )
            found.append(run_one(module, evidence))
            progress(f"{module.CLAIM.id} {model}: {found[-1].reason or 'tested'}")
    return found


def pooled_of(source: Source, model: str, rules: Rules) -> list[str]:
    """Return the ids of the pooled pairs of a model, even if they are fewer than `Rules.min_pairs`."""
    nothing = Claim("", "", "", "", {}, 0)
    evidence = Evidence(
        source, nothing, model=model, control=None, is_control=False, trace_layer=0, rules=rules._replace(min_pairs=0)
    )
    try:
        return evidence.pooled
    except NotTested:
        return []


def run_one(module: ClaimModule, evidence: Evidence) -> Tested:
    """Test one claim on one model; if it cannot be tested, the result has the reason in place of a finding."""
    claim = module.CLAIM
    try:
        if evidence.is_control and not claim.on_controls:
            raise NotTested("this model has random weights and is itself the control")
        if claim.needs_control:
            evidence.control_model()
        finding = module.test(evidence)
    except NotTested as reason:
        values = reason.values
        published = {pair: values[pair] for pair in evidence.published if np.isfinite(values.get(pair, np.nan))}
        return Tested(evidence.model, claim, None, str(reason), published)
    if not np.isfinite([finding.estimate, finding.p]).all():
        return Tested(evidence.model, claim, None, "its measure has no finite value on these pairs", {})
    return Tested(evidence.model, claim, finding, "", {})
