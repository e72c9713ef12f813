"""What runs a pipeline. `prepare`, `execute` and `collect` are its Python API."""

from interactem.engine.catalog import Catalog, CatalogOperator, find_root
from interactem.engine.errors import EngineError
from interactem.engine.plan import Plan, make_plan
from interactem.engine.runs import PreparedRun, RunResult, collect, execute, prepare, reopen

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
