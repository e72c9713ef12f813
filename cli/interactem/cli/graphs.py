"""Pipeline files joined with the catalog, with every problem of all files told at once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from interactem.cli.failures import InvalidError
from interactem.engine.catalog import Catalog, find_root
from interactem.engine.containers.engines import EngineName
from interactem.spec import Graph, OperatorSpec, PipelineSpec, Problem, SpecError, parse_assignment, parse_pipeline
from interactem.spec.pipelines import operator_path


@dataclass(frozen=True, slots=True)
class LoadedPipeline:
    """A pipeline file and the catalog that belongs to it. Nothing of it is checked yet."""

    graph: Graph
    catalog: Catalog

    def check(self) -> Graph:
        """Raises `SpecError` with everything that is wrong: specs that it uses, the graph, files of mounts."""
        used = {operator.operator for operator in self.graph.operators.values()}
        problems = self.catalog.problems(used)
        # an operator whose spec does not hold is told by its own problems, not also as one that does not exist
        broken = {
            operator_path(key, "operator")
            for key, operator in self.graph.operators.items()
            if operator.operator in self.catalog.broken
        }
        problems += [problem for problem in self.graph.problems() if problem.path not in broken]
        for key in self.graph.operators:
            problems += _mount_problems(self.graph, key)
        if problems:
            raise SpecError(problems)
        return self.graph


def load_pipeline(
    file: Path,
    assignments: Iterable[str] = (),
    *,
    engine: EngineName | None = None,
    progress: Callable[[str, str], None] = lambda operator, text: None,
) -> LoadedPipeline:
    """A pipeline file with `operator.parameter=value` set in it. Raises `InvalidError`, `SpecError`.

    Operators that are named by their images are looked up, and pulled if need be, by the `engine`; with none they stay
    unknown. Then it also raises `ContainerError`.
    """
    if not file.is_file():
        raise InvalidError(f"there is no pipeline file {file}")
    pipeline = assigned(parse_pipeline(file.read_bytes(), str(file)), assignments)
    catalog = Catalog.scan(find_root(file))
    specs = catalog.specs
    images = [operator.image for operator in pipeline.operators.values() if operator.image is not None]
    if images and engine is not None:
        from interactem.engine.launching import specs_in_images

        specs |= asyncio.run(specs_in_images(engine, images, progress, place=find_root(file)))
    return LoadedPipeline(Graph(pipeline, specs, source=str(file)), catalog)


def assigned(pipeline: PipelineSpec, assignments: Iterable[str]) -> PipelineSpec:
    """The pipeline with every `operator.parameter=value` set. Raises `SpecError`."""
    values: dict[str, dict[str, str]] = {}
    for text in assignments:
        operator, parameter, value = parse_assignment(text)
        values.setdefault(operator, {})[parameter] = value
    return pipeline.with_parameters(values)


def _mount_problems(graph: Graph, key: str) -> list[Problem]:
    try:
        mounts = _mounts(graph.spec(key), graph.parameters(key))
    except (KeyError, SpecError):
        return []  # told by the graph itself
    return [
        Problem(
            graph.source,
            operator_path(key, "parameters", name),
            f"there is no file or folder {path}",
            f"give another with --set {key}.{name}=PATH",
        )
        for name, path in mounts
        if not Path(path).expanduser().exists()
    ]


def _mounts(spec: OperatorSpec, parameters: Mapping[str, object]) -> list[tuple[str, str]]:
    names = [parameter.name for parameter in spec.parameters if parameter.type == "mount"]
    return [(name, str(parameters[name])) for name in names if name in parameters]
