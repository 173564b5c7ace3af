"""What a comparison or a run of `seclude ci` came to, ready to be drawn in any format."""

from __future__ import annotations

from .change import Difference, Step
from .finding import Finding
from .frozen import frozen


@frozen
class Report:
    """`profile` is the path of the profile; `allowed` how many calls it allows now.

    `wrote`: whether the profile was written; `unused`: calls that it allows and the tests did not make.
    `headline` is one sentence.
    """

    headline: str
    profile: str
    difference: Difference
    findings: tuple[Finding, ...] = ()
    steps: tuple[Step, ...] = ()
    unused: tuple[str, ...] = ()
    allowed: int = 0
    denied: tuple[str, ...] = ()
    wrote: bool = False

    @property
    def failed(self) -> bool:
        """Whether a finding is an error."""
        return any(finding.severity == "error" for finding in self.findings)
