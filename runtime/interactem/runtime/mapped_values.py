"""Parameters whose values are paths of another machine: outside of replicas, which are given them mapped."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from interactem.runtime.path_mapping import PathRule, map_path
from interactem.spec import OperatorSpec


def with_mapped_values(spec: OperatorSpec, values: Mapping[str, Any], rules: Sequence[PathRule]) -> dict[str, Any]:
    """Values of parameters, those of mounts and paths as the rules have them."""
    names = {parameter.name for parameter in spec.parameters if parameter.type in ("mount", "path")}
    return {
        name: map_path(rules, value) if name in names and isinstance(value, str) else value
        for name, value in values.items()
    }
