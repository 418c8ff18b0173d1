"""Measure the error rates of the claims' tests: how often each finds an effect in simulated data with and without one.

    python tools/claims_power.py [--null 500] [--alternative 200] [--jobs 2] [C0 C1 ...]

A claim's test is sound if p < .05 in about 5 % of the simulated runs without an effect, and powerful if it sees the
stated effect in at least 80 % of the runs that have it. The exit status is 1 if a claim misses either rate by more than
the sampling error of so many runs.
"""

from __future__ import annotations

import argparse
import sys
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from scipy import stats
from tests import simulate_claims as simulate

from plateaus.claims import registry
from plateaus.judging.interface import Rules

RULES = Rules(resamples=200)
BATCH = 25
SURE = 0.001
POWER = 0.8


class Rates(NamedTuple):
    """The counts of one claim: false positives of `null` runs, and effects seen of `alternative` runs."""

    false_positives: int
    null: int
    seen: int
    alternative: int

    @property
    def sound(self) -> bool:
        """Whether the false positives are at most what the level and the sampling error allow."""
        return bool(self.false_positives <= stats.binom.ppf(1 - SURE, self.null, RULES.alpha))

    @property
    def powerful(self) -> bool:
        """Whether the rate at which the effect is seen is consistent with at least `POWER`."""
        return bool(self.seen >= stats.binom.ppf(SURE, self.alternative, POWER))


def count(claim: str, effect: float, sets: int, seed: int) -> int:
    """Count the simulated runs in which an effect is found.

    Without an effect, that is p < alpha; with one, it is the verdict "holds" or "holds weakly".
    """
    found = simulate.rejections(claim, effect, sets, seed, RULES)
    if effect:
        return sum(one.verdict in ("holds", "holds weakly") for one in found)
    return sum(one.finding is not None and one.finding.p < RULES.alpha for one in found)


def batches(sets: int) -> list[int]:
    """Split a number of runs into the sizes of batches that can run in parallel."""
    return [min(BATCH, sets - start) for start in range(0, sets, BATCH)]


def main() -> int:
    """Print the table of error rates; return the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--null", type=int, default=500)
    parser.add_argument("--alternative", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("claims", nargs="*", default=[])
    given = parser.parse_args()
    chosen = given.claims or list(simulate.EFFECTS)
    titles = {module.CLAIM.id: module.CLAIM.title for module in registry.chosen(list(registry.own()))}
    good = True
    print(f"{'claim':<6}{'false positives':>22}{'effect':>8}{'seen':>16}  ")
    with ProcessPoolExecutor(given.jobs) as pool:
        running = {
            claim: [
                [
                    pool.submit(count, claim, effect, size, 1000 * (2 if effect else 1) + number)
                    for number, size in enumerate(batches(sets))
                ]
                for effect, sets in ((0.0, given.null), (simulate.EFFECTS[claim], given.alternative))
            ]
            for claim in chosen
        }
        for claim, (null, real) in running.items():
            rates = Rates(
                sum(one.result() for one in null), given.null, sum(one.result() for one in real), given.alternative
            )
            good &= rates.sound and rates.powerful
            error = stats.binomtest(rates.false_positives, rates.null).proportion_ci(0.95, method="wilson")
            mark = "" if rates.sound and rates.powerful else "  <-- outside"
            print(
                f"{claim:<6}{rates.false_positives / rates.null:>8.3f} ({error.low:.3f}-{error.high:.3f})"
                f"{simulate.EFFECTS[claim]:>8.2f}{rates.seen / rates.alternative:>9.2f}       {titles[claim]}{mark}",
                flush=True,
            )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
