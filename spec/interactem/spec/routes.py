"""What an edge says beside its ports: which messages it takes (`when`), and which replica each goes to (`key`)."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, ConfigDict, WithJsonSchema, model_validator

from interactem.spec.models import SpecModel, refuse
from interactem.spec.wording import kind, show

KEY_PATTERN = r"^meta(\.[^.]+)+$"
TAG_RULES = ("any", "all", "none")
_KEY_HINT = "write meta. and a name in the messages' meta, such as meta.scan_number"


def _key(value: object) -> object:
    if not isinstance(value, str):
        raise refuse(f"should be a string, not {kind(value)}", _KEY_HINT)
    if not re.fullmatch(KEY_PATTERN, value):
        raise refuse(f"{show(value)} is not a place in meta", _KEY_HINT)
    return value


RouteKey = Annotated[str, BeforeValidator(_key), WithJsonSchema({"type": "string", "pattern": KEY_PATTERN})]
"""The place of a key in the meta of messages: `meta.scan_number`, or deeper, `meta.stage.x`."""


def _tags(value: object) -> object:
    if not isinstance(value, list | tuple):
        raise refuse(f"should be a list, not {kind(value)}", 'give a list of tags, such as ["even"]')
    for tag in value:
        if not isinstance(tag, str) or not tag:
            raise refuse(f"{show(tag)} is not a tag", "a tag is a text that is not empty")
    if not value:
        raise refuse("is empty", "give at least one tag")
    return tuple(value)


_Tags = Annotated[
    tuple[str, ...],
    BeforeValidator(_tags),
    WithJsonSchema({"type": "array", "items": {"type": "string", "minLength": 1}, "minItems": 1}),
]


def _not_nothing(schema: dict[str, Any]) -> None:
    schema["minProperties"] = 1


class TagRule(SpecModel):
    """What the tags of a message must be; where several are given, all of it holds."""

    model_config = ConfigDict(json_schema_extra=_not_nothing)

    any: _Tags | None = None
    """Tags of which the message has at least one."""
    all: _Tags | None = None
    """Tags that the message has, all of them."""
    none: _Tags | None = None
    """Tags of which the message has none."""

    @model_validator(mode="before")
    @classmethod
    def _something(cls, value: object) -> object:
        if isinstance(value, dict) and not [name for name in value if value[name] is not None]:
            raise refuse("says nothing", 'give "any", "all" or "none", each a list of tags')
        return value

    def __str__(self) -> str:
        given = ((name, getattr(self, name)) for name in TAG_RULES)
        return ", ".join(f"{name} of {' '.join(tags)}" for name, tags in given if tags)


class When(SpecModel):
    """Which messages an edge takes."""

    tags: TagRule
    """What the tags of a message must be."""

    def __str__(self) -> str:
        return f"tags {self.tags}"

    @property
    def rules(self) -> tuple[tuple[str, tuple[str, ...]], ...]:
        """The rules that are given, with their tags; alike for those that mean the same."""
        given = ((name, getattr(self.tags, name)) for name in TAG_RULES)
        return tuple((name, tuple(sorted(set(tags)))) for name, tags in given if tags)
