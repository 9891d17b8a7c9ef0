"""Answers that a learner may give: a right one passes in any form, a wrong one does not.

Each is a change of the program, or a whole program. The wrong ones are those that the example in
the program does not show: they are right for its numbers alone, or break what was right before.
"""

import subprocess
import sys

import pytest

from minigrad.exercises.__main__ import EXERCISES, main
from minigrad.exercises.exercise import WrongError, expect, given, pair, shown, told

pytestmark = pytest.mark.host(reason="the programs compute on the CPU")


def said(name, *changes):
    program = EXERCISES[name].program
    for before, after in changes:
        assert before in program
        program = program.replace(before, after)
    return told(EXERCISES[name], program.encode(), "a.py")


WALK = EXERCISES["order"].mend[0]
SOFTMAX = EXERCISES["temperature"].mend[0]
LOSS = EXERCISES["log_of_zero"].mend[0]
CLIP = EXERCISES["direction"].mend[0]
MEASURE = EXERCISES["two_losses"].mend[0] + "    return loss.item()\n"

RIGHT = [
    ("accumulation", ("parent.grad = slope", "parent.grad = parent.grad + slope")),
    ("order", (WALK, WALK.replace("[value]", "sorted_from(value)").rsplit("  waiting", 1)[0])),
    ("order", ("waiting = [value]", "waiting = [(value, 1.0)]"),
     ("each = waiting.pop()", "each, g = waiting.pop()"), ("slope * each.grad", "slope * g"),
     ("waiting.append(parent)", "waiting.append((parent, slope * g))")),
    ("broadcasting", ("return g, g", "return [g.copy(), np.ones(len(g)) @ g]")),
    ("transpose", ("x.T @ g", "np.einsum('nh,nd->hd', g, x).astype(np.float32)")),
    ("in_place", ("y = self.tanh\n", "y = self.tanh.copy()\n")),
    ("in_place", ("self.tanh**2", "(self.tanh / 3)**2")),
    ("repeated_ids", ("dE[ids] += g", "dE = np.eye(vocab_size)[ids].T @ g")),
    ("repeated_ids", ("dE[ids] += g", "\n    for i, row in zip(ids, g): dE[i] += row")),
    ("overflow", ("powers = np.exp(logits)", "import minigrad as mg; return mg.softmax(logits)")),
    ("log_of_zero", (LOSS, "    return mg.cross_entropy(logits, label)\n")),
    ("log_of_zero", (LOSS, "    return mg.logsumexp(logits, -1) - logits[label]\n")),
    ("mask", ("scores * real", "scores.copy(); scores[~real] = -np.inf")),
    ("mask", ("scores * real", "np.where(real, scores, -1e30)")),
    ("padding", ("losses.mean()", "losses[np.arange(len(losses))[:, None] < lengths].mean()")),
    ("temperature", ("p = p / temperature", "p = p ** (1 / temperature)")),
    ("temperature", ("    powers", "    logits = logits / temperature\n    powers")),
    ("saturated", ("rng.standard_normal((H, H))", "rng.uniform(-1, 1, (H, H)) * (3 / H)**0.5")),
    ("saturated", ("rng.standard_normal((H, H))", "np.linalg.qr(rng.standard_normal((H, H)))[0]")),
    ("shift", ("ids[:-1], ids[:-1]", "np.stack([ids[:-1], np.roll(ids, -1)[:-1]])")),
    ("streams", ("reshape(T, N)", "reshape((T, N), order='F')")),
    ("carried_state", ("    state = None\n", "    state, size = None, 1\n"),
     ("start + size]", "start + size], state")),
    ("detached", ("(x, h).detach()", "(x, h) if h is not None else cell(x)")),
    ("zero_grad", ("loss.backward()", "w.grad = None; loss.backward()")),
    ("zero_grad", ("optimizer.step()", "optimizer.step(); optimizer.zero_grad()")),
    ("two_losses", (MEASURE, "    import copy\n    still = copy.deepcopy(model).eval()\n"
                             "    return mg.cross_entropy(still(x), labels)\n")),
    ("direction", (CLIP, "    norm = np.hypot.reduce([np.linalg.norm(g) for g in gradients])\n"
                         "    return (g / max(1.0, norm / longest) for g in gradients)\n")),
    ("direction", (CLIP, "    norm = sum((g**2).sum() for g in gradients) ** 0.5\n"
                         "    for g in gradients: g *= min(1.0, longest / (norm + 1e-6))\n"
                         "    return tuple(gradients)\n")),
    ("forget_gate", ("values[:H] = 1.0", "values.reshape(4, H)[1] = 1.0")),
    ("forget_gate", ("values[:H] = 1.0", "values[H : 2 * H] = 0.5"),
     ("_ih.data[...] = values", "_ih.data[...] = values; cell.bias_hh.data[...] = values")),
]  # fmt: skip

