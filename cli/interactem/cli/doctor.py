"""`interactem doctor`: what is there, what is missing, each with its fix."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from interactem.cli.output import AsJson


def doctor(
    clean: Annotated[
        bool, typer.Option("--clean", help="Remove what killed runs left, and environments unused for 30 days.")
    ] = False,
    runs: Annotated[Path, typer.Option(help="The folder that runs are written to.")] = Path("runs"),
    as_json: AsJson = False,
) -> None:
    """Check that pipelines can run here: what is installed, what is missing, each with its fix."""
    from interactem.cli import checks
    from interactem.cli.cleaning import remove_leftovers
    from interactem.cli.failures import FailedError
    from interactem.cli.output import print_json, print_table, say

    removed = remove_leftovers() if clean else None
    findings = checks.every(runs)
    broken = [finding for finding in findings if finding.state == "broken"]
    document = {"ok": not broken, "findings": [finding.to_value() for finding in findings]}
    if removed is not None:
        document["removed"] = removed.to_value()
    if not as_json:
        for line in removed.lines() if removed else ():
            say(line)
        print_table(("", "what", "found", "fix"), [(f.state, f.subject, f.found, f.fix) for f in findings])
    if broken:
        problems = [f"{finding.subject}: {finding.found}; {finding.fix}" for finding in broken]
        raise FailedError(f"{len(broken)} of {len(findings)} checks failed", problems, details=document)
    if as_json:
        print_json(document)
