"""What runs a pipeline. `prepare`, `execute` and `collect` are its Python API."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from interactem.engine.catalog import Catalog, CatalogOperator, find_root
    from interactem.engine.errors import EngineError
    from interactem.engine.executing import execute
    from interactem.engine.plan import Plan, make_plan
    from interactem.engine.preparing import PreparedRun, prepare, reopen
    from interactem.engine.results import RunResult, collect

__all__ = [
    "Catalog",
    "CatalogOperator",
    "EngineError",
    "Plan",
    "PreparedRun",
    "RunResult",
    "collect",
    "execute",
    "find_root",
    "make_plan",
    "prepare",
    "reopen",
]

_MODULES = {
    "catalog": ("Catalog", "CatalogOperator", "find_root"),
    "errors": ("EngineError",),
    "plan": ("Plan", "make_plan"),
    "executing": ("execute",),
    "preparing": ("PreparedRun", "prepare", "reopen"),
    "results": ("RunResult", "collect"),
}


def __getattr__(name: str) -> Any:
    """Imports what is asked for: whoever only lists or builds operators need not wait for all that runs them."""
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{module}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
