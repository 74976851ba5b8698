"""What all messages share."""

from __future__ import annotations

from typing import Annotated, Final

from pydantic import BaseModel, ConfigDict, Field

PROTOCOL: Final = "magtkd.v1"
"""Name of the websocket subprotocol."""

Probability = Annotated[float, Field(ge=0, le=1)]


class Message(BaseModel):
    """A message, or a part of one; readers ignore fields that they do not know."""

    model_config = ConfigDict(
        frozen=True, extra="ignore", allow_inf_nan=False, use_attribute_docstrings=True
    )
