"""What tells fitters that are not ours apart: the folder of an audit must not take one's results for another's."""

import hashlib
import inspect
import re
from functools import partial
from pathlib import Path
from typing import Any

from finestrec.errors import OptionError
from finestrec.stability.recommenders import ListFitter
from finestrec.stabilizers import Strategy


def fitter_name(fitter: Any) -> str:
    """Where a fitter is from: its class, what makes it, or the function that lists."""
    if isinstance(fitter, ListFitter):
        return fitter.name
    kind = _kind(fitter)
    return f"{kind.__module__}.{kind.__qualname__}"


def fitter_identity(fitter: Any) -> str:
    """A name and a digest that change with the fitter: with what its repr says, and with the files that it stands in.

    What it calls in other files is not seen.

    Raises:
        OptionError: If the source of one cannot be found, so that a change would not be seen.
    """
    digest = hashlib.blake2b(digest_size=8)
    digest.update(re.sub(r" at 0x[0-9a-f]+", "", repr(fitter)).encode())
    for part in _parts(fitter):
        digest.update(_source(part))
    return f"{fitter_name(fitter)} {digest.hexdigest()}"


def _kind(fitter: Any) -> Any:
    """The class of a fitter, or what makes it."""
    return fitter if isinstance(fitter, type) or not hasattr(fitter, "fit") else type(fitter)


def _parts(fitter: Any) -> list[Any]:
    """Classes and functions whose source decides what a fitter does."""
    parts = [_kind(fitter)]
    if isinstance(fitter, ListFitter):
        parts.append(fitter.function)
    if isinstance(fitter, Strategy) and not isinstance(fitter.recipe.model, str):
        parts.append(fitter.recipe.model)
    parts = [part.func if isinstance(part, partial) else part for part in parts]
    return [part if inspect.isroutine(part) or isinstance(part, type) else type(part) for part in parts]


def _source(part: Any) -> bytes:
    try:
        file = Path(inspect.getsourcefile(part) or "")
        return file.read_bytes() if file.is_file() else inspect.getsource(part).encode()
    except (OSError, TypeError):
        raise OptionError(
            f"the source of {part.__module__}.{part.__qualname__} cannot be found, so the folder could not tell another"
            " version of it from this one: put it into a file, or audit without folder="
        ) from None
