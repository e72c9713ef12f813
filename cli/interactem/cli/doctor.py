"""`interactem doctor`: what is there, what is missing, each with its fix."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from interactem.cli.output import AsJson


def doctor(
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove what killed runs left, and environments that are not used.")
    ] = False,
    runs: Annotated[Path, typer.Option(help="The folder that runs are written to.")] = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Check that pipelines can run here: what is installed, what is missing, each with its fix."""
    from interactem.cli import checks
    from interactem.cli.failures import FailedError
    from interactem.cli.output import print_json, print_table, say

    findings = checks.every(runs)
    broken = [finding for finding in findings if finding.state == "broken"]
    document = {"ok": not broken, "findings": [finding.to_value() for finding in findings]}
    if as_json and not broken:
        print_json(document)
    elif not as_json:
        print_table(("", "what", "found"), [(f.state, f.subject, f.found) for f in findings])
        for finding in findings:
            if finding.fix:
                say(f"{finding.subject}: {finding.fix}")
    if broken:
        raise FailedError(
            f"{len(broken)} of {len(findings)} checks failed",
            [f"{finding.subject}: {finding.found}; {finding.fix}" for finding in broken],
            details=document,
        )
