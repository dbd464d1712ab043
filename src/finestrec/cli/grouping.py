"""Options that several commands share, as dataclasses that Typer shows flat."""

import inspect
from collections.abc import Callable
from dataclasses import MISSING, fields, is_dataclass
from functools import wraps
from typing import Any, get_type_hints


def grouped(command: Callable[..., None]) -> Callable[..., None]:
    """Let a command take dataclasses of options: each field becomes an option of its own.

    ::

        @dataclass(frozen=True)
        class Output:
            json: Annotated[bool, typer.Option(help="...")] = False

        @grouped
        def train(log: Path, output: Output) -> None: ...     # finestrec train LOG [--json]
    """
    parameters: list[inspect.Parameter] = []
    groups: dict[str, Any] = {}
    hints = get_type_hints(command, include_extras=True)
    for name, parameter in inspect.signature(command).parameters.items():
        kind = hints[name]
        if not is_dataclass(kind):
            parameters.append(parameter.replace(annotation=kind, kind=inspect.Parameter.KEYWORD_ONLY))
            continue
        groups[name] = kind
        field_hints = get_type_hints(kind, include_extras=True)
        for member in fields(kind):
            default = inspect.Parameter.empty if member.default is MISSING else member.default
            parameters.append(
                inspect.Parameter(
                    member.name,
                    inspect.Parameter.KEYWORD_ONLY,
                    default=default,
                    annotation=field_hints[member.name],
                )
            )

    @wraps(command)
    def flat(**values: Any) -> None:
        for name, kind in groups.items():
            values[name] = kind(**{member.name: values.pop(member.name) for member in fields(kind)})
        command(**values)

    flat.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    flat.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    del flat.__wrapped__  # Typer would look through it
    return flat
