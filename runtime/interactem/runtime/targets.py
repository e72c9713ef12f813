"""Operators by what names them: a folder, a `run.py` or a function under `@operator`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from interactem.runtime.errors import KernelError, ParameterError
from interactem.runtime.kernels import KERNEL, Kernel
from interactem.runtime.loading import load, with_dependencies
from interactem.runtime.mapped_values import with_mapped_values
from interactem.runtime.path_mapping import PathRule, map_path
from interactem.spec import OperatorSpec, parse_operator, resolve_parameters

Target = str | Path | Callable[..., Any]
"""An operator's folder, its `run.py`, or a function under `@operator`."""


def spec_of(target: Target) -> OperatorSpec | None:
    """The `operator.json` beside an operator; None where there is none. Raises `SpecError`."""
    return spec_in(folder_of(target))


def _run_file(path: str | Path) -> Path:
    path = Path(path)
    return path / "run.py" if path.is_dir() else path


def folder_of(target: Target) -> Path:
    if isinstance(target, str | Path):
        return _run_file(target).resolve().parent
    code = getattr(target, "__code__", None)
    file = _namespace(target).get("__file__") if code is None else code.co_filename
    return Path.cwd() if file is None else Path(file).resolve().parent


def _namespace(target: Callable[..., Any]) -> Mapping[str, Any]:
    """What is in the module that a function or a class is from."""
    names: Mapping[str, Any] | None = getattr(target, "__globals__", None)
    return vars(sys.modules[target.__module__]) if names is None else names


def kernel_at(target: Target) -> Kernel:
    if isinstance(target, str | Path):
        return load(_run_file(target))
    kernel = getattr(target, KERNEL, None)
    if not isinstance(kernel, Kernel):
        raise KernelError(f"{target!r} is not an operator: put @operator above it")
    return with_dependencies(kernel, _namespace(target))


def spec_in(folder: Path) -> OperatorSpec | None:
    file = folder / "operator.json"
    return parse_operator(file.read_bytes(), str(file)) if file.is_file() else None


def split_mounts(
    spec: OperatorSpec | None, given: dict[str, Any], mounts: dict[str, str | Path], rules: Sequence[PathRule]
) -> tuple[dict[str, Any], dict[str, Path]]:
    """The kernel's parameters and, apart from them, what its mounts are; paths as the rules have them."""
    if spec is None:
        return given, {name: Path(map_path(rules, str(path))) for name, path in mounts.items()}
    overrides = {**given, **{name: str(path) for name, path in mounts.items()}}
    values = with_mapped_values(spec, _with_connections(spec, overrides), rules)
    names = [parameter.name for parameter in spec.parameters if parameter.type == "mount"]
    unfit = [name for name in mounts if name not in names]
    if unfit:
        raise ParameterError(unfit[0], "it is not a mount")
    return (
        {name: value for name, value in values.items() if name not in names},
        {name: Path(values[name]) for name in names if name in values},
    )


def _with_connections(spec: OperatorSpec, given: dict[str, Any]) -> dict[str, Any]:
    """The parameters' values. A connection is given as the dict that the kernel gets."""
    names = [parameter.name for parameter in spec.parameters if parameter.type == "connection"]
    connections = {name: given[name] for name in names if isinstance(given.get(name), dict)}
    overrides = {**given, **dict.fromkeys(connections, "@given.here")}
    values: dict[str, Any] = resolve_parameters(spec, overrides, path="parameters")
    missing = [name for name in names if name in values and name not in connections]
    if missing:
        raise ParameterError(missing[0], "give the values of the connection, as a dict: connections.json is not read")
    return {**values, **connections}
