"""interactEM's import paths, for its published operators: thin modules on `interactem.runtime`."""

__all__: list[str] = []