WRONG = [
    ("accumulation", "3 is 9, and", ("return x.grad", "return 2 * number + 1")),
    ("order", "2 is 200, and", ("pop()", "pop(0)"),
     ("            waiting.append", "            if parent not in waiting: waiting.append")),
    ("broadcasting", "y is", ("return x + b", "return x * b"), ("g, g", "g, g.sum(0)")),
    ("broadcasting", "return two", ("g, g", "g.sum(0)")),
    ("broadcasting", "should be (3,)", ("g, g", "g, g.sum(0, keepdims=True)")),
    ("transpose", "y is", ("x @ W.T", "0 * (x @ W.T)"), ("x.T @ g", "0 * g.T @ x")),
    ("in_place", "of x is", ("y *= 3", "y = y * 3"), ("return g *", "return")),
    ("in_place", "in place", ("np.tanh(x)", "np.tanh(x, out=x)"), ("y *= 3", "y = y * 3")),
    ("repeated_ids", "(3, 2)", ("dE[ids] += g", "np.add.at(dE, ids, g); dE = dE[:3]")),
    ("overflow", "[nan, 0, 0]", ("exp(logits)", "exp(logits - logits.mean(-1, keepdims=True))")),
    ("overflow", "in place", ("    powers", "    logits -= logits.max(-1)[..., None]\n    powers")),
    ("log_of_zero", "27.6", ("softmax(logits, -1)", "softmax(logits, -1) + 1e-12")),
    ("log_of_zero", "0, and should be 0.69", (LOSS, "    return logits.max() - logits[label]\n")),
    ("log_of_zero", "a Tensor", (LOSS, "    return mg.cross_entropy(logits, label).item()\n")),
    ("mask", "real = [False", ("scores * real", "np.where([1, 1, 0, 0, 0], scores, -np.inf)")),
    ("mask", "-1001", ("scores * real", "np.where(real, scores, -100)")),
    ("mask", "nan, inf", ("scores * real", "scores * real - 1e9 * ~real")),
    ("padding", "6.04965", ("losses.mean()", "losses[losses > 0].mean()")),
    ("temperature", "[1000", ("logits - logits.max()", "logits / temperature")),
    ("saturated", "0.577", ("standard_normal((H, H))", "uniform(-1, 1, (H, H)) / H**0.5")),
    ("saturated", "is 8 times", ("rng.standard_normal((H, H))", "np.full((H, H), H**-0.5)")),
    ("shift", "'backwards'", ("ids[:-1], ids[:-1]", "ids[:4], ids[1:5]")),
    ("streams", "column 0 is [1", ("ids[: T * N].reshape(T, N)", "ids[-T * N:].reshape(N, T).T")),
    ("carried_state", "detached", ("size]", "size], state"), (".detach()", "")),
    ("carried_state", "is None", ("range(0, len(x), size)", "range(0, len(x) - size, size)")),
    ("detached", "None", ("(x, h).detach()", "(x, h).detach().requires_grad_()")),
    ("zero_grad", "1 step is 0,", ("optimizer.step()", "optimizer.zero_grad(); optimizer.step()")),
    ("two_losses", "another model", (" nn.Dropout(0.5),", "")),
    ("two_losses", "any more", ("    with mg", "    model.eval()\n    with mg")),
    ("two_losses", "the loss is", ("    with mg", "    mg.manual_seed(0)\n    with mg")),
    ("direction", "gradient 0 is [0.6]", (CLIP, EXERCISES["direction"].mend[1]),
     ("min(1.0, longest / norm)", "longest / norm")),
    ("forget_gate", "H = 5", ("values[:H]", "values[3:6]")),
]  # fmt: skip

