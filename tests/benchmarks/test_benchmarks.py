"""The benchmarks run, and what they compare computes the same. How fast is not tested."""

import importlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import compare
import numpy as np
import pytest
import steps
from configurations import CONFIGURATIONS, batches, initial_parameters
from contest import Contestant, contest
from products import products

import minigrad as mg

BENCHMARKS = Path(compare.__file__).parent
TINY = [c.tiny() for c in CONFIGURATIONS.values()]
BY_HAND = [c for c in TINY if c.task in ("rnn", "lstm")]
OURS = "numpy:floor,minigrad:fused,minigrad:unrolled"


def run(script, *args):
    command = [sys.executable, str(BENCHMARKS / script), *map(str, args)]
    paths = os.pathsep.join(filter(None, (str(BENCHMARKS.parent), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": paths, "OPENBLAS_CORETYPE": "Haswell"}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=100)


def output(script, *args):
    finished = run(script, *args)
    assert finished.returncode == 0, finished.stderr
    return finished.stdout


@pytest.fixture
def shown(monkeypatch, capsys):
    """What a script prints that only reads results: called within this process."""

    def call(script, *args):
        monkeypatch.setattr(sys, "argv", [f"{script}.py", *map(str, args)])
        importlib.import_module(script).main()
        return capsys.readouterr().out

    return call


def trained(peer, c):
    training = steps.load(peer, c)(c, initial_parameters(c))
    losses = [training.step(*batch) for batch in batches(c, 4)]
    return losses, training.current()


def assert_same(peer, c, c_of_peer=None):
    expected_losses, expected = trained("minigrad:fused", c)
    losses, parameters = trained(peer, c_of_peer or c)
    np.testing.assert_allclose(losses, expected_losses, rtol=1e-5)
    start = initial_parameters(c)
    assert set(parameters) == set(expected) == {name for name in start if "bias_hh" not in name}
    for name, value in expected.items():
        update = np.abs(value - start[name]).max()
        assert update > 1e-6, name
        assert np.abs(parameters[name] - value).max() < 1e-3 * update, name


@pytest.mark.parametrize("c", BY_HAND, ids=lambda c: c.name)
def test_by_hand_the_same_comes_out_as_in_minigrad(c):
    assert_same("numpy:floor", c)


@pytest.mark.parametrize("c", TINY, ids=lambda c: c.name)
@pytest.mark.parametrize("way", ["unrolled", "captured", "unrolled-captured"])
def test_unrolled_or_captured_the_same_comes_out_as_fused(c, way):
    assert_same(f"minigrad:{way}", c)


@pytest.mark.peer
@pytest.mark.parametrize(
    "peer", [p for p in steps.PEERS if p.partition(":")[0] not in ("numpy", "minigrad")]
)
def test_in_other_frameworks_the_same_comes_out(peer):
    pytest.importorskip(steps.package(peer))
    done = 0
    for c in TINY:
        try:
            assert_same(peer, c)
            done += 1
        except NotImplementedError:  # not one of its tasks
            pass
    assert done > 3


@pytest.mark.parametrize("change", [{"lr": 0.99}, {"clip": 0.26}])
def test_something_else_would_be_noticed(change):
    c = BY_HAND[-1]
    with pytest.raises(AssertionError):
        assert_same("numpy:floor", c, replace(c, **change))


def test_compare_its_report_and_its_picture(tmp_path, shown):
    results, picture = tmp_path / "new" / "speed.json", tmp_path / "speed.png"
    chosen = ("--configs", "C3,C4-GRU", "--peers", OURS)
    finished = run("compare.py", "--quick", *chosen, "--json", results)
    assert finished.returncode == 0, finished.stderr
    assert "### C3: LSTM, 1 layer, V=1,000" in finished.stdout
    assert "| minigrad:fused | " in finished.stdout
    assert "WRONG" not in finished.stdout
    assert "(C4-GRU: numpy:floor has no gru: left out)" in finished.stderr
    measured = json.loads(results.read_text("utf-8"))["configurations"]
    assert [list(of["peers"]) for of in measured.values()] == [
        OURS.split(","),
        OURS.split(",")[1:],
    ]
    assert all(peer["tokens per second"] > 0 for peer in measured["C3"]["peers"].values())

    assert all(peer["share"] > 0 for peer in measured["C3"]["peers"].values())

    report = shown("report", results)
    assert "Peak memory in MB" in report
    kernel = measured["C4-GRU"]["kernel"]  # None: it is not known here
    assert f" N=3; {kernel or 'unknown'} kernels\n" in finished.stdout
    row = f"| C4-GRU: GRU, 2 layers, V=1,000 D=5 H=6 T=4 N=3 | {kernel or '-'} | "
    assert row in report
    shown("plot", results, picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_peers_start_with_the_kernels_that_are_the_best_for_their_model(monkeypatch):
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    asked, seen = [], []

    def better_environment(products):
        asked.append(products)
        return {"OPENBLAS_CORETYPE": "Nehalem"}

    monkeypatch.setattr(mg.cpu, "better_environment", better_environment)
    for name in ("turn", "finish"):
        monkeypatch.setattr(Contestant, name, lambda *args: None)
    monkeypatch.setattr(
        Contestant, "start", lambda peer: seen.append(os.environ["OPENBLAS_CORETYPE"])
    )
    assert len(contest(TINY[0], OURS.split(","), 1, 0, 1)) == 3
    assert seen == ["Nehalem"] * 3
    assert asked == [products(TINY[0])]
    assert "OPENBLAS_CORETYPE" not in os.environ


@pytest.mark.parametrize("c", CONFIGURATIONS.values(), ids=lambda c: c.name)
def test_each_weight_multiplies_thrice_for_each_token(c):
    """Forward, for the gradient of what it multiplies, and for its own."""
    sizes = {name: p.size for name, p in initial_parameters(c.tiny()).items() if p.ndim == 2}
    del sizes["embedding.weight"]  # which is looked up
    c, output = c.tiny(), sizes.pop("output.weight")
    for batch in batches(c):
        tokens = batch[2].sum() if c.classes else c.T * c.N
        expected = 6 * tokens * sum(sizes.values()) + 6 * (c.N if c.classes else tokens) * output
        assert sum(product.flop for product in products(c, batch)) == expected


def test_the_share_is_of_the_products_that_a_step_has_and_of_the_time_that_it_takes():
    """Rounds on a machine whose clock changes: the yardstick has always twice the speed."""
    c = CONFIGURATIONS["C5"]
    flop = 6 * c.T * c.N * (4 * (c.H * c.D + 3 * c.H * c.H) + c.H * c.V)
    peer, yardstick = (Contestant(name, c, "", losses=[1.0]) for name in ("a", steps.YARDSTICK))
    for speed in (1e9, 3e9, 2e9):
        peer.seconds.append(flop / speed)
        yardstick.seconds.append(2 * 1024**3 / (2 * speed))
    found = compare.summary(c, [peer, yardstick])["peers"]
    assert list(found) == ["a"]
    assert found["a"]["share"] == pytest.approx(0.5)


def test_against_another_checkout(tmp_path):
    chosen = ["--configs", "C1", "--peers", "minigrad:fused", "--before"]
    told = output("compare.py", "--quick", *chosen, BENCHMARKS.parent)
    assert "| before:fused |" in told
    assert "| minigrad:fused |" in told
    missing = run("compare.py", "--quick", *chosen, tmp_path)
    assert missing.returncode == 2
    assert f"there is no minigrad in {tmp_path}" in missing.stderr
    (tmp_path / "minigrad").mkdir()
    (tmp_path / "minigrad" / "__init__.py").write_text("raise ImportError('it is this one')")
    finished = run("compare.py", "--quick", *chosen, tmp_path)
    assert "it is this one" in finished.stderr
    assert "| before:fused |" not in finished.stdout
    assert "| minigrad:fused |" in finished.stdout


def test_growth_its_report_and_its_picture(tmp_path, shown):
    results, picture = tmp_path / "growth.json", tmp_path / "growth.png"
    table = output("growth.py", "--quick", "--peers", "minigrad:fused", "--json", results)
    for head in ("| T | 10 |", "| N | 1 |", "| H | 32 |", "| V | 100 |"):
        assert head in table
    assert shown("report", results).strip() in table
    shown("plot", results, picture)
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_overhead():
    table = output("overhead.py", "--quick")
    assert table.startswith("| library | ")
    assert "\n| minigrad | " in table
    assert "\n| minigrad, captured | " in table
    for name in CONFIGURATIONS:
        assert f"\n| {name} | " in table


def test_a_peer_that_is_not_installed_is_left_out_by_name(monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "torch", None)
    peers = ["pytorch:layer", "numpy:floor", "pytorch:cells", "minigrad:fused"]
    assert steps.installed(peers) == ["numpy:floor", "minigrad:fused"]
    said = capsys.readouterr().err
    assert "(pytorch:layer is not installed: left out)" in said
    assert "(pytorch:cells is not installed: left out)" in said
    assert "pip install torch)" in said


def test_a_name_that_is_no_peer_is_an_error():
    finished = run("compare.py", "--peers", "numpy:roof")
    assert finished.returncode == 2
    assert "numpy:roof is none of pytorch:layer, numpy:floor" in finished.stderr


@pytest.mark.parametrize(
    ("losses", "wrong"),
    [([2.001, 1.0], False), ([2.0, 1.01], True), ([2.0, float("nan")], True)],
)
def test_a_peer_that_computes_something_else_is_shown_up(losses, wrong, capsys):
    peer = {"tokens per second": 1, "ratio": [1, 1, 1], "share": 1, "memory": 1}
    differences = {"a": 0, "b": compare.difference(losses, [2.0, 1.0])}
    peers = {name: peer | {"difference": d} for name, d in differences.items()}
    compare.show("C1", {"model": "RNN", "peers": peers})
    loud = "WRONG: the losses of b are not those of a"
    assert (loud in capsys.readouterr().out) is wrong


def test_a_whole_run(tmp_path):
    words = np.random.default_rng(0).choice(["the", "cat", "sat", "on", "a", "mat", "\n"], 3000)
    (tmp_path / "text.txt").write_text(" ".join(words), encoding="utf-8")
    options = ["--text", tmp_path / "text.txt", "--valid", tmp_path / "text.txt", "--epochs", 1]
    options += ["--threads", 1, "--tokens", 2500, "--json", tmp_path / "result.json"]
    result = run("language_model.py", *options)
    assert result.returncode == 0, result.stderr
    measured = json.loads((tmp_path / "result.json").read_text())
    assert len(measured["minigrad"]["valid"]) == 2
    assert measured["bare"]["tokens per second"] > 0
    assert measured["bare"]["tokens per second, captured"] > 0
    assert ("pytorch" in measured) == ("pytorch failed" not in result.stderr)
