"""`interactem pipeline …`: check, draw and import pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from interactem.cli.output import AsJson

app = typer.Typer(help="Check, draw, run and follow pipelines.", no_args_is_help=True)

PipelineFile = Annotated[Path, typer.Argument(metavar="FILE", help="The pipeline file.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="OPERATOR.PARAMETER=VALUE", help="A parameter's value; repeat for more."),
]


@app.command("validate")
def validate(file: PipelineFile, assignments: Assignments = None, as_json: AsJson = False) -> None:
    """Check a pipeline: operators, ports, types, parameters, files of mounts, cycles. Tells all problems at once."""
    from interactem.cli.graphs import load_pipeline
    from interactem.cli.output import counted, print_json, say

    graph = load_pipeline(file, assignments or ()).check()
    operators, edges = len(graph.operators), len(graph.edges)
    if as_json:
        print_json({"valid": True, "name": graph.pipeline.name, "operators": operators, "edges": edges})
    else:
        say(f"{file}: valid; {counted(operators, 'operator')}, {counted(edges, 'edge')}")


@app.command("graph")
def graph(
    file: PipelineFile,
    form: Annotated[Literal["text", "mermaid", "svg"], typer.Option("--format", help="How to draw it.")] = "text",
    out: Annotated[Path | None, typer.Option(help="The file to write.  [default: standard output]")] = None,
    as_json: AsJson = False,
) -> None:
    """Draw a pipeline, also one that is not valid yet."""
    from interactem.cli.graphs import load_pipeline
    from interactem.cli.output import print_json, write_result
    from interactem.spec import to_mermaid, to_svg, to_text

    loaded = load_pipeline(file).graph
    if as_json:
        print_json({"name": loaded.pipeline.name, "layers": loaded.layers, "edges": [str(e) for e in loaded.edges]})
        return
    draw = {"text": to_text, "mermaid": to_mermaid, "svg": to_svg}[form]
    write_result(draw(loaded), out)


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(metavar="FILE", help="A pipeline file of interactEM's.")],
    out: Annotated[Path | None, typer.Option(help="The file to write.  [default: standard output]")] = None,
    as_json: AsJson = False,
) -> None:
    """Make a pipeline file of ours from one of interactEM's. What cannot be carried over is told."""
    import json

    from interactem.cli.failures import InvalidError
    from interactem.cli.lookups import catalog
    from interactem.cli.output import print_json, say, write_result
    from interactem.spec import import_pipeline

    if not file.is_file():
        raise InvalidError(f"there is no file {file}")
    pipeline, notes = import_pipeline(file.read_bytes(), catalog=catalog().specs, name=file.stem, source=str(file))
    if out is not None:
        write_result(json.dumps(pipeline, indent=2, ensure_ascii=False), out)
    if as_json:
        print_json({"pipeline": pipeline, "notes": notes})
        return
    for note in notes:
        say(f"note: {note}", stderr=True)
    if out is None:
        write_result(json.dumps(pipeline, indent=2, ensure_ascii=False), None)
