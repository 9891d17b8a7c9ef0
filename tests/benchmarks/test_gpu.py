"""The benchmark for GPUs, as far as it can be run without one."""

import json
import os
import subprocess
import sys
from pathlib import Path

import gpu
import gpu_results
import kernel_times
import numpy as np
import pytest
import steps
from configurations import ON_GPUS, batches, initial_parameters

BENCHMARKS = Path(gpu.__file__).parent
OURS = "minigrad:fused,minigrad:unrolled"

pytestmark = pytest.mark.host(reason="it times the CPU")


def run(script, *args):
    command = [sys.executable, str(BENCHMARKS / script), *map(str, args)]
    paths = os.pathsep.join(filter(None, (str(BENCHMARKS.parent), os.environ.get("PYTHONPATH"))))
    environment = os.environ | {"PYTHONPATH": paths}
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=100)


def test_c6_is_the_large_model_of_zaremba_et_al():
    c = ON_GPUS["C6"]
    assert (c.cell, c.V, c.D, c.H, c.L, c.T, c.N) == ("lstm", 10_000, 1500, 1500, 2, 35, 20)


@pytest.mark.parametrize("peer", OURS.split(","))
def test_issuing_steps_is_doing_them(peer):
    c = ON_GPUS["C4"].tiny()
    one, other = (steps.load(peer, c)(c, initial_parameters(c)) for _ in range(2))
    for batch in batches(c, 3):
        assert one.issue(*one.placed(*batch)).item() == other.step(*batch)
    for name, value in one.current().items():
        np.testing.assert_array_equal(value, other.current()[name])


def test_a_peer_that_has_no_gpu_says_so():
    with pytest.raises(NotImplementedError, match="runs on the CPU only, not on cuda"):
        steps.load("numpy:floor", ON_GPUS["C4"], "cuda")


def test_the_benchmark_runs_and_its_results_are_collected(tmp_path):
    (tmp_path / "parts").mkdir()
    options = ("--device", "cpu", "--quick", "--peers", OURS, "--configs", "C4,C6")
    finished = run("gpu.py", *options, "--json", tmp_path / "parts" / "benchmark.json")
    assert finished.returncode == 0, finished.stderr
    assert "### C6: LSTM, 2 layers, V=1,000" in finished.stdout
    assert "WRONG" not in finished.stdout
    (tmp_path / "parts" / "tests.xml").write_text(
        '<testsuites><testsuite time="1.5"><testcase classname="t" name="one"/>'
        '<testcase classname="t" name="two"><failure message="3 != 4&#10;more"/></testcase>'
        '<testcase classname="t" name="three"><skipped message="no torch"/></testcase>'
        "</testsuite></testsuites>"
    )
    finished = run("gpu_results.py", tmp_path)
    assert finished.returncode == 0, finished.stderr
    text = (tmp_path / "results.md").read_text("utf-8")
    assert finished.stdout == text + "\n"
    for line in (
        "| for a GPU | 1 | 1 | 1 | 2 |",
        "| for all devices, on the GPU | did not end | - | - | - |",
        "- failed: `t.two`: 3 != 4",
        "- 1 skipped: no torch",
        "### C4: LSTM, 2 layers, V=1,000 D=5 H=6 T=4 N=3",
    ):
        assert line in text.splitlines()
    results = json.loads((tmp_path / "results.json").read_text("utf-8"))
    peers = results["benchmarks"]["benchmark"]["configurations"]["C4"]["peers"]
    assert list(peers) == OURS.split(",")
    assert peers["minigrad:unrolled"]["ratios"]["minigrad:unrolled"] == [1, 1, 1]


