"""Stands in for Keras: a model that learns to be right half of the time, then more often."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from .callbacks import Callback


class Model:
    """Calls the callbacks in the order in which Keras does, and learns nothing."""

    stop_training = False

    def get_config(self) -> dict[str, Any]:
        return {"name": "stand-in", "layers": [{"class_name": "Dense", "units": 2}]}

    def save(self, path: str) -> None:
        Path(path).write_text(json.dumps(self.get_config()))

    def fit(self, epochs: int, batches: int, callback: Callback) -> None:
        callback.set_model(self)
        callback.set_params({"epochs": epochs, "steps": batches, "verbose": 0})
        callback.on_train_begin({})
        for epoch in range(epochs):
            callback.on_epoch_begin(epoch, {})
            logs: dict[str, float] = {}
            for batch in range(batches):
                callback.on_train_batch_begin(batch, {})
                logs = {"accuracy": 1 - 0.5 ** (epoch + 1), "loss": 0.5**epoch}
                callback.on_train_batch_end(batch, logs)
            callback.on_epoch_end(epoch, logs)
            if self.stop_training:
                break
        callback.on_train_end(logs)

    def evaluate(self, batches: int, callback: Callback) -> None:
        callback.set_model(self)
        callback.set_params({"steps": batches, "verbose": 0})
        callback.on_test_begin({})
        for batch in range(batches):
            callback.on_test_batch_begin(batch, {})
            callback.on_test_batch_end(batch, {"accuracy": 0.75, "loss": 0.5})
        callback.on_test_end({"accuracy": 0.75, "loss": 0.5})