BROKEN = [
    ("", "the program has no `slope`, which the check calls"),
    ("def slope(:", "line 1: SyntaxError: invalid syntax"),
    ("import sys\nsys.exit(0)", "line 2: SystemExit: 0"),
    ("def slope(x):\n    raise MemoryError", "line 2: MemoryError"),
    ("def slope(x):\n    return slope(x)", "line 2: RecursionError"),
    ("def slope(x):\n    raise KeyboardInterrupt", "line 2: stopped"),
    ("def slope(x):\n    pass", "is None, and should be 7"),
    ("def slope(x):\n    return 'seven'", "is seven, and should be 7"),
    ("def slope(x):\n    return [[1], [2, 3]]", "is [[1], [2, 3]], and should be 7"),
    ("\ufeffdef slope(x):\r\n    return float('nan')", "is nan, and should be 7"),
]


@pytest.mark.parametrize(("name", "changes"), [(name, rest) for name, *rest in RIGHT])
def test_a_right_answer_passes_in_any_form(name, changes):
    assert said(name, *changes) is None


@pytest.mark.parametrize(("name", "why", "changes"), [(a, b, rest) for a, b, *rest in WRONG])
def test_a_wrong_answer_does_not_pass_and_is_told_why(name, why, changes):
    assert why in (said(name, *changes) or "right")


def test_each_exercise_has_such_answers():
    assert {name for name, *_ in RIGHT} == {name for name, *_ in WRONG} == set(EXERCISES)


@pytest.mark.parametrize(("program", "why"), BROKEN)
def test_a_broken_program_is_told_in_one_line(program, why):
    answer = told(EXERCISES["accumulation"], program.encode(), "a.py")
    assert why in answer
    assert "\n" not in answer


def test_a_loop_without_an_end_is_stopped(tmp_path):
    """In a process of its own: only a main thread can be interrupted."""
    code = (
        "from minigrad.exercises.__main__ import EXERCISES\n"
        "from minigrad.exercises.exercise import told\n"
        "print(told(EXERCISES['shift'], b'x = 1\\nwhile x: pass', 'a.py', limit=0.2))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60
    )
    assert ended.stdout == "line 2: still running after 0.2 seconds: does a loop never end?\n"


def test_an_exercise_is_named_by_its_name_its_number_or_its_file(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    hints = []
    for named in ("mask", "9", "mask.py"):
        assert main(["hint", named]) == 0
        hints.append(capsys.readouterr().out)
    assert hints == [hints[0]] * 3
    for named in ("0", "21", "Mask", ""):
        with pytest.raises(SystemExit, match="2"):
            main(["start", named])
        assert f"there is no exercise {named!r}" in capsys.readouterr().err
    assert main(["check", "mask"]) == 2
    assert "exercises start mask` writes one" in capsys.readouterr().err
    assert main(["check", "mask", "."]) == 2
    assert ". can't be read" in capsys.readouterr().err


def test_texts_are_broken_between_words(monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", "40")
    for name, exercise in EXERCISES.items():
        assert main(["hint", name, "2"]) == 0
        told_ = capsys.readouterr().out.split("\n\n")[0]
        assert " ".join(told_.split()) == f"2 of 3: {exercise.hints[1]}"
        assert all(len(line) <= 40 or " " not in line for line in told_.splitlines())


def test_values_are_shown_as_a_learner_reads_them():
    assert shown([1 / 3, 2.0]) == "[0.333333, 2]"
    assert shown((3, 4)) == "(3, 4)"
    with pytest.raises(WrongError, match=r"with y:\nx is 2, and should be 3"):
        expect("x", 2.0, 3.0, case="with y")
    with pytest.raises(WrongError, match=r"the shape of x is \(2,\), and should be \(3,\)"):
        expect("x", [1, 2], [1, 2, 3])
    with pytest.raises(WrongError, match="f should return two, and returns None"):
        pair("f", None)
    with pytest.raises(ValueError, match="read-only"):
        given([1.0])[0] = 2
