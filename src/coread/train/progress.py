"""What a fit says of itself while it runs, for recipes that are started from a shell."""

import logging
import time
from typing import Any

from lightning.pytorch.callbacks import Callback

log = logging.getLogger("coread.train")


class EpochLog(Callback):
    """Logs loss and scores after each epoch."""

    def __init__(self, name: str) -> None:
        self._name, self._began = name, time.monotonic()

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Log one line."""
        said = ", ".join(f"{key} {value:.3f}" for key, value in pl_module.latest.items())
        seconds = time.monotonic() - self._began
        epoch = trainer.current_epoch + 1
        log.info("%s, epoch %d of %d, %.0f s: %s", self._name, epoch, trainer.max_epochs, seconds, said)
