"""Parameters as an instance of the author's own pydantic class: the annotation of `parameters` says which."""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Mapping
from typing import Any

from interactem.runtime.errors import ParametersError

log = logging.getLogger("interactem.operator")


def model_of(function: Callable[..., Any]) -> type[Any] | None:
    """The pydantic class that a function's `parameters` are annotated with, if they are."""
    given = getattr(function, "__annotations__", {}).get("parameters")
    if isinstance(given, str):
        given = _resolved(function, given)
    # a look at the class, and no import of pydantic, which most operators do without
    return given if inspect.isclass(given) and callable(getattr(given, "model_validate", None)) else None


def _resolved(function: Callable[..., Any], name: str) -> object:
    try:
        return inspect.get_annotations(inspect.unwrap(function), eval_str=True).get("parameters")
    except Exception:  # one of the others cannot be evaluated here: they are for type checkers alone
        names = getattr(inspect.unwrap(function), "__globals__", {})
        return names.get(name)


def validated(model: type[Any], values: Mapping[str, Any]) -> Any:
    """An instance. Raises `ParametersError` with everything that does not fit."""
    try:
        return model.model_validate(dict(values))
    except ValueError as error:
        told = getattr(error, "errors", None)
        if told is None:  # not pydantic's, but of the class itself
            raise ParametersError(model.__name__, [str(error)]) from None
        wrong = told(include_url=False, include_context=False, include_input=False)
        problems = [f"{'.'.join(map(str, one['loc'])) or 'parameters'}: {one['msg']}" for one in wrong]
        raise ParametersError(model.__name__, problems) from None


class TypedParameters:
    """The instance for parameters as they are now: made anew when they have changed.

    Values that do not fit are refused, with a line in the log, and the instance before them stays.
    """

    def __init__(self, model: type[Any]) -> None:
        self._model = model
        self._given: dict[str, Any] | None = None
        self._made: Any = None

    def __call__(self, values: Any) -> Any:
        """Raises `ParametersError` where the very first values do not fit."""
        if values == self._given or isinstance(values, self._model):
            return values if isinstance(values, self._model) else self._made
        try:
            self._made = validated(self._model, values)
        except ParametersError as error:
            if self._given is None:
                raise
            log.error("%s; what they were before stays", error)
        self._given = dict(values)
        return self._made
