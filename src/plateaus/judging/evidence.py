"""The evidence that a claim's test receives: the tables of one model, filtered for the claim, and the pairs that count.

Pairs of the suite (tag ``suite``) in natural contexts (tag ``natural``) are pooled. Pairs in random-token and empty
contexts are controls and are shown separately. Published pairs (tag ``published``) are never pooled.
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
from plateaus.prompts.sampling import MATCH

Filters = Mapping[str, Sequence[Any]]
"""Column to the values that its rows must have to be kept."""

SUITE, NATURAL, PUBLISHED = "suite", "natural", "published"


class Source(Protocol):
    """A reader of tables: from results on disk, or from data frames in tests."""

    def __call__(self, model: str, table: str, columns: Sequence[str], filters: Filters) -> pd.DataFrame | None:
        """Return columns and filtered rows of a table over all shards; None if the table or a column is missing."""
        ...


class Evidence:
    """One model's evidence for one claim.

    Attributes:
        model: Id of the model.
        claim: The claim that is tested.
        control: Id of the model with the same architecture and random weights; None if the run has no such model.
        is_control: Whether this model has random weights itself.
        with_layernorm: For a model whose LayerNorm was removed, the id of the model with LayerNorm that it is compared
            with ("" if the config names none); None for every other model.
        trace_layer: The interpolation layer of the trace.
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
        """Return the rows of a table that match, with the columns that the claim declares for it.

        Args:
            name: Name of the table; `Claim.needs` must list it.
            filters: Which rows to keep; None for all.
            model: Another model whose table to read; None for this one.

        Raises:
            NotTested: the table or a column is missing, or no row matches.
        """
        columns = self.claim.needs[name]
        frame = self._source(model or self.model, name, columns, filters or {})
        where = "" if model is None else f" for {model}"
        if frame is None:
            raise NotTested(f"the run has no table {name}{where} with the columns {', '.join(columns)}")
        if frame.empty:
            wanted = ", ".join(f"{key} {' or '.join(map(str, values))}" for key, values in (filters or {}).items())
            raise NotTested(f"the table {name}{where} has no rows{f' with {wanted}' if wanted else ''}")
        for column in frame.columns:
            if isinstance(frame[column].dtype, pd.CategoricalDtype):
                frame[column] = frame[column].astype(object)
        return frame

    def rows(self, name: str, filters: Filters) -> pd.DataFrame | None:
        """Return what `table` returns, or None if it is missing: for data that a claim can do without."""
        try:
            return self.table(name, filters)
        except NotTested:
            return None

    def control_model(self) -> str:
        """Return the id of the model with random weights.

        Raises:
            NotTested: the run has no such model.
        """
        if self.control is None:
            raise NotTested(f"the run has no model with random weights and the architecture of {self.model}")
        return self.control

    @cached_property
    def pairs(self) -> pd.DataFrame:
        """All pairs of the run, with the pair id as index and the columns context, a, b and tags.

        Raises:
            NotTested: the table `endpoints` is missing or empty.
        """
        columns = ("pair", "context", "a", "b", "tags")
        frame = self._source(self.model, "endpoints", columns, {})
        if frame is None or frame.empty:
            raise NotTested("the table endpoints is missing or empty")
        return frame.assign(pair=frame["pair"].astype(str)).set_index("pair").sort_index()

    def tagged(self, *tags: str, without: Sequence[str] = ()) -> list[str]:
        """Return the ids of the pairs that have all of `tags` and none of `without`."""
        listed = self.pairs["tags"].fillna("").map(lambda text: {tag.strip() for tag in str(text).split(";")})
        return [str(pair) for pair, own in listed.items() if set(tags) <= own and not own & set(without)]

    @cached_property
    def pooled(self) -> list[str]:
        """Ids of the pairs that are pooled: those of the suite in natural contexts.

        Raises:
            NotTested: there are fewer than `Rules.min_pairs`.
        """
        found = self.tagged(SUITE, NATURAL, without=(PUBLISHED,))
        if len(found) < self.rules.min_pairs:
            have = f"{len(found)} pairs" if found else "no pairs"
            raise NotTested(
                f"the run has {have} of the suite in natural contexts, but claims.min_pairs is {self.rules.min_pairs}"
            )
        return found

    @property
    def published(self) -> list[str]:
        """Ids of the published pairs; empty if the table of pairs is missing."""
        try:
            return self.tagged(PUBLISHED)
        except NotTested:
            return []

    @cached_property
    def matched(self) -> dict[str, str]:
        """Natural pair to the pair with the same two words in a context where neither can stand."""
        found = {}
        for pair, text in self.pairs["tags"].fillna("").items():
            for tag in str(text).split(";"):
                if tag.strip().startswith(MATCH):
                    found[tag.strip().removeprefix(MATCH)] = str(pair)
        return found

    @property
    def controls(self) -> list[str]:
        """Ids of the suite's pairs in contexts that are not natural."""
        return self.tagged(SUITE, without=(NATURAL, PUBLISHED))

    def usable(self, values: Mapping[str, float]) -> list[str]:
        """Return the ids of the pooled pairs that have a finite value.

        Args:
            values: Pair to value.

        Raises:
            NotTested: there are fewer than `Rules.min_pairs`; the exception carries `values`.
        """
        try:
            pooled = self.pooled
        except NotTested as reason:
            raise NotTested(str(reason), values) from None
        found = [pair for pair in pooled if np.isfinite(values.get(pair, np.nan))]
        if len(found) < self.rules.min_pairs:
            raise NotTested(
                f"{len(found)} of {len(pooled)} pairs have a value, but claims.min_pairs is {self.rules.min_pairs} "
                f"(measure: {self.claim.measure})",
                values,
            )
        return found

    def dependence(self, pairs: Sequence[str]) -> Dependence:
        """Return which of the pairs share words or contexts."""
        rows = self.pairs.loc[list(pairs)]
        return statistics.dependence(
            rows["a"].tolist(), rows["b"].tolist(), rows["context"].tolist(), self.rules.min_contexts
        )

    def interval(self, statistic: Callable[[Any], Any], among: Dependence, what: str) -> Interval:
        """Return the crossed bootstrap's interval.

        Args:
            statistic: Rows of weights (draws, pairs) to values (draws,).
            among: Which pairs share words or contexts.
            what: Name of the measure. It is part of the seed, so that measures have draws of their own: another name
                gives other draws.
        """
        seed = [self.rules.seed, zlib.crc32(f"{self.claim.id}/{self.model}/{what}".encode())]
        return statistics.interval(statistic, among, self.rules.alpha, self.rules.resamples, seed)

    # ---- combining pairs -------------------------------------------------------------------------

    def median(self, values: Mapping[str, float], *, side: Side = MET, secondary: Sequence[Secondary] = ()) -> Finding:
        """Test the median over pairs by signed ranks: for values that are symmetric if there is no effect."""
        return self._located(values, "median", side, secondary)

    def mean(self, values: Mapping[str, float], *, side: Side = MET, secondary: Sequence[Secondary] = ()) -> Finding:
        """Test the mean over pairs by t: for values whose mean, but not median, equals the null without an effect."""
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
        """Return a further measure's median or mean over the pooled pairs.

        Args:
            measure: What is measured; it also seeds the bootstrap (see `interval`).
            values: Pair to value.
            kind: ``median`` or ``mean``.
            bounds: Least and largest possible value; the interval is clipped there.

        Returns:
            None if fewer pooled pairs than `Rules.min_pairs` have a finite value.
        """
        try:
            pairs = [pair for pair in self.pooled if np.isfinite(values.get(pair, np.nan))]
        except NotTested:  # too few pairs, as the primary measure says with its values
            return None
        if len(pairs) < self.rules.min_pairs:
            return None
        x = np.array([values[pair] for pair in pairs])
        centre = statistics.weighted_median if kind == "median" else statistics.weighted_mean
        found = self.interval(lambda weights: centre(x, weights), self.dependence(pairs), measure)
        low, high = (float(side) for side in np.clip(found, *bounds))
        return Secondary(f"{kind} of {measure}", float(centre(x, np.ones((1, len(x))))[0]), low, high, len(x))


def standardised(values: Any) -> float:
    """Return the mean over the sample standard deviation, or 0 if the values do not vary."""
    spread = float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
    return float(np.mean(values)) / spread if spread > 0 else 0.0


def some(*found: Secondary | None) -> tuple[Secondary, ...]:
    """Return the measures that are not None."""
    return tuple(one for one in found if one is not None)
