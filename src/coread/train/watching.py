"""What is seen of a fit while it runs and after: progress bar, TensorBoard, curves as a picture."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from lightning.pytorch.callbacks import Callback

from coread.train.distributed import is_first_process

Progress = Callable[[str, int, int], None]
_EVERY = 10


class ProgressWatcher(Callback):
    """Tells how many steps of how many are done, with the latest loss and score."""

    def __init__(self, title: str, progress: Progress) -> None:
        self._title, self._progress, self._words = title, progress, ""

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Tell the step."""
        steps = int(trainer.num_training_batches)
        done = trainer.current_epoch * steps + trainer.fit_loop.batch_idx + 1
        loss = float(trainer.callback_metrics.get("loss", float("nan")))
        self._progress(f"{self._title} loss {loss:.3f}{self._words}", done, steps * int(trainer.max_epochs))

    def on_train_epoch_end(self, _: Any, pl_module: Any) -> None:
        """Remember the score."""
        if "score" in pl_module.latest:
            self._words = f", score {pl_module.latest['score']:.3f}"


class TensorBoardWatcher(Callback):
    """Writes losses and scores for TensorBoard; what a killed run wrote after its last checkpoint is taken back."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._writer: Any = None

    def on_train_start(self, trainer: Any, *_: Any) -> None:
        """Open the log where the fit begins or goes on."""
        if is_first_process():
            from torch.utils.tensorboard import SummaryWriter

            self._writer = SummaryWriter(str(self._folder), purge_step=int(trainer.global_step))

    def on_train_batch_end(self, trainer: Any, *_: Any) -> None:
        """Write the loss now and then."""
        if self._writer is not None and trainer.global_step % _EVERY == 0:
            self._add("step/loss", float(trainer.callback_metrics["loss"]), trainer.global_step)
            self._add("step/learning_rate", trainer.optimizers[0].param_groups[0]["lr"], trainer.global_step)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:
        """Write the loss and the scores of the epoch."""
        for name, value in pl_module.latest.items():
            self._add(f"epoch/{name}", float(value), trainer.global_step)

    def on_train_end(self, *_: Any) -> None:
        """Close the log."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _add(self, name: str, value: float, step: int) -> None:
        if self._writer is not None:
            self._writer.add_scalar(name, value, step)


def draw_curves(histories: Mapping[str, Sequence[Mapping[str, float]]], path: Path) -> None:
    """Draw the loss and every score over the epochs, one line per fit, into one PNG."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    names = list(dict.fromkeys(name for rows in histories.values() for row in rows for name in row))
    shown = [name for name in names if name.count("/") < 2]
    columns = min(3, len(shown))
    rows = -(-len(shown) // columns)
    figure = Figure(figsize=(4.2 * columns, 2.9 * rows), layout="constrained")
    for number, name in enumerate(shown, start=1):
        axes = figure.add_subplot(rows, columns, number)
        for title, history in histories.items():
            axes.plot(range(1, len(history) + 1), [row.get(name, float("nan")) for row in history], label=title)
        axes.set_title(name if name in ("loss", "score") else f"tune: {name}", fontsize=9)
        axes.set_xlabel("epoch", fontsize=8)
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        axes.tick_params(labelsize=8)
        axes.grid(alpha=0.3)
        if len(histories) > 1 and number == 1:
            axes.legend(fontsize=7)
    beside = path.with_name(f".{path.name}")
    figure.savefig(beside, dpi=110, format="png")
    beside.replace(path)
