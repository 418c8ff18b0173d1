"""What a claim's test is given: one model's tables, cut to what it asks for, and which pairs count.

Pairs of the suite (tag ``suite``) in natural contexts (tag ``natural``) are pooled. Random-token and empty contexts
are controls, shown apart; published pairs (tag ``published``) are never pooled with anything.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Protocol

import numpy as np
import pandas as pd

from plateaus.judging import statistics
from plateaus.judging.interface import MET, Claim, Finding, NotTested, Rules, Secondary, Side
from plateaus.judging.statistics import Dependence, Interval

Filters = Mapping[str, Sequence[Any]]
"""Column to the values of it that are wanted."""

SUITE, NATURAL, PUBLISHED = "suite", "natural", "published"


class Source(Protocol):
    """Where tables come from: results on disk, or data frames in tests."""

    def __call__(self, model: str, table: str, columns: Sequence[str], filters: Filters) -> pd.DataFrame | None:
        """Some columns and rows of a table over all shards; None where there is no such table or column."""
        ...


class Evidence:
    """One model's evidence for one claim.

    Attributes:
        model: Id of the model.
        claim: What is tested.
        control: Id of the model with the same architecture and random weights, None where there is none.
        is_control: Whether this model has random weights itself.
        with_layernorm: For a model whose LayerNorm was removed, the id of its fair control ("" where none is named);
            None for every other model.
        trace_layer: The interpolation layer of the traced path.
        rules: The decision rules.
    """

    def __init__(
        self,
        source: Source,
        claim: Claim,
        *,
        model: str,
        control: str | None,
        is_control: bool,
        trace_layer: int,
        rules: Rules,
        with_layernorm: str | None = None,
    ) -> None:
        self._source, self.claim, self.rules = source, claim, rules
        self.model, self.control, self.is_control, self.trace_layer = model, control, is_control, trace_layer
        self.with_layernorm = with_layernorm

    def table(self, name: str, filters: Filters | None = None, *, model: str | None = None) -> pd.DataFrame:
        """The columns of a table that the claim declares, and the rows that fit.

        Raises:
            NotTested: the table, a column or every such row is missing.
        """
        columns = self.claim.needs[name]
        frame = self._source(model or self.model, name, columns, filters or {})
        where = "" if model is None else f" of {model}"
        if frame is None:
            raise NotTested(f"the table {name}{where} with the columns {', '.join(columns)} is not there")
        if frame.empty:
            wanted = ", ".join(f"{key} {' or '.join(map(str, values))}" for key, values in (filters or {}).items())
            raise NotTested(f"the table {name}{where} has no rows{f' with {wanted}' if wanted else ''}")
        for column in frame.columns:
            if isinstance(frame[column].dtype, pd.CategoricalDtype):
                frame[column] = frame[column].astype(object)
        return frame

    def rows(self, name: str, filters: Filters) -> pd.DataFrame | None:
        """As `table`, for what a claim can do without: None where it is missing."""
        try:
            return self.table(name, filters)
        except NotTested:
            return None

    def control_model(self) -> str:
        """The model with random weights.

        Raises:
            NotTested: there is none.
        """
        if self.control is None:
            raise NotTested(f"the run has no model with random weights that is like {self.model}")
        return self.control

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """All pairs of the run: id as index; context, a, b, tags."""
        columns = ("pair", "context", "a", "b", "tags")
        frame = self._source(self.model, "endpoints", columns, {})
        if frame is None or frame.empty:
            raise NotTested("the table endpoints is not there")
        return frame.assign(pair=frame["pair"].astype(str)).set_index("pair").sort_index()

    def tagged(self, *tags: str, without: Sequence[str] = ()) -> list[str]:
        """Ids of the pairs that have all of some tags and none of others."""
        listed = self.pairs["tags"].fillna("").map(lambda text: {tag.strip() for tag in str(text).split(";")})
        return [str(pair) for pair, own in listed.items() if set(tags) <= own and not own & set(without)]

    @cached_property
    def pooled(self) -> list[str]:
        """Ids of the pairs that are pooled: of the suite, in natural contexts.

        Raises:
            NotTested: fewer than the rules ask for.
        """
        found = self.tagged(SUITE, NATURAL, without=(PUBLISHED,))
        if len(found) < self.rules.min_pairs:
            have = f"{len(found)} pairs" if found else "no pairs"
            raise NotTested(
                f"the run has {have} of the suite in natural contexts, and claims.min_pairs is {self.rules.min_pairs}"
            )
        return found

    @property
    def published(self) -> list[str]:
        """Ids of the published pairs, none where the pairs are not known."""
        try:
            return self.tagged(PUBLISHED)
        except NotTested:
            return []

    @property
    def controls(self) -> list[str]:
        """Ids of the suite's pairs in contexts that are not natural."""
        return self.tagged(SUITE, without=(NATURAL, PUBLISHED))

    def usable(self, values: Mapping[str, float]) -> list[str]:
        """The pooled pairs whose value is known.

        Raises:
            NotTested: fewer than the rules ask for.
        """
        try:
            pooled = self.pooled
        except NotTested as reason:
            raise NotTested(str(reason), values) from None
        found = [pair for pair in pooled if np.isfinite(values.get(pair, np.nan))]
        if len(found) < self.rules.min_pairs:
            raise NotTested(
                f"{len(found)} of {len(pooled)} pairs have a value of '{self.claim.measure}', and claims.min_pairs is "
                f"{self.rules.min_pairs}",
                values,
            )
        return found

    def dependence(self, pairs: Sequence[str]) -> Dependence:
        """Which of some pairs share words or contexts."""
        rows = self.pairs.loc[list(pairs)]
        return statistics.dependence(
            rows["a"].tolist(), rows["b"].tolist(), rows["context"].tolist(), self.rules.min_contexts
        )

    def interval(self, statistic: Callable[[Any], Any], among: Dependence, what: str) -> Interval:
        """The crossed bootstrap's interval; `what` keeps the draws of different measures apart."""
        seed = [self.rules.seed, zlib.crc32(f"{self.claim.id}/{self.model}/{what}".encode())]
        return statistics.interval(statistic, among, self.rules.alpha, self.rules.resamples, seed)

    # ---- putting pairs together ------------------------------------------------------------------

    def median(self, values: Mapping[str, float], *, side: Side = MET, secondary: Sequence[Secondary] = ()) -> Finding:
        """The median over pairs, tested by signed ranks: for values that are symmetric if there is nothing."""
        return self._located(values, "median", side, secondary)

    def mean(self, values: Mapping[str, float], *, side: Side = MET, secondary: Sequence[Secondary] = ()) -> Finding:
        """The mean over pairs, tested by t: for values whose mean, but not whose median, is 0 if there is nothing."""
        return self._located(values, "mean", side, secondary)

    def _located(self, values: Mapping[str, float], kind: str, side: Side, secondary: Sequence[Secondary]) -> Finding:
        pairs = self.usable(values)
        x = np.array([values[pair] for pair in pairs])
        among = self.dependence(pairs)
        centre = statistics.weighted_median if kind == "median" else statistics.weighted_mean
        low, high = np.clip(self.interval(lambda weights: centre(x, weights), among, "primary"), *self.claim.bounds)
        off = x - self.claim.null
        p = statistics.signed_rank(off, among) if kind == "median" else statistics.mean_test(off, among)
        estimate = float(centre(x, np.ones((1, len(x))))[0])
        return Finding(
            estimate,
            float(low),
            float(high),
            p,
            len(x),
            standardised(off),
            kind,
            dict(values),
            side=side,
            secondary=tuple(secondary),
        )

    def secondary(
        self,
        measure: str,
        values: Mapping[str, float],
        kind: str = "median",
        bounds: tuple[float, float] = (-np.inf, np.inf),
    ) -> Secondary | None:
        """A further measure's median or mean over the pooled pairs; None where fewer have it than the rules ask for."""
        pairs = [pair for pair in self.pooled if np.isfinite(values.get(pair, np.nan))]
        if len(pairs) < self.rules.min_pairs:
            return None
        x = np.array([values[pair] for pair in pairs])
        centre = statistics.weighted_median if kind == "median" else statistics.weighted_mean
        found = self.interval(lambda weights: centre(x, weights), self.dependence(pairs), measure)
        low, high = (float(side) for side in np.clip(found, *bounds))
        return Secondary(f"{kind} of {measure}", float(centre(x, np.ones((1, len(x))))[0]), low, high, len(x))


def standardised(values: Any) -> float:
    """Mean over standard deviation; 0 where values do not vary about 0."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return float(np.mean(values)) / spread if spread > 0 else 0.0


def some(*found: Secondary | None) -> tuple[Secondary, ...]:
    """Those that there are."""
    return tuple(one for one in found if one is not None)
