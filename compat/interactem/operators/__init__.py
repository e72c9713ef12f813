"""interactEM's import path for operators: thin modules on `interactem.runtime`."""

__all__: list[str] = []
