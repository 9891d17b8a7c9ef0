"""Which class an input is of: what is the same for classifiers of anything."""

from __future__ import annotations

from abc import abstractmethod
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from minigrad import Tensor, cross_entropy, softmax
from minigrad.files import printable
from minigrad.training import evaluating
from models.devices import device_of, moved
from models.measuring.confusion import confusion, scores
from models.measuring.evaluation import quiet
from models.runs.task import Progress
from models.runs.trouble import Diverged
from models.tasks.problem import TOGETHER, Answer, Indices, Problem, Stop, in_batches

SAMPLES = 3
"""How many examples a sample shows."""

MOST_CLASSES = 8
"""So many classes are told by name."""


class ClassProblem(Problem):
    """Which class an input is of.

    Among the facts are the "classes", by their names. Examples and batches have `labels`, the
    numbers of their classes.
    """

    figures: ClassVar[Mapping[str, tuple[str, bool]]] = {
        "accuracy": ("accuracy", True),
        "macro-f1": ("macro_f1", True),
        "loss": ("loss", False),
    }

    def __init__(self, settings: Any, facts: Mapping[str, Any]) -> None:
        super().__init__(settings, facts)
        self.classes: list[str] = facts["classes"]
        self._id_of = {label: id for id, label in enumerate(self.classes)}

    @abstractmethod
    def logits(self, model: Any, batch: Any) -> Tensor:
        """The logits of the classes, of shape (N, C)."""

    def numbers(self, labels: Sequence[str]) -> NDArray[np.int64]:
        """The numbers of classes; a ValueError if one is not known."""
        if unseen := sorted(set(labels) - set(self.classes)):
            raise ValueError(f"the label {unseen[0]!r:.60} is not among those to train on")
        return np.array([self._id_of[label] for label in labels], np.int64)

    def class_loss(self, model: Any, batch: Any) -> Tensor:
        """The cross-entropy of the classes."""
        return cross_entropy(self.logits(model, batch), moved(batch.labels, device_of(model)))

    # ------------------------------------------------------------------ how good it is

    def measured(
        self,
        model: Any,
        examples: Any,
        stop: Stop,
        progress: Progress,
        thorough: bool,
        **options: Any,
    ) -> dict[str, Any] | None:
        """The loss in nats, accuracy and macro-F1; the F1 of each class; "confusion"."""
        total, predicted = 0.0, np.full(len(examples), -1)
        with evaluating(model), quiet():
            for which, batch in in_batches(self, examples, stop, progress):
                logits = self.logits(model, batch)
                labels = moved(batch.labels, device_of(model))
                total += cross_entropy(logits, labels).item() * len(which)
                predicted[which] = logits.numpy().argmax(-1)
        if (predicted < 0).any():
            return None
        return {"loss": total / len(examples), **self.scored(examples, predicted)}

    def scored(self, examples: Any, predicted: NDArray[np.int64]) -> dict[str, Any]:
        """The figures, but the loss, of classes that were predicted."""
        counts = confusion(examples.labels, predicted, len(self.classes))
        accuracy, macro_f1, f1 = scores(counts)
        return {
            "accuracy": accuracy,
            "macro_f1": macro_f1,
            "f1": dict(zip(self.classes, f1, strict=True)),
            "confusion": counts.tolist(),
        }

    def most_frequent(self, train: Any, on: Any) -> dict[str, dict[str, Any]]:
        """The figures of the simplest method: the most frequent class is always predicted."""
        most = np.bincount(train.labels, minlength=len(self.classes)).argmax()
        return {"the most frequent class": self.scored(on, np.full(len(on), most))}

    def columns(self, figures: Mapping[str, Any]) -> dict[str, str]:
        """Accuracy, macro-F1, and the F1 of each class if they are few."""
        found = {
            "accuracy": f"{figures['accuracy']:.2%}",
            "macro-F1": f"{figures['macro_f1']:.4f}",
        }
        if len(self.classes) <= MOST_CLASSES:
            of_class = figures["f1"].items()
            found |= {f"F1 {printable(name)}"[:24]: f"{f1:.4f}" for name, f1 in of_class}
        return found

    def told(self, figures: Mapping[str, Any]) -> str:
        """Accuracy and macro-F1."""
        return f"accuracy {figures['accuracy']:.2%}  macro-F1 {figures['macro_f1']:.4f}"

    # ------------------------------------------------------------------ what it does

    def chances(
        self, model: Any, examples: Any, which: Indices | None = None
    ) -> NDArray[np.float64]:
        """The probability of each class for the examples with these numbers, or for all: (N, C)."""
        which = np.arange(len(examples)) if which is None else which
        found = [np.zeros((0, len(self.classes)))]
        with evaluating(model):
            for start in range(0, len(which), TOGETHER):
                batch = self.batch(examples, which[start : start + TOGETHER])
                found.append(softmax(self.logits(model, batch), -1).numpy().astype(float))
        return np.concatenate(found)

    def answer(self, row: NDArray[np.float64], given: str, about: Mapping[str, Any]) -> Answer:
        """The likeliest class of what was given, and its probability, from those of all."""
        best = int(row.argmax())
        told = f"{printable(self.classes[best])}\t{row[best]:.3f}\t{printable(given)}"
        of_class = {c: round(float(p), 6) for c, p in zip(self.classes, row, strict=True)}
        found = {"label": self.classes[best], "probability": of_class[self.classes[best]]}
        return Answer(told, {**about, **found, "probabilities": of_class})

    def verdicts(
        self, model: Any, examples: Any, rng: np.random.Generator
    ) -> Iterator[tuple[int, str]]:
        """For some examples: their numbers; the likeliest class, and whether it is right.

        Raises
        ------
        Diverged
            if a probability is not finite.
        """
        which = rng.permutation(len(examples))[:SAMPLES]
        chances = self.chances(model, examples, which)
        if not np.isfinite(chances).all():
            raise Diverged("the model's logits became nan or inf")
        for i, row in zip(which.tolist(), chances, strict=True):
            best, label = int(row.argmax()), int(examples.labels[i])
            verdict = "right" if best == label else f"it is {printable(self.classes[label])}"
            yield i, f"{printable(self.classes[best])} {row[best]:.0%} ({verdict})"

    def picture(self, model: Any, examples: Any, title: str, figures: Mapping[str, Any]) -> bytes:
        """Which classes are taken for which."""
        from models.showing.confusion_picture import confusion_picture  # which takes a while

        title = f"{title.replace(', ', chr(10))}\naccuracy {figures['accuracy']:.1%}"
        return confusion_picture(np.array(figures["confusion"]), self.classes, title)


def balance(labels: Sequence[str]) -> str:
    """The share of each class."""
    counts = Counter(labels).most_common()
    more = len(counts) - MOST_CLASSES
    told = [f"{printable(name)} {n / len(labels):.1%}" for name, n in counts[:MOST_CLASSES]]
    return ", ".join(told) + (f", and {more} more" if more > 0 else "")
