"""Whether the templates of a command hold: their syntax, and every name in them, before anything is started."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from interactem.spec.commands import FILE, FILES, templates_in
from interactem.spec.errors import Problem
from interactem.spec.wording import join_path, suggest

if TYPE_CHECKING:
    from jinja2 import nodes

NAMES = ("parameters", "meta", "folder", "input", "outputs", "data", "here", "python", "attempt", "replica", "replicas")
"""What templates may name, for one message."""
LASTING = ("parameters", "folder", "outputs", "data", "here", "python", "replica", "replicas")
"""What they may name where the process outlasts a message."""

_METHODS = frozenset({"get", "items", "keys", "values"})


def command_problems(value: object, source: str) -> Iterator[Problem]:
    """All that is wrong with the templates in a raw `operator.json`; what else is wrong the models tell."""
    command = value.get("command") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(command, dict):
        return
    persistent = command.get("persistent") is True
    if persistent and str(command.get("output", "")).startswith(FILES):
        hint = 'leave it out: a line that the command answers with may name a file, {"file": "result.png"}'
        yield Problem(source, "$.command.output", "a persistent command answers in lines", hint)
    checking: _Checking | None = None
    for steps, text, expression in templates_in(command):
        if checking is None:
            in_file = str(command.get("input", "")).startswith(FILE)
            checking = _Checking(_parameters(value), lasting=persistent, in_file=in_file)
        for message, hint in checking.problems(text, own=str(steps[0]), expression=expression):
            yield Problem(source, join_path("$", "command", *steps), message, hint)


def _parameters(value: dict[str, Any]) -> dict[str, str]:
    """The types of the parameters, by name, as far as the file is of the right form."""
    declared = value.get("parameters")
    every = [one for one in declared if isinstance(one, dict)] if isinstance(declared, list) else []
    return {one["name"]: str(one.get("type")) for one in every if isinstance(one.get("name"), str)}


class _Checking:
    """Reads the templates of one command.

    `lasting` says that its process outlasts a message, `in_file` that the data is in a file.
    """

    def __init__(self, parameters: dict[str, str], *, lasting: bool, in_file: bool) -> None:
        from interactem.spec.jinja import Templates

        self._lasting = lasting
        self._in_file = in_file
        self._parameters = parameters
        self._templates = Templates()

    def problems(self, text: str, *, own: str, expression: bool) -> Iterator[tuple[str, str]]:
        """What is wrong with one template, each with what would be right; `own` is the key that it stands under."""
        from jinja2 import TemplateError

        what = "an expression" if expression else "a template"
        try:
            tree = self._templates.read(text, expression=expression)
        except TemplateError as error:
            yield f"is not {what} of jinja2: {(error.message or '').rstrip('.')}", ""
            return
        unknown = list(self._unknown_functions(tree))
        yield from unknown
        if not unknown:
            yield from self._unknown_names(tree, own)
        yield from self._unknown_parameters(tree)

    def _unknown_functions(self, tree: nodes.Template) -> Iterator[tuple[str, str]]:
        from jinja2 import nodes

        for node in tree.find_all((nodes.Filter, nodes.Test)):
            kind, known = (
                ("filter", self._templates.filters)
                if isinstance(node, nodes.Filter)
                else ("test", self._templates.tests)
            )
            if node.name not in known:
                yield f"there is no {kind} {node.name!r}", suggest(node.name, known, f"{kind}s")
        elsewhere = (nodes.Include, nodes.Import, nodes.FromImport, nodes.Extends)
        if any(tree.find(kind_of) is not None for kind_of in elsewhere):
            yield "takes something from another template", "write it in one"

    def _unknown_names(self, tree: nodes.Template, own: str) -> Iterator[tuple[str, str]]:
        from jinja2 import meta

        lasting = self._lasting and own not in ("input", "output")
        without = "input" if own == "input" or not self._in_file else ""
        known = [name for name in (LASTING if lasting else NAMES) if name != without]
        for name in sorted(meta.find_undeclared_variables(tree) - set(known)):
            if lasting and name in NAMES:
                yield f"names {name!r}, and one process takes many messages", "each line that it reads tells of its own"
            elif name == "input" != own:
                yield "names 'input', and the data goes to standard input", 'add "input": "file:NAME"'
            elif name in self._parameters:
                written = f"{{{{ data }}}}/{name}" if self._parameters[name] == "mount" else f"parameters.{name}"
                yield f"names {name!r}, which is a parameter", f"write {written}"
            else:
                yield f"names {name!r}, which is not known", suggest(name, known, "names")

    def _unknown_parameters(self, tree: nodes.Template) -> Iterator[tuple[str, str]]:
        for name in dict.fromkeys(_of_parameters(tree)):
            if name not in self._parameters:
                yield f"there is no parameter {name!r}", suggest(name, self._parameters, "parameters")
            elif self._parameters[name] == "mount":
                yield f"{name!r} is a mount, and none of the parameters' values", f"write {{{{ data }}}}/{name}"


def _of_parameters(tree: nodes.Template) -> Iterator[str]:
    """The names that are taken out of `parameters`, where they stand in the template itself."""
    from jinja2 import nodes

    for node in tree.find_all((nodes.Getattr, nodes.Getitem, nodes.Call)):
        if isinstance(node, nodes.Getattr) and _is_parameters(node.node) and node.attr not in _METHODS:
            yield node.attr
        elif isinstance(node, nodes.Getitem) and _is_parameters(node.node):
            yield from _constant(node.arg)
        elif isinstance(node, nodes.Call) and isinstance(node.node, nodes.Getattr) and node.args:
            if _is_parameters(node.node.node) and node.node.attr == "get":
                yield from _constant(node.args[0])


def _is_parameters(node: nodes.Node) -> bool:
    from jinja2 import nodes

    return isinstance(node, nodes.Name) and node.name == "parameters"


def _constant(node: nodes.Node) -> Iterator[str]:
    from jinja2 import nodes

    if isinstance(node, nodes.Const) and isinstance(node.value, str):
        yield node.value
