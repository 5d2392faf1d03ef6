"""What every model of the spec is: frozen, strict about unknown keys, described for editors."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints, model_validator

Name = Annotated[
    str,
    StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"),
    Field(description="A name: letters, digits, dots, dashes and underscores, 64 at most. Names are identities."),
]


class Node(BaseModel):
    """A mapping of the spec. An unknown key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True, populate_by_name=False)


def _listed(value: object) -> object:
    return value if isinstance(value, list | tuple) else [value]


Listed = BeforeValidator(_listed)


class SecretSource(Node):
    """Where a secret is: exactly one of an environment variable and a file. Never the secret itself."""

    env: Annotated[str, StringConstraints(pattern=r"^[A-Za-z_][A-Za-z0-9_]*$")] | None = None
    """Name of the environment variable that holds the secret."""
    file: Annotated[str, StringConstraints(min_length=1)] | None = None
    """Path of a file that holds the secret, relative to the spec. Re-read when it changes."""

    @model_validator(mode="after")
    def _exactly_one(self) -> SecretSource:
        if (self.env is None) == (self.file is None):
            raise ValueError("name exactly one of `env` and `file`, such as {env: ANTHROPIC_API_KEY}")
        return self


Off = Literal["off"]


def off_for_false(value: Any) -> Any:
    """`off` is a string in YAML 1.2 and `false` in the habits of many; both mean off."""
    return "off" if value is False else value
