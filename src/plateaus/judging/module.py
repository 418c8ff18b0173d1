"""The protocol of a module that declares one claim."""

from __future__ import annotations

from typing import Protocol

from plateaus.judging.evidence import Evidence
from plateaus.judging.interface import Claim, Finding


class ClaimModule(Protocol):
    """A module that declares one claim and tests it."""

    CLAIM: Claim

    def test(self, evidence: Evidence) -> Finding:
        """Test the claim on one model.

        Raises:
            NotTested: the claim cannot be tested on this model, with the reason.
        """
        ...
