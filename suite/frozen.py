"""The base of what is read from a TOML file."""

from pydantic import BaseModel, ConfigDict


class Frozen(BaseModel):
    """A table of a TOML file: it cannot be changed, and has no keys but the declared ones."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)
