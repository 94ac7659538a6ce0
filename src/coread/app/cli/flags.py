"""A command whose flags are the fields of one record: long option lists without long parameter lists."""

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, get_type_hints

import typer


def command_with(record: type[Any], action: Callable[..., None]) -> Callable[..., None]:
    """Return a command function for typer: it builds ``record`` from its flags and calls ``action(context, record)``.

    Fields are ``Annotated`` with a typer Option or Argument; fields without a default are required. The help text is
    the docstring of ``action``.
    """

    def run(context: typer.Context, **values: Any) -> None:
        action(context, record(**values))

    hints = get_type_hints(record, include_extras=True)
    kind = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter("context", inspect.Parameter.POSITIONAL_OR_KEYWORD, annotation=typer.Context)]
    parameters += [
        inspect.Parameter(field.name, kind, default=_default(field), annotation=hints[field.name])
        for field in dataclasses.fields(record)
    ]
    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {item.name: item.annotation for item in parameters}
    run.__doc__ = action.__doc__
    run.__name__ = action.__name__
    return run


def _default(field: "dataclasses.Field[Any]") -> Any:
    return inspect.Parameter.empty if field.default is dataclasses.MISSING else field.default
