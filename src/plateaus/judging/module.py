"""The form of a module that holds one claim."""

from __future__ import annotations

from typing import Protocol

from plateaus.judging.evidence import Evidence
from plateaus.judging.interface import Claim, Finding


class ClaimModule(Protocol):
    """A module that holds one claim."""

    CLAIM: Claim

    def test(self, evidence: Evidence) -> Finding:
        """Test the claim on one model.

        Raises:
            NotTested: with the reason.
        """
        ...
