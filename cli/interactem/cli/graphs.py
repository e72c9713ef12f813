"""Pipeline files joined with the catalog, with every problem of all files told at once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path

from interactem.cli.failures import InvalidError
from interactem.cli.lookups import catalog
from interactem.spec import Graph, OperatorSpec, PipelineSpec, Problem, SpecError, parse_assignment, parse_pipeline
from interactem.spec.pipelines import operator_path


def load_pipeline(file: Path, assignments: Iterable[str] = ()) -> PipelineSpec:
    """A pipeline file with `operator.parameter=value` set in it. Raises `InvalidError`, `SpecError`."""
    if not file.is_file():
        raise InvalidError(f"there is no pipeline file {file}")
    pipeline = parse_pipeline(file.read_bytes(), str(file))
    values: dict[str, dict[str, str]] = {}
    for text in assignments:
        operator, parameter, value = parse_assignment(text)
        values.setdefault(operator, {})[parameter] = value
    return pipeline.with_parameters(values)


def load_graph(file: Path, directory: Path, assignments: Iterable[str] = ()) -> Graph:
    """The graph of a pipeline file. Not checked: see `check_graph`."""
    specs = {name: entry.spec for name, entry in catalog(directory).items()}
    return Graph(load_pipeline(file, assignments), specs, source=str(file))


def check_graph(graph: Graph) -> None:
    """Raises `SpecError` with everything that is wrong with the graph, files that its mounts lack included."""
    problems = graph.problems()
    for key in graph.operators:
        problems += _mount_problems(graph, key)
    if problems:
        raise SpecError(problems)


def _mount_problems(graph: Graph, key: str) -> list[Problem]:
    try:
        spec, parameters = graph.spec(key), graph.parameters(key)
    except (KeyError, SpecError):
        return []  # told by the graph itself
    return [
        Problem(
            graph.source,
            operator_path(key, "parameters", name),
            f"there is no file or folder {path}",
            f"give another with --set {key}.{name}=PATH",
        )
        for name, path in _mounts(spec, parameters)
        if not Path(path).expanduser().exists()
    ]


def _mounts(spec: OperatorSpec, parameters: Mapping[str, object]) -> list[tuple[str, str]]:
    names = [parameter.name for parameter in spec.parameters if parameter.type == "mount"]
    return [(name, str(parameters[name])) for name in names if name in parameters]
