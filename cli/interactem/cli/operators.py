"""`interactem operator …`: make, check, list, show, test, try and build operators."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from interactem.cli import completion, daemons, images
from interactem.cli.options import PathMapping
from interactem.cli.output import AsJson

app = typer.Typer(help="Make, check, list, show, test, try and build operators.", no_args_is_help=True)

TASKS = "On a file of tasks"
"""The title above the options for it."""

OperatorPath = Annotated[
    Path,
    typer.Argument(
        metavar="PATH", help="The operator's folder, or its name.", autocompletion=completion.operators_and_paths
    ),
]


@app.command("new")
def new(
    name: Annotated[str | None, typer.Argument(help="The operator's name: its folder's.")] = None,
    kind: Annotated[
        Literal["map", "stream", "batch", "staged", "reduce", "source", "sink", "side-input", "class", "command"]
        | None,
        typer.Option(help="What its kernel is.  [default: map, source or sink, as its ports say]"),
    ] = None,
    label: Annotated[str | None, typer.Option(help="The name that people read.")] = None,
    description: Annotated[str | None, typer.Option(help="What it does, in a sentence.")] = None,
    inputs: Annotated[
        list[str] | None, typer.Option("--input", metavar="NAME:TYPE", help="An input port; repeat for more.")
    ] = None,
    outputs: Annotated[
        list[str] | None, typer.Option("--output", metavar="NAME:TYPE", help="An output port; repeat for more.")
    ] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option(
            "--param",
            metavar="NAME:TYPE=DEFAULT",
            help="A parameter: str, int, float, bool, mount, path or str-enum (mode:str-enum[a|b]=a); repeat for more.",
        ),
    ] = None,
    tags: Annotated[
        list[str] | None, typer.Option("--tag", help="What it needs of a machine, such as gpu; repeat for more.")
    ] = None,
    parallel: Annotated[
        Literal["none", "embarrassing"] | None,
        typer.Option(help="embarrassing: replicas may share the input in any order."),
    ] = None,
    image: Annotated[str | None, typer.Option(help="The container image.  [default: localhost/NAME:latest]")] = None,
    directory: Annotated[Path, typer.Option(help="Where the operator's folder is made.")] = Path("operators"),
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Ask nothing: take the defaults.")] = False,
    as_json: AsJson = False,
) -> None:
    """Make a new operator: a folder with a kernel, a spec, an image and tests that pass.

    Kinds: map, a function of one message; stream, one that yields messages;
    batch, one of several messages; staged, three that work on different
    messages at once; reduce, one of all messages of a key and a window of
    time; source, one that reads from where it was; sink, one that says what
    became of each message; side-input, one on a schedule, whose latest value
    others look at; class, with start, stop and cleanup; command, an
    executable.

    With an --input and no --output it is a sink, with an --output and no
    --input a source; with neither it has what its kind needs, of type any. An
    --output of a sink is a fallback.
    """
    from interactem.cli import creation
    from interactem.cli.output import print_json, say

    request = creation.complete_request(
        directory,
        name=name,
        label=label,
        description=description,
        inputs=inputs,
        outputs=outputs,
        parameters=parameters,
        tags=tags,
        parallel=parallel,
        image=image,
        kind=kind,
        ask=not yes and not as_json and creation.on_terminal(),
    )
    folder, made = creation.write_operator(request, directory)
    if as_json:
        print_json(made)
        return
    say(f"Made {folder}:")
    for file in made["files"]:
        say(f"  {file}")
    edited = folder / ("operator.json" if kind == "command" else "run.py")
    say(f"Next: edit {edited}, then interactem operator test {folder}")


@app.command("validate")
def validate(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            help="Folders, or operator.json files.",
            autocompletion=completion.operators_and_paths,
        ),
    ],
    as_json: AsJson = False,
) -> None:
    """Check specs and, in folders, that run.py imports and holds an operator. Tells all problems of all paths."""
    from interactem.cli.output import print_json, say
    from interactem.cli.validation import validate_paths

    found = validate_paths(paths)
    if as_json:
        print_json({"valid": True, "operators": found})
        return
    for one in found:
        say(f"{one['path']}: valid")


@app.command("ls")
def ls(
    in_images: Annotated[
        bool, typer.Option("--images", help="Those among the engines' images, by their labels; nothing is started.")
    ] = False,
    engine: images.EngineOption = None,
    as_json: AsJson = False,
) -> None:
    """List the operators: every folder below operators/ with an operator.json; with --images, those in images."""
    if in_images:
        from interactem.cli.image_listing import print_images

        print_images(engine, as_json=as_json)
        return
    from interactem.cli.lookups import catalog
    from interactem.cli.wording import print_catalog

    print_catalog(catalog(), as_json=as_json)


@app.command("show")
def show(operator: OperatorPath, as_json: AsJson = False) -> None:
    """Show an operator's ports, parameters and the rest of its spec."""
    from interactem.cli.lookups import find_operator
    from interactem.cli.output import print_json
    from interactem.cli.wording import print_operator, to_value

    found = find_operator(operator)
    if as_json:
        print_json(to_value(found))
    else:
        print_operator(found)


