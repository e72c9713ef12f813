"""Path mapping rules in a run: where files lie on this machine that were named on another one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from interactem.runtime.mapped_values import with_mapped_values
from interactem.runtime.path_mapping import PathRule
from interactem.spec import Graph, SpecError


def with_mapped_paths(graph: Graph, rules: Sequence[PathRule]) -> Graph:
    """The same graph, its mounts and paths as the rules have them. What does not hold stays as it is, for its check."""
    changes: dict[str, dict[str, Any]] = {}
    for key in graph.operators if rules else ():
        try:
            spec, values = graph.spec(key), graph.parameters(key)
        except (KeyError, SpecError):
            continue
        mapped = with_mapped_values(spec, values, rules)
        changes[key] = {name: value for name, value in mapped.items() if value != values[name]}
    return Graph(graph.pipeline.with_parameters(changes), graph.catalog, source=graph.source)
