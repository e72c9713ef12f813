"""`interactem pipeline …`: check, draw and import pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from interactem.cli import dead
from interactem.cli.failures import InvalidError
from interactem.cli.options import AllowDead, Broker, PathMapping, RunId, WorkingRunId
from interactem.cli.output import AsJson
from interactem.cli.serving import MetricsHost, MetricsPort

app = typer.Typer(help="Check, draw, run and follow pipelines.", no_args_is_help=True)
app.add_typer(dead.app, name="dead")

PipelineFile = Annotated[Path, typer.Argument(metavar="FILE", help="The pipeline file.")]
Assignments = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="OPERATOR.PARAMETER=VALUE", help="A parameter's value; repeat for more."),
]
Images = Annotated[
    Literal["podman", "docker"] | None,
    typer.Option("--launcher", help="The engine with the images of operators that are named by their image."),
]


@app.command("validate")
def validate(
    file: PipelineFile, assignments: Assignments = None, launcher: Images = None, as_json: AsJson = False
) -> None:
    """Check a pipeline: operators, ports, types, parameters, mounts, cycles, connections. Tells every problem."""
    from interactem.cli.graphs import load_pipeline
    from interactem.cli.output import counted, print_json, say
    from interactem.engine.connections import connections_of_graph, find_connections

    graph = load_pipeline(file, assignments or (), engine=launcher).check()
    connections_of_graph(graph, find_connections(file))
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
    launcher: Images = None,
    as_json: AsJson = False,
) -> None:
    """Draw a pipeline, also one that is not valid yet."""
    from interactem.cli.graphs import load_pipeline
    from interactem.cli.output import print_json, write_result
    from interactem.spec import to_mermaid, to_svg, to_text

    loaded = load_pipeline(file, engine=launcher).graph
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


Detach = Annotated[bool, typer.Option("--detach", help="Go on in the background; print the run's id.")]
Seconds = Annotated[
    float | None, typer.Option("--timeout", metavar="SECONDS", min=0.001, help="Drain and end the run after this time.")
]


@app.command("run")
def run(
    file: PipelineFile,
    assignments: Assignments = None,
    replicas: Annotated[
        list[str] | None,
        typer.Option("--replicas", metavar="OPERATOR=N", help="How many replicas; repeat for more operators."),
    ] = None,
    launcher: Annotated[
        Literal["process", "podman", "docker"], typer.Option(help="What starts the replicas.")
    ] = "process",
    locked: Annotated[
        Path | None, typer.Option(metavar="PLAN", help="Run exactly the images in the plan.json of an earlier run.")
    ] = None,
    broker: Broker = None,
    no_shm: Annotated[
        bool, typer.Option("--no-shm", help="Send large messages through the broker, not in shared memory.")
    ] = False,
    run_dir: Annotated[
        Path | None, typer.Option(metavar="DIR", help="This run's folder.  [default: runs/<run-id>]")
    ] = None,
    path_mapping: PathMapping = None,
    detach: Detach = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="Start an operator's replicas again when its run.py changes.")
    ] = False,
    seconds: Seconds = None,
    allow_dead: AllowDead = False,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = None,
    as_json: AsJson = False,
) -> int:
    """Run a pipeline, with its progress, to its end. Ctrl-C drains it; twice stops it now.

    Exits with 0 for a completed run without dead letters, 1 for one that
    failed, 2 for invalid input before anything was started, 130 where you
    interrupted it.
    """
    from interactem.cli import running
    from interactem.cli.path_rules import read_path_rules

    rules = read_path_rules(path_mapping)
    return running.run(
        running.load(file, assignments or (), replicas or (), launcher, rules),
        path_rules=rules,
        run_dir=run_dir,
        broker=broker,
        launcher=launcher,
        locked=locked,
        shm=not no_shm,
        detached=detach,
        watch=watch,
        seconds=seconds,
        allow_dead=allow_dead,
        metrics=(metrics_port, metrics_host),
        as_json=as_json,
    )


@app.command("resume")
def resume(
    run_id: RunId,
    broker: Broker = None,
    detach: Detach = False,
    seconds: Seconds = None,
    allow_dead: AllowDead = False,
    metrics_port: MetricsPort = None,
    metrics_host: MetricsHost = None,
    as_json: AsJson = False,
) -> int:
    """Go on with a run that was stopped, failed or was killed, from where it was. Nothing is done twice."""
    from interactem.cli import running
    from interactem.cli.following import find_run

    record = find_run(run_id)
    if record.alive:
        raise InvalidError(f"run {record.run} is running; end it with: interactem pipeline stop {record.run}")
    if record.unattended:
        words = f"run {record.run} works on without a supervisor; give it one: interactem pipeline attach {record.run}"
        raise InvalidError(words)
    return running.resume(
        record.folder,
        broker=broker,
        detached=detach,
        seconds=seconds,
        allow_dead=allow_dead,
        metrics=(metrics_port, metrics_host),
        as_json=as_json,
    )


@app.command("attach")
def attach(
    run_id: WorkingRunId,
    detach: Annotated[
        bool, typer.Option("--detach", help="Only see to it that the run has a supervisor; do not follow it.")
    ] = False,
    allow_dead: AllowDead = False,
    as_json: AsJson = False,
) -> int:
    """Follow a run that was detached: its progress, what its replicas print, and how it ends. Ctrl-C leaves it running.

    Where its supervisor was killed, its broker and replicas work on for a
    minute (or INTERACTEM_UNATTENDED_SECONDS). Within that time this gives it
    a new supervisor, which goes on with them as they are. Later they have
    ended by themselves: go on with pipeline resume.

    Exits as pipeline run does; with 130 where you left it.
    """
    from interactem.cli import attaching
    from interactem.cli.following import find_run

    return attaching.attach(find_run(run_id), detach=detach, allow_dead=allow_dead, as_json=as_json)


@app.command("ps")
def ps(as_json: AsJson = False) -> None:
    """List runs, the newest first."""
    from interactem.cli.following import list_runs

    list_runs(as_json=as_json)


@app.command("status")
def status(run_id: RunId, as_json: AsJson = False) -> None:
    """Show how far a run is now, by operator: rates, what waits, times of calls, memory; or how it has ended."""
    from interactem.cli.following import find_run
    from interactem.cli.status import status

    status(find_run(run_id), as_json=as_json)


@app.command("logs")
def logs(
    run_id: RunId,
    operators: Annotated[list[str] | None, typer.Argument(metavar="OPERATOR", help="Only these operators.")] = None,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
    lines: Annotated[int | None, typer.Option("--lines", "-n", min=0, help="Only the last lines of each log.")] = None,
    as_json: AsJson = False,
) -> None:
    """Print what the replicas of a run have logged."""
    from interactem.cli.following import find_run, print_logs

    print_logs(find_run(run_id), operators or (), follow=follow, lines=lines, as_json=as_json)


@app.command("stop")
def stop(
    run_id: RunId,
    now: Annotated[bool, typer.Option("--now", help="Do not work off what is under way; resume does.")] = False,
    as_json: AsJson = False,
) -> None:
    """Drain a run: sources stop, what is under way is worked off. It can be resumed."""
    from interactem.cli import following
    from interactem.cli.following import find_run

    following.stop(find_run(run_id), now=now, as_json=as_json)


@app.command("set")
def set_parameters(
    run_id: RunId,
    values: Annotated[list[str], typer.Argument(metavar="OPERATOR.PARAMETER=VALUE", help="New values.")],
    broker: Broker = None,
    as_json: AsJson = False,
) -> None:
    """Change parameters of a run. Its kernels get them with their next message."""
    from interactem.cli.following import find_run, set_values

    set_values(find_run(run_id), values, broker=broker, as_json=as_json)


@app.command("trigger")
def trigger(
    run_id: RunId,
    name: Annotated[str, typer.Argument(metavar="OPERATOR.TRIGGER", help="A trigger of an operator of the run.")],
    seconds: Annotated[
        float, typer.Option("--timeout", metavar="SECONDS", min=0.1, help="How long to wait for the answers.")
    ] = 30.0,
    as_json: AsJson = False,
) -> int:
    """Poke the replicas of an operator of a run that goes on. Says what each of them did.

    The kernel is called without a message: once, or, where the trigger's mode
    is drain, until it returns nothing.
    """
    from interactem.cli import following

    return following.trigger(following.find_run(run_id), name, seconds=seconds, as_json=as_json)
