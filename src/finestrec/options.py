"""The base of every options object: immutable, and unknown keys are refused."""

from pydantic import BaseModel, ConfigDict


class Options(BaseModel):
    """Frozen options; each field carries its docstring and its bounds."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False, validate_default=True
    )
