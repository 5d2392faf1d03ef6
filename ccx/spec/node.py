"""What every model of the spec is: frozen, strict about unknown keys, described for editors."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    StringConstraints,
    model_validator,
)
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema, core_schema

from ccx.spec.scalars import Duration

ENV_PATTERN: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"
NAME_PATTERN: Final = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"

Name = Annotated[str, StringConstraints(pattern=NAME_PATTERN)]
"""Letters, digits, dots, dashes and underscores, 64 at most. Names are identities."""


class Node(BaseModel):
    """A mapping of the spec. An unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, populate_by_name=False)


@dataclass(frozen=True, slots=True)
class Short:
    """A short form of a value. `expand` makes the full form of it; `show` adds it to the JSON Schema."""

    expand: Callable[[Any], Any]
    show: Callable[[JsonSchemaValue], JsonSchemaValue]

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_before_validator_function(self.expand, handler(source))

    def __get_pydantic_json_schema__(self, schema: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        return self.show(handler(schema))


def _listed(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


def one_or_many(schema: JsonSchemaValue) -> JsonSchemaValue:
    """A list, or one entry in place of a list of one."""
    return {"anyOf": [schema["items"], schema]}


Listed = Short(_listed, one_or_many)


class SecretSource(Node):
    """Where a secret is: exactly one of an environment variable, a file and a command. Never the secret itself."""

    model_config = ConfigDict(
        json_schema_extra={
            "oneOf": [{"required": ["env"]}, {"required": ["file"]}, {"required": ["command"]}],
        },
    )

    env: Annotated[str, StringConstraints(pattern=ENV_PATTERN)] | None = None
    """Name of the environment variable that holds the secret."""
    file: Annotated[str, StringConstraints(min_length=1)] | None = None
    """Path of a file that holds the secret, relative to the spec. Re-read when it changes."""
    command: Annotated[tuple[str, ...], Field(min_length=1)] | None = None
    """A program that prints the secret, with its arguments, run without a shell: [op, read, "op://vault/key"]. `ccx
    serve` runs it when it starts and again after `refresh`; nothing else does."""
    refresh: Annotated[Duration, Field(ge=1000)] | None = None
    """When a command is run again. Default 5m."""

    @model_validator(mode="after")
    def _exactly_one(self) -> SecretSource:
        if sum(source is not None for source in (self.env, self.file, self.command)) != 1:
            raise ValueError(
                "name exactly one of `env`, `file` and `command`, such as {env: ANTHROPIC_API_KEY}",
            )
        if self.refresh is not None and self.command is None:
            raise ValueError("`refresh` belongs to a `command`; files are re-read when they change")
        return self


Off = Literal["off"]


def _off_for_false(value: Any) -> Any:
    return "off" if value is False else value


def _or_false(schema: JsonSchemaValue) -> JsonSchemaValue:
    return {**schema, "anyOf": [*schema["anyOf"], {"const": False}]}


OffOrFalse = Short(_off_for_false, _or_false)
"""`off` is a string in YAML 1.2 and `false` in the habits of many; both mean off."""
