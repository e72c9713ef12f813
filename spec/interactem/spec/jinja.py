"""The jinja2 of commands' templates. Imported where there is a command alone: nobody else pays for it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jinja2 import StrictUndefined, nodes
from jinja2.exceptions import TemplateSyntaxError
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment


class Templates(ImmutableSandboxedEnvironment):
    """A value that is not there is an error, not nothing; `meta.items` is the key of a dict, not its method."""

    def __init__(self, map_path: Callable[[str], str] = str) -> None:
        super().__init__(undefined=StrictUndefined, keep_trailing_newline=True, autoescape=False)
        self.filters["map_path"] = map_path

    def getattr(self, obj: Any, attribute: str) -> Any:
        if isinstance(obj, dict) and attribute in obj:
            return obj[attribute]
        return super().getattr(obj, attribute)

    def read(self, text: str, *, expression: bool) -> nodes.Template:
        """The tree of a template, or of an expression alone. Raises `TemplateSyntaxError`."""
        if not expression:
            return self.parse(text)
        parser = Parser(self, text, state="variable")
        tree = parser.parse_expression()
        if not parser.stream.eos:
            raise TemplateSyntaxError("there is something behind the expression", parser.stream.current.lineno)
        whole = nodes.Template([nodes.Output([tree], lineno=1)], lineno=1)
        whole.set_environment(self)
        return whole