def test_where_the_time_goes_and_what_was_aimed_at_are_shown():
    split = dict.fromkeys(kernel_times.KINDS, 1000.0) | {"gaps": 500.0}
    peers = {
        peer: {
            "seconds": [0.001, 0.002, 0.003],
            "tokens per second": 1e5,
            "ratios": {"pytorch:layer": [0.5, ratio, 0.9], "pytorch:cells": [1, 2.5, 3]},
            "issuing": 0.001,
            "difference": difference,
            "split": split,
            "launches": 120,
        }
        for peer, ratio, difference in (
            ("pytorch:layer", 1.0, 0.0),
            ("pytorch:cells", 0.3, 0.01),
            ("minigrad:fused", 0.6, 1e-6),
        )
    }
    results = {"machine": {"GPU": "none"}, "tf32": True, "errors": {"minigrad": 3e-4}}
    results["configurations"] = {"C5": {"model": "LSTM", "peers": peers}}
    text = gpu.show(results)
    assert "Products in TensorFloat-32; the relative error of one: minigrad 3e-04." in text
    assert "| minigrad:fused | 1.00 | 1.00 | 1.00 | 1.00 | 1.00 | 0.50 | 120 |" in text
    assert "minigrad:fused is 0.60 x pytorch:layer; aim 0.7: missed." in text
    assert "minigrad:fused is 2.50 x pytorch:cells; aim 2.0: met." in text
    assert text.count("WRONG") == 1
    assert "WRONG: the losses of pytorch:cells" in text


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("minigrad_lstm_forward_f4", kernel_times.OURS),
        ("cupy_add__float32_float32_float32", kernel_times.CUPYS),
        ("ampere_sgemm_32x32_sliced1x4_tn", kernel_times.PRODUCTS),
        ("sm90_xmma_gemm_f32f32_tf32f32_f32_tn_n_tilesize64x64x32", kernel_times.PRODUCTS),
        ("nvjet_hsh_64x8_64x16_4x1_v_bz_TNT", kernel_times.PRODUCTS),
        ("void cutlass::Kernel2<cutlass_80_simt_sgemm_128x64>(Params)", kernel_times.PRODUCTS),
        ("void gemv2T_kernel_val<int, int, float>", kernel_times.PRODUCTS),
        ("void cublasLt::splitKreduce_kernel<32, 16, int, float>", kernel_times.PRODUCTS),
        ("void dot_kernel<float, 128, 0>", kernel_times.PRODUCTS),
        ("void LSTM_elementWise_fp<float, float, float>", kernel_times.OTHERS),
    ],
)
def test_kernels_are_told_by_their_names(name, kind):
    assert kernel_times.kind_of(name, "kernel") == kind


def test_a_step_of_the_gpu_is_added_up():
    def event(category, name, start, time):
        return {"ph": "X", "cat": category, "name": name, "ts": start, "dur": time}

    events = [
        event("cpu_op", "aten::mm", 0, 100),
        event("kernel", "sgemm", 10, 10),
        event("kernel", "minigrad_scale_f4", 15, 15),  # beside the one before
        event("gpu_memcpy", "Memcpy HtoD", 40, 2),
        event("kernel", "sgemm", 60, 20),
        {"ph": "M", "name": "process_name"},
    ]
    found = kernel_times.times(events, steps=2)
    assert found.busy == (20 + 2 + 20) / 2
    assert found.launches == 2
    assert found.by_kind == {
        kernel_times.PRODUCTS: 15,
        kernel_times.OURS: 7.5,
        kernel_times.CUPYS: 0,
        kernel_times.COPIES: 1,
        kernel_times.OTHERS: 0,
    }
    assert found.longest[0] == ("sgemm", 1, 15)


def test_spans_are_counted_once():
    assert kernel_times.covered([(5, 6), (0, 3), (1, 2), (2, 4)]) == 5
    assert kernel_times.covered([]) == 0


def test_without_a_gpu_it_says_what_is_missing(tmp_path):
    if gpu.mg.cuda.is_available():
        pytest.skip("there is a GPU")
    environment = os.environ | {"PYTHON": sys.executable}
    command = [str(BENCHMARKS / "gpu.sh"), str(tmp_path / "new")]
    finished = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)
    assert finished.returncode == 2
    assert 'device: "cuda"' in finished.stderr


def test_every_file_that_is_collected_is_one_that_the_script_asks_for():
    script = (BENCHMARKS / "gpu.sh").read_text("utf-8")
    for name in gpu_results.TESTS:
        assert f"parts/{name}.xml" in script
    for name in gpu_results.BENCHMARKS:
        assert f"parts/{name}.json" in script
