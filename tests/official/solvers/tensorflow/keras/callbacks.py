"""The class that callbacks of Keras are of."""

from __future__ import annotations

from typing import Any


class Callback:
    """Is told what a model does: here only what model it is, and how much it does."""

    def set_model(self, model: Any) -> None:
        self.model = model

    def set_params(self, params: dict[str, Any]) -> None:
        self.params = params
