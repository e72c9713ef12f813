"""Path mapping rules in a run: where the files of mounts lie on this machine that were named on another one."""

from __future__ import annotations

from collections.abc import Sequence

from interactem.runtime.path_mapping import PathRule, map_path
from interactem.spec import Graph, SpecError


def with_mapped_mounts(graph: Graph, rules: Sequence[PathRule]) -> Graph:
    """The same graph, its mounts as the rules have them. What does not hold in it stays as it is, for its check."""
    changes: dict[str, dict[str, str]] = {}
    for key in graph.operators if rules else ():
        try:
            mounts = [parameter.name for parameter in graph.spec(key).parameters if parameter.type == "mount"]
            values = graph.parameters(key)
        except (KeyError, SpecError):
            continue
        changes[key] = {name: map_path(rules, str(values[name])) for name in mounts if name in values}
    return Graph(graph.pipeline.with_parameters(changes), graph.catalog, source=graph.source)
