"""The base of every options object: immutable, unknown keys refused, errors in the words of the user."""

import difflib
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, TypeVar, get_args, get_origin

from pydantic import BaseModel, ConfigDict, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from finestrec.errors import OptionError

NONE: Final = "none"
"""What stands for no value where TOML and command lines have no null."""
_LONGEST_NOTE = 120


class Options(BaseModel):
    """Frozen options; each field carries its docstring and its bounds."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False, validate_default=True
    )


SomeOptions = TypeVar("SomeOptions", bound=Options)


def validated(
    options: type[SomeOptions], values: Mapping[str, Any], section: str = "", more: Sequence[str] = ()
) -> SomeOptions:
    """Options from raw values of a file or a command line.

    Args:
        options: The type.
        values: By field name; "none" stands for None, and "a,b" for a list, where the field takes those.
        section: What users write before the key, e.g. "finest".
        more: Further keys to name when one is unknown.

    Raises:
        OptionError: If a key is unknown or a value does not fit; names the key as users write it, what was found
            and what is expected.
    """
    known = options.model_fields
    try:
        return options.model_validate({key: _typed(known.get(key), value) for key, value in values.items()})
    except ValidationError as error:
        raise OptionError(_sentence(error, options, section, more)) from None


def completed(options: type[SomeOptions], given: Mapping[str, Any] | SomeOptions | None, section: str) -> SomeOptions:
    """Options by field name over the defaults; complete ones as they are.

    Args:
        options: The type.
        given: By field name, or complete; None is the defaults.
        section: As for `validated`.

    Raises:
        OptionError: As of `validated`, or if it is neither.
    """
    if given is None or isinstance(given, Mapping):
        return validated(options, given or {}, section)
    if not isinstance(given, options):
        raise OptionError(f"{section} is {given!r}; expected options by name in a dict, or {options.__name__}")
    return given


def _typed(info: FieldInfo | None, value: Any) -> Any:
    if info is None or not isinstance(value, str):
        return value
    if value == NONE and type(None) in get_args(info.annotation):
        return None
    return [part.strip() for part in value.split(",")] if get_origin(info.annotation) is tuple else value


def _sentence(error: ValidationError, options: type[Options], section: str, more: Sequence[str]) -> str:
    prefix = f"{section}." if section else ""
    problems: dict[str, str] = {}
    for problem in error.errors():
        rule = problem["msg"].removeprefix("Input ").removeprefix("Value error, ").removeprefix("Tuple ")
        key = str(problem["loc"][0]) if problem["loc"] else ""
        if problem["type"] == "extra_forbidden":
            rule = _unknown(key, [*options.model_fields, *more], prefix)
        elif key:
            about = " ".join((options.model_fields[key].description or "").split()).rstrip(".")
            about = f" ({about})" if about and len(about) < _LONGEST_NOTE else ""
            rule = f"{prefix}{key} is {_input(problem)!r}; it {rule}{about}"
        problems.setdefault(key, rule)
    return "; ".join(problems.values())


def _input(problem: ErrorDetails) -> Any:
    return NONE if problem["input"] is None else problem["input"]


def _unknown(key: str, known: Sequence[str], prefix: str) -> str:
    near = difflib.get_close_matches(key, known, n=1)
    hint = f" (did you mean {prefix}{near[0]}?)" if near else ""
    names = ", ".join(prefix + name for name in known)
    return f"unknown option {prefix}{key}{hint}; " + (f"known are {names}" if names else "there are none")


def read_toml(path: Path) -> dict[str, Any]:
    """The content of a TOML file.

    Raises:
        OptionError: If the file is missing or not TOML.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise OptionError(f"{path} cannot be read: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise OptionError(f"{path} is not TOML: {error}") from None
