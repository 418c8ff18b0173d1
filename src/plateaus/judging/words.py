"""The words for verdicts, and a symbol for each."""

from __future__ import annotations

HOLDS, WEAKLY, NOT_SEEN, CONTRADICTED, NOT_TESTED = (
    "holds",
    "holds weakly",
    "not seen",
    "contradicted",
    "not tested",
)
SYMBOLS = {HOLDS: "✔", WEAKLY: "◔", NOT_SEEN: "○", CONTRADICTED: "✘", NOT_TESTED: "–"}
"""Verdict to its symbol, so that a verdict is never shown by colour alone."""