@app.command("test")
def test(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="PATH...",
            help="The operators' folders, or their names.",
            autocompletion=completion.operators_and_paths,
        ),
    ],
    path_mapping: PathMapping = None,
    as_json: AsJson = False,
) -> None:
    """Run the cases in an operator's tests/*.json, in memory."""
    from interactem.cli.lookups import find_folder
    from interactem.cli.path_rules import hand_on
    from interactem.cli.trials import report_cases, run_operator_cases

    hand_on(path_mapping)
    folders = [find_folder(path) for path in paths]
    report_cases(map(run_operator_cases, folders), as_json=as_json)


@app.command("run")
def run(
    operator: OperatorPath,
    data: Annotated[
        Path | None, typer.Option(help="The message's data: a file, or - for standard input; an .npy is an array.")
    ] = None,
    meta: Annotated[str, typer.Option(help="The message's meta, as a JSON object.")] = "{}",
    port: Annotated[str | None, typer.Option(help="The input port, where there are several.")] = None,
    parameters: Annotated[
        list[str] | None,
        typer.Option("-p", "--param", metavar="NAME=VALUE", help="A parameter's value; repeat for more."),
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Stop after this many messages.")] = None,
    finish: Annotated[bool, typer.Option("--finish", help="End the stream after the message.")] = False,
    out: Annotated[Path | None, typer.Option(help="The file for the data.  [default: standard output]")] = None,
    outputs: Annotated[Path, typer.Option(help="The folder for the files that a sink writes.")] = Path("outputs"),
    init_data: daemons.InitData = None,
    run_data: daemons.RunData = None,
    input: Annotated[
        Path | None,
        typer.Option(
            "--input", metavar="TASKS.jsonl", rich_help_panel=TASKS, help="A file of tasks, a line of JSON each."
        ),
    ] = None,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", metavar="RESULTS.jsonl", rich_help_panel=TASKS, help="The file for the results, a line each."
        ),
    ] = None,
    follow: Annotated[
        bool, typer.Option("--follow", rich_help_panel=TASKS, help="Go on with what is added, until Ctrl-C.")
    ] = False,
    workers: Annotated[
        int | None,
        typer.Option(
            "-w", "--worker", min=1, rich_help_panel=TASKS, help="How many processes work on the tasks.  [default: 1]"
        ),
    ] = None,
    path_mapping: PathMapping = None,
    as_json: AsJson = False,
) -> None:
    """Run an operator without a pipeline, in one of three ways.

    Once, with one message. The returned data goes to --out or standard
    output, the meta to standard error; with --json both are a list.
    Example: interactem operator run threshold --data frame.npy -p level=2

    Through its lifecycle, with --run-data: start, a run for each, stop,
    cleanup. See also: interactem operator daemon --help
    Example: interactem operator run render --run-data '{"frame": 1}'

    On a file of tasks, with --input and --output. A line is an object with
    id, options, data, meta and deadline; it has one result, however often
    this is started again.
    Example: interactem operator run threshold -w 4
    --input tasks.jsonl --output results.jsonl
    """
    from interactem.cli import operator_runs as forms
    from interactem.cli.lookups import find_folder
    from interactem.cli.path_rules import hand_on

    hand_on(path_mapping)
    once = {"--data": data is not None, "--meta": meta != "{}", "--limit": limit is not None, "--finish": finish}
    folder, given = find_folder(operator), tuple(parameters or ())
    if input is not None or output is not None or follow or workers is not None:
        forms.check_form("--input", {**once, "--out": out is not None, "--run-data": run_data is not None})
        if input is None or output is None:
            raise typer.BadParameter("give both --input and --output")
        forms.run_file(
            folder, forms.FileRun(input, output, follow, workers or 1, init_data, port, given, outputs, as_json)
        )
    if run_data is not None or init_data is not None:
        forms.check_form("--run-data", {**once, "--out": out is not None})
        forms.run_lifecycle(folder, forms.LifecycleRun(init_data, tuple(run_data or ()), port, given, outputs, as_json))
    from interactem.cli.trials import Trial, call_once, report_call

    trial = Trial(folder, data, meta, port, given, limit, finish, outputs)
    report_call(call_once(trial), out, as_json=as_json)


images.add_to(app)
app.add_typer(daemons.app, name="daemon")
