"""Problems of long memory: what gates are for."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from minigrad import Tensor, cpu, cross_entropy, mse_loss, nn
from minigrad.files import printable
from minigrad.training import evaluating, recurrent_products
from models.devices import device_of, moved
from models.measuring.evaluation import quiet
from models.measuring.units import Unit
from models.memory_network import MemoryNetwork
from models.reading.labelled_texts import BadLine, tabbed, told_bad
from models.reading.memory_problems import Examples, MemoryProblem
from models.runs.saved_model import GATES
from models.runs.task import Progress
from models.runs.trouble import Diverged
from models.tasks.problem import Answer, Data, Indices, Problem, Stop, in_batches
from models.tasks.remember_settings import RememberSettings

HELD_OUT = 1000
"""How many examples there are to validate on, and to test on: the same for each run."""

EPOCH = 10_000
"""So many new examples are called an epoch."""

SAMPLES = 3
"""How many answers a sample shows."""


class _Fresh:
    """Examples that are drawn when they are needed."""

    def __len__(self) -> int:
        return EPOCH


class Remembering(Problem):
    """Adding, copying or temporal order: see `models.reading.memory_problems`. There are no facts.

    A step trains on new examples, which are a function of the seed and the number of the step.
    """

    kind = RememberSettings
    model_kind = MemoryNetwork
    facts_form: ClassVar[Mapping[str, Any]] = {}
    unit = Unit("loss in nats per answer", "nats", lambda nats: nats, logarithmic=True)
    about = "Remember over many time steps: adding, copying, temporal order."
    help = """Train a network on a problem that only a memory of many time steps solves.

    Ctrl-C stops the training; `--resume DIR` goes on with it, as if it had never been stopped.

    In the end its figures are printed beside those of the best answers without a memory.
    """
    input_help = (
        "Numbers, with a star after those to be added; or a symbol for each time step; or a whole "
        "number, the seed of an example. Else --file, or each line of the standard input."
    )
    example_input = "1"

    def __init__(self, settings: RememberSettings, facts: Mapping[str, Any]) -> None:
        super().__init__(settings, facts)
        self.of = MemoryProblem(settings.problem, settings.length)

    @classmethod
    def unit_of(cls, s: RememberSettings) -> Unit:
        """The mean squared error of adding, nats of the others."""
        if s.problem == "adding":
            return Unit("mean squared error", "MSE", lambda loss: loss, logarithmic=True)
        return cls.unit

    @classmethod
    def references(cls, s: RememberSettings) -> Mapping[str, float]:
        """The expected loss without a memory."""
        loss = MemoryProblem(s.problem, s.length).baseline
        return {f"no memory: {loss:.3g}": loss}

    # ------------------------------------------------------------------ data

    @classmethod
    def load(cls, s: RememberSettings) -> Data:
        """Examples to validate and to test on."""
        of, hashed = MemoryProblem(s.problem, s.length), hashlib.sha256()
        parts: dict[str, Any] = {"train": _Fresh()}
        for number, part in enumerate(("valid", "test")):
            parts[part] = of.draw(HELD_OUT, np.random.default_rng([number, 1997]))
            hashed.update(parts[part].inputs.tobytes() + parts[part].targets.tobytes())
        return Data(parts, hashed.hexdigest())

    @classmethod
    def load_part(cls, s: RememberSettings, path: Path) -> tuple[Examples, Sequence[BadLine]]:
        """The examples of a file: an input, a tab and its answer in each line, of one length."""
        of = MemoryProblem(s.problem, s.length)
        inputs: list[Any] = []
        targets: list[Any] = []
        bad = []
        for number, row in tabbed(path):
            try:
                if len(row) != 2:
                    raise ValueError(f"{len(row)} columns instead of 2")
                x = of.read(row[0])
                y = of.heard(row[1].strip(), len(x))
                if inputs and x.shape != inputs[0].shape:
                    raise ValueError(f"{len(x)} time steps; those before have {len(inputs[0])}")
            except ValueError as error:
                bad.append(BadLine(str(path), number, str(error)))
                continue
            inputs.append(x)
            targets.append(y)
        if not inputs:
            why = f": {told_bad(bad)}" if bad else ""
            raise ValueError(f"{str(path)!r} has no line with an input, a tab and its answer{why}")
        return Examples(np.concatenate(inputs, 1), np.concatenate(targets, 1)), bad

    @classmethod
    def learnt(cls, s: RememberSettings, train: Any) -> dict[str, Any]:
        """Nothing."""
        return {}

    def prepared(self, part: Any) -> Any:
        """They are as the model reads them."""
        return part

    def lengths(self, examples: Any) -> Sequence[int]:
        """All are as long."""
        return [self.of.steps] * len(examples)

    def batch(self, examples: Any, which: Indices) -> Examples | int:
        """Examples; of new ones, how many: `loss` draws them."""
        return len(which) if isinstance(examples, _Fresh) else examples.some(which)

    # ------------------------------------------------------------------ the network

    def model_arguments(self) -> dict[str, Any]:
        """As `MemoryNetwork` takes them."""
        s, of = self.settings, self.of
        return {
            "features": of.features,
            "outputs": of.outputs,
            "hidden_size": s.hidden_size,
            "cell": s.cell,
            "everywhere": of.everywhere,
            "longest": of.steps if s.keeps is None else s.keeps,
        }

    def weight_shapes(self) -> dict[str, tuple[int, ...]]:
        """From these the size of all weights follows."""
        s = self.settings
        return {
            "recurrent.weight_hh_l0": (GATES[s.cell] * s.hidden_size, s.hidden_size),
            "output.bias": (self.of.outputs,),
        }

    @classmethod
    def products(cls, s: RememberSettings) -> Sequence[cpu.Product]:
        """Those of the recurrent layer."""
        of = MemoryProblem(s.problem, s.length)
        sizes = (of.features, s.hidden_size, GATES[s.cell])
        return recurrent_products([s.batch_size] * of.steps, *sizes)

    def loss(
        self, model: Any, batch: Examples | int, step: int, rng: np.random.Generator
    ) -> tuple[Tensor, int]:
        """The loss of `batch` new examples."""
        if isinstance(batch, int):
            batch = self.of.draw(batch, np.random.default_rng([self.settings.seed, 3, step]))
        return self._loss(self._outputs(model, batch), batch), batch.inputs[..., 0].size

    def _outputs(self, model: Any, batch: Examples) -> Tensor:
        found: Tensor = model(moved(batch.inputs, device_of(model)))
        return found

    def _loss(self, outputs: Tensor, batch: Examples) -> Tensor:
        """The mean over all answers."""
        targets = moved(batch.targets, str(outputs.device))
        if self.of.numeric:
            return mse_loss(outputs[..., 0], targets)
        return cross_entropy(outputs.reshape(-1, self.of.outputs), targets.reshape(-1))

    # ------------------------------------------------------------------ how good it is

    def measured(
        self,
        model: Any,
        examples: Examples,
        stop: Stop,
        progress: Progress,
        thorough: bool,
        **options: Any,
    ) -> dict[str, Any] | None:
        """The mean loss, and the share of right answers."""
        loss = right = 0.0
        done = 0
        with evaluating(model), quiet():
            for which, batch in in_batches(self, examples, stop, progress):
                outputs = self._outputs(model, batch)
                loss += self._loss(outputs, batch).item() * len(which)
                right += float(self.of.right(outputs.numpy(), batch.targets).mean()) * len(which)
                done += len(which)
        if done < len(examples):
            return None
        return {"loss": loss / done, "right": right / done}

    def simpler(self, train: Any, valid: Any, on: Any) -> dict[str, dict[str, Any]]:
        """The best answers without a memory; of several equally likely ones, what is expected."""
        of = self.of
        found = {"loss": of.baseline, "right": of.baseline_right}
        if of.numeric:
            always = np.ones((*on.targets.shape, 1))
            found["loss"] = float(np.square(always[..., 0] - on.targets).mean())
            found["right"] = float(of.right(always, on.targets).mean())
        return {"no memory": found}

    def columns(self, figures: Mapping[str, Any]) -> dict[str, str]:
        """The loss and the share of right answers."""
        unit = self.unit_of(self.settings)
        return {unit.short: f"{figures['loss']:.3g}", "right": f"{figures['right']:.2%}"}

    def told(self, figures: Mapping[str, Any]) -> str:
        """The share of right answers."""
        return f"{figures['right']:.2%} right"

    # ------------------------------------------------------------------ what it does

    def answers(self, model: Any, inputs: Sequence[str], **options: Any) -> list[Answer]:
        """The answer to each input; and the right one, if the input is the seed of an example."""
        of, found = self.of, []
        value = float if of.numeric else str
        for text in inputs:
            facts: dict[str, Any] = {"input": text}
            if text.isdecimal():
                drawn = of.draw(1, np.random.default_rng(int(text)))
                x, facts = drawn.inputs, {"input": of.written(drawn.inputs[:, 0])}
                facts["right"] = value(right := of.told(drawn.targets[:, 0]))
            else:
                x, right = of.read(text), ""
            with evaluating(model):
                outputs = model(moved(x, device_of(model))).numpy()
            if not np.isfinite(outputs).all():
                raise Diverged("what the model answers became nan or inf")
            facts["answer"] = value(told := of.told(of.answers(outputs)[:, 0]))
            parts = [told, *([f"it is {right}"] if right else []), printable(facts["input"])]
            found.append(Answer("\t".join(parts), facts))
        return found

    def sample(self, model: Any, examples: Examples, rng: np.random.Generator) -> str:
        """Answers, and what they should be."""
        some = examples.some(rng.permutation(len(examples))[:SAMPLES])
        with evaluating(model):
            outputs = self._outputs(model, some).numpy()
        if not np.isfinite(outputs).all():
            raise Diverged("what the model answers became nan or inf")
        right = self.of.right(outputs, some.targets)
        answers, lines = self.of.answers(outputs), []
        for i in range(len(some)):
            text = self.of.written(some.inputs[:, i])
            short = text if len(text) <= 60 else text[:59] + "…"
            verdict = "right" if right[:, i].all() else f"it is {self.of.told(some.targets[:, i])}"
            lines.append(f"{self.of.told(answers[:, i])} ({verdict}): {short}")
        return "\n".join(lines)

    # ------------------------------------------------------------------ what is said

    def title(self) -> str:
        """The network and the problem."""
        s = self.settings
        return f"{s.cell.upper()} of {s.hidden_size} units, {s.sources}"

    def introduction(self, data: Data, model: nn.Module) -> list[str]:
        """That examples are new, and the model."""
        s = self.settings
        gates = f", whose gates keep {self.of.steps if s.keeps is None else s.keeps} steps at first"
        return [
            f"            those to train on are new in each step; {EPOCH:,} make an epoch",
            f"model       {s.cell.upper()} of {s.hidden_size} units"
            f"{'' if s.cell == 'rnn' or s.keeps == 0 else gates}, "
            f"{model.num_parameters():,} parameters",
        ]
