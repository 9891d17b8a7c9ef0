"""Which kernels the BLAS uses, which would be better, and a process that starts anew with them."""

import json
import os
import platform
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from minigrad.arrays import blas
from minigrad.arrays.blas import Blas
from minigrad.files import CACHE
from models.runs.blas_kernels import products
from models.runs.settings import Settings

ROOT = Path(__file__).parents[2]
OLD = "Nehalem"  # kernels from before AVX, which every OpenBLAS for x86 has
NEWER = blas.newer_kernel(Blas("openblas", kernel=OLD), blas.vector_instructions())
needs_better = pytest.mark.skipif(
    os.name != "posix" or NEWER is None or blas.in_use().name != "openblas",
    reason="needs POSIX, threadpoolctl, OpenBLAS, and a processor with AVX2",
)
BOTH = {"AVX2", "AVX-512"}


class TestNewerKernel:
    @pytest.mark.parametrize(
        ("kernel", "instructions", "better"),
        [
            ("Haswell", BOTH, "SkylakeX"),
            ("Zen", BOTH, "SkylakeX"),
            ("Sandybridge", BOTH, "SkylakeX"),
            ("Katmai", BOTH, "SkylakeX"),
            ("SkylakeX", BOTH, None),
            ("Cooperlake", BOTH, None),
            ("SapphireRapids", BOTH, None),
            ("Haswell", {"AVX2"}, None),
            ("Zen", {"AVX2"}, None),
            ("Sandybridge", {"AVX2"}, "Haswell"),
            ("Steamroller", {"AVX2"}, "Haswell"),
            ("Excavator", {"AVX2"}, None),
            ("Nehalem", set(), None),
            ("neoversen1", set(), None),
            ("of the future", BOTH, None),
            (None, BOTH, None),
        ],
    )
    def test_of_openblas(self, kernel, instructions, better):
        assert blas.newer_kernel(Blas("openblas", kernel=kernel), instructions) == better

    @pytest.mark.parametrize("name", ["mkl", "blis", "flexiblas", "accelerate", "unknown"])
    def test_other_libraries_choose_for_themselves(self, name):
        assert blas.newer_kernel(Blas(name, kernel="Haswell"), BOTH) is None


class TestBetterKernel:
    """By invented speeds."""

    USED = Blas("openblas", "0.3", "Haswell", 1)

    @pytest.fixture(autouse=True)
    def measured(self, monkeypatch, tmp_path):
        """For each kernel its speeds, which a test may change, and what has been measured."""
        monkeypatch.setenv(CACHE, str(tmp_path / "cache"))
        self.speeds = {"Haswell": [100.0, 10.0], "SkylakeX": [200.0, 10.0]}
        asked = []

        def speeds_with(kernel):
            asked.append(kernel)
            if kernel not in self.speeds:
                raise RuntimeError("this openblas has none")
            return self.speeds[kernel]

        monkeypatch.setattr(blas, "speeds_with", speeds_with)
        return asked

    @pytest.mark.parametrize(
        ("newer", "better"),
        [
            ([200.0, 10.0], "SkylakeX"),
            ([100.0, 13.0], "SkylakeX"),
            ([110.0, 11.0], None),  # as on AMD's Zen 4: not worth it
            ([300.0, 3.0], None),
            ([50.0, 5.0], None),
        ],
    )
    def test_is_the_newer_one_where_that_is_faster(self, newer, better):
        self.speeds["SkylakeX"] = newer
        assert blas.better_kernel(self.USED, BOTH) == better

    def test_is_measured_once_for_each_pair(self, measured):
        for _ in range(3):
            assert blas.better_kernel(self.USED, BOTH) == "SkylakeX"
        self.speeds["SkylakeX"] = [1.0, 1.0]
        assert blas.better_kernel(self.USED, BOTH) == "SkylakeX"
        assert sorted(measured) == ["Haswell", "SkylakeX"]
        assert blas.better_kernel(Blas("openblas", "0.4", "Haswell", 1), BOTH) is None
        assert len(measured) == 4

    @pytest.mark.parametrize("content", ["", "[1]", '{"a": "b"}', "\xff", "null"])
    def test_a_damaged_memory_is_measured_anew(self, measured, tmp_path, content):
        (tmp_path / "cache").mkdir()
        (tmp_path / "cache" / "kernels.json").write_text(content, "latin-1")
        for _ in range(2):
            assert blas.better_kernel(self.USED, BOTH) == "SkylakeX"
        assert len(measured) == 2

    def test_where_nothing_can_be_remembered(self, measured, tmp_path):
        (tmp_path / "cache").write_text("a file")
        for _ in range(2):
            assert blas.better_kernel(self.USED, BOTH) == "SkylakeX"
        assert len(measured) == 4

    def test_none_where_they_cannot_be_tried(self):
        del self.speeds["SkylakeX"]
        assert blas.better_kernel(self.USED, BOTH) is None

    def test_only_the_last_comparisons_are_remembered(self, measured, tmp_path, monkeypatch):
        monkeypatch.setattr(blas, "REMEMBERED", 3)
        for version in "12345":
            blas.better_kernel(Blas("openblas", version, "Haswell", 1), BOTH)
        known = json.loads((tmp_path / "cache" / "kernels.json").read_text())
        assert [key.partition(":")[0][-1] for key in known] == ["3", "4", "5"]

    def test_nothing_is_measured_where_there_is_none(self, measured):
        assert blas.better_kernel(Blas("openblas", "0.3", "SkylakeX", 1), BOTH) is None
        assert blas.better_kernel(Blas("mkl", "1", None, 1), BOTH) is None
        assert measured == []


class TestOfOwnProducts:
    """By invented times of each product."""

    USED = Blas("openblas", "0.3", "SkylakeX", 1)
    WIDE, TALL = blas.Product(1, 128, 512, 35), blas.Product(700, 128, 512, layout="NT")

    @pytest.fixture(autouse=True)
    def measured(self, monkeypatch, tmp_path):
        """What has been measured."""
        monkeypatch.setenv(CACHE, str(tmp_path))
        times = {"Haswell": {1: 1.0, 700: 1.0}, "SkylakeX": {1: 0.5, 700: 1.5}}
        asked = []

        def times_with(kernels, products):
            asked.append(products)
            return [sum(times[k][p.rows] * p.times for p in products) for k in kernels]

        monkeypatch.setattr(blas, "times_with", times_with)
        return asked

    def better(self, *products, used=USED, instructions=BOTH):
        return blas.better_kernel(used, instructions, products)

    def test_the_faster_kernel_is_the_better_one_older_or_newer(self):
        assert self.better(self.TALL) == "Haswell"
        assert self.better(self.WIDE) is None
        haswell = Blas("openblas", "0.3", "Haswell", 1)
        assert self.better(self.TALL, used=haswell) is None
        assert self.better(self.WIDE, used=haswell) == "SkylakeX"

    def test_how_often_each_occurs_decides(self):
        assert self.better(self.WIDE, self.TALL._replace(times=34)) is None
        assert self.better(self.WIDE, self.TALL._replace(times=36)) is None  # by chance, maybe
        assert self.better(self.WIDE, self.TALL._replace(times=70)) == "Haswell"

    def test_is_measured_once_for_the_same_products(self, measured):
        for _ in range(2):
            assert self.better(self.TALL, self.TALL, self.WIDE) is None
        once = [self.WIDE, self.TALL._replace(times=2)]
        assert self.better(*once) is None  # in another order, and listed once
        assert measured == [once]
        self.better(self.WIDE)
        assert len(measured) == 2

    def test_nothing_is_measured_where_no_other_fits(self, measured):
        assert self.better(self.TALL, instructions=set()) is None
        assert (
            self.better(
                self.TALL, used=Blas("openblas", "0.3", "Haswell", 1), instructions={"AVX2"}
            )
            is None
        )
        assert self.better(self.TALL, used=Blas("mkl", "1", None, 1)) is None
        assert self.better() is None  # none at all: as without the argument
        assert measured == []


class TestSeconds:
    """The clock is invented: a call takes a second for each multiplication that it does."""

    @pytest.mark.parametrize("layout", ["NN", "NT", "TN", "TT"])
    @pytest.mark.parametrize("sizes", [(5, 7, 3), (512, 512, 4096), (1, 4096, 65536)])
    def test_are_those_of_all_calls_of_the_whole_product(self, monkeypatch, layout, sizes):
        done = [0.0]

        class Factor(np.ndarray):
            def dot(self, other, out):
                for x, letter in zip((self, other), layout, strict=True):
                    assert (x if letter == "N" else x.T).flags.c_contiguous
                assert out.shape == (len(self), other.shape[1])
                done[0] += self.size * other.shape[1]

        ones = np.ones
        monkeypatch.setattr(np, "ones", lambda *a: ones(*a).view(Factor))
        product = blas.Product(*sizes, 20, layout)
        assert blas.seconds([product], 0, lambda: done[0]) == [product.flop / 2]
        assert done[0] <= blas.LARGEST

    def test_in_other_processes(self):
        kernel = blas.in_use().kernel
        if kernel is None:
            pytest.skip("needs threadpoolctl and a BLAS that names its kernels")
        one, other = blas.times_with([kernel, kernel], [blas.Product(4, 5, 6, 7, "NT")])
        assert min(one, other) > 0
        with pytest.raises(RuntimeError, match="has none"):
            blas.times_with([kernel, "of the future"], [blas.Product(4, 5, 6)])

    def test_where_no_process_answers(self, monkeypatch, tmp_path):
        (tmp_path / "minigrad.py").write_text("raise SystemExit")
        monkeypatch.setenv("PYTHONPATH", str(tmp_path))
        monkeypatch.chdir(tmp_path)
        with pytest.raises(RuntimeError, match="trying them failed"):
            blas.times_with(["Haswell"], [blas.Product(4, 5, 6)])


class TestVectorInstructions:
    SSE = ("SSE", "SSE2", "SSE3")
    AVX2 = ("SSE42", "AVX", "F16C", "FMA3", "AVX2")

    @pytest.mark.parametrize(
        ("simd", "expected"),
        [
            ({"baseline": SSE, "found": [*AVX2, "AVX512F", "AVX512CD", "AVX512_SKX"]}, BOTH),
            ({"baseline": ["X86_V2"], "found": ["X86_V3", "X86_V4", "AVX512_ICL"]}, BOTH),
            ({"baseline": ["X86_V2", "X86_V3", "X86_V4"]}, BOTH),
            ({"baseline": SSE, "found": AVX2, "not found": ["AVX512F", "AVX512_SKX"]}, {"AVX2"}),
            ({"baseline": ["X86_V2"], "found": ["X86_V3"], "not found": ["X86_V4"]}, {"AVX2"}),
            ({"baseline": SSE, "found": [*AVX2, "AVX512F", "AVX512_KNL"]}, {"AVX2"}),
            ({"baseline": SSE, "found": ["AVX", "AVX2"]}, set()),  # but no FMA
            ({"baseline": ["NEON", "ASIMD"], "found": ["ASIMDHP"]}, set()),
            (None, set()),
        ],
    )
    def test_by_numpys_names_of_them(self, monkeypatch, simd, expected):
        config = {} if simd is None else {"SIMD Extensions": simd}
        monkeypatch.setattr(np, "show_config", lambda mode: config)
        assert blas.vector_instructions() == expected

    @pytest.mark.skipif(
        sys.platform != "linux" or platform.machine() != "x86_64", reason="asks Linux on x86"
    )
    def test_the_system_says_the_same(self):
        flags = set(
            re.search(r"^flags\s*:(.*)$", Path("/proc/cpuinfo").read_text(), re.M)[1].split()
        )
        expected = {"AVX2"} if {"avx2", "fma"} <= flags else set()
        if {f"avx512{part}" for part in ("f", "cd", "bw", "dq", "vl")} <= flags:
            expected.add("AVX-512")
        assert blas.vector_instructions() == expected


class TestInUse:
    @pytest.mark.skipif(not find_spec("threadpoolctl"), reason="needs threadpoolctl")
    def test_is_what_threadpoolctl_says(self):
        from threadpoolctl import threadpool_info, threadpool_limits

        (library, *_) = [one for one in threadpool_info() if one["user_api"] == "blas"]
        with threadpool_limits(1, user_api="blas"):
            used = blas.in_use()
        assert used == Blas(
            library["internal_api"], library["version"], library.get("architecture"), 1
        )

    def test_without_threadpoolctl_is_what_numpy_was_built_with(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "threadpoolctl", None)
        built = np.show_config(mode="dicts")["Build Dependencies"]["blas"]
        assert blas.in_use() == Blas(built["name"], built["version"])

    def test_when_nothing_is_known(self, monkeypatch):
        monkeypatch.setitem(sys.modules, "threadpoolctl", None)
        monkeypatch.setattr(np, "show_config", lambda mode: {})
        assert blas.in_use() == Blas("unknown")
        assert blas.better_kernel(blas.in_use(), blas.vector_instructions()) is None


@pytest.fixture
def haswell(monkeypatch):
    """A process with AVX2 kernels that it picked itself, on a processor with AVX-512."""
    monkeypatch.delenv("OPENBLAS_CORETYPE", raising=False)
    monkeypatch.setattr(blas, "in_use", lambda: Blas("openblas", "0.3", "Haswell", 1))
    monkeypatch.setattr(blas, "vector_instructions", lambda: frozenset(BOTH))
    monkeypatch.setattr(  # as if it were faster
        blas, "better_kernel", lambda *used, products=None: blas.newer_kernel(*used[:2])
    )


@pytest.mark.usefixtures("haswell")
class TestEnvironment:
    def test_has_the_better_kernel(self):
        before = dict(os.environ)
        assert blas.better_environment() == {"OPENBLAS_CORETYPE": "SkylakeX"}
        assert dict(os.environ) == before

    @pytest.mark.parametrize("value", ["Haswell", "Prescott", ""])
    def test_what_the_user_set_wins(self, monkeypatch, value):
        monkeypatch.setenv("OPENBLAS_CORETYPE", value)
        assert blas.better_environment() == {}

    def test_is_empty_where_all_is_well(self, monkeypatch):
        monkeypatch.setattr(blas, "in_use", lambda: Blas("openblas", "0.3", "SkylakeX", 1))
        assert blas.better_environment() == {}


@pytest.mark.usefixtures("haswell")
class TestWhenToRestart:
    @pytest.fixture(autouse=True)
    def runs(self, monkeypatch):
        """The calls of `os.execve`, which return here."""
        calls = []
        monkeypatch.setattr(os, "execve", lambda *arguments: calls.append(arguments))
        monkeypatch.setattr(os, "name", "posix")
        monkeypatch.setattr(sys, "orig_argv", ["python3", "-X", "dev", "-m", "models", "train"])
        return calls

    def test_with_older_kernels(self, runs):
        expected = os.environ | {"OPENBLAS_CORETYPE": "SkylakeX"}
        blas.restart_with_better_kernel()
        command = [sys.executable, "-X", "dev", "-m", "models", "train"]
        assert runs == [(sys.executable, command, expected)]
        assert "OPENBLAS_CORETYPE" not in os.environ

    def test_not_when_the_user_chose(self, runs, monkeypatch):
        monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
        blas.restart_with_better_kernel()
        assert runs == []

    def test_not_when_the_kernels_are_unknown(self, runs, monkeypatch):
        monkeypatch.setattr(blas, "in_use", lambda: Blas("scipy-openblas", "0.3"))
        blas.restart_with_better_kernel()
        assert runs == []

    def test_not_on_windows_nor_without_an_executable(self, runs, monkeypatch):
        with monkeypatch.context() as patch:
            patch.setattr(os, "name", "nt")
            blas.restart_with_better_kernel()
        monkeypatch.setattr(sys, "executable", "")
        blas.restart_with_better_kernel()
        assert runs == []

    def test_with_the_kernel_of_an_earlier_process_if_it_fits(self, runs):
        for kernel in ("Haswell", "Cooperlake", "nonsense", None):
            blas.restart_with_kernel(kernel)
        assert runs == []
        blas.restart_with_kernel("SkylakeX")
        assert runs[0][2] == os.environ | {"OPENBLAS_CORETYPE": "SkylakeX"}

    def test_not_with_that_kernel_when_the_user_chose(self, runs, monkeypatch):
        monkeypatch.setenv("OPENBLAS_CORETYPE", "Haswell")
        blas.restart_with_kernel("SkylakeX")
        assert runs == []

    def test_if_it_fails_the_old_kernels_will_do(self, monkeypatch):
        def fail(*arguments):
            raise OSError("Argument list too long")

        monkeypatch.setattr(os, "execve", fail)
        blas.restart_with_better_kernel()


class TestRealProcesses:
    """`sitecustomize` loads NumPy with old kernels and takes the variable away: as if OpenBLAS had
    picked them itself. It also notes every start of Python. The cache says that newer ones are
    faster: nothing is measured here."""

    CUSTOMIZE = f"""\
import os
with open(os.environ["STARTS"], "a") as file:
    print(os.getpid(), os.environ.get("OPENBLAS_CORETYPE"), file=file)
if os.environ.get("OPENBLAS_CORETYPE") == "{OLD}" and "KEEP" not in os.environ:
    import numpy
    del os.environ["OPENBLAS_CORETYPE"]
"""
    SCRIPT = """\
import os, sys
from minigrad.arrays import blas
blas.restart_with_better_kernel()
print(sys.argv[1:], sys.stdin.read(), blas.in_use().kernel)
os.kill(os.getpid(), 15) if "die" in sys.argv else sys.exit(3)
"""

    @pytest.fixture
    def call(self, tmp_path):
        """A call of Python: its result, and at each start its process id and its variable."""
        (tmp_path / "sitecustomize.py").write_text(self.CUSTOMIZE)
        (tmp_path / "script.py").write_text(self.SCRIPT)
        used = blas.in_use()
        key = f"{blas.processor()}, {used.name} {used.version}: {NEWER} for {OLD}"
        (tmp_path / "kernels.json").write_text(json.dumps({key: 2.0}))

        def call(*arguments, **environment):
            process = subprocess.Popen(
                [sys.executable, *arguments],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
                cwd=tmp_path,
                env=os.environ
                | {
                    "OPENBLAS_CORETYPE": OLD,
                    "OPENBLAS_NUM_THREADS": "1",
                    "PYTHONPATH": os.pathsep.join([str(tmp_path), str(ROOT)]),
                    "STARTS": str(tmp_path / "starts"),
                    CACHE: str(tmp_path),
                }
                | environment,
            )
            output, errors = process.communicate("from stdin", timeout=120)
            assert errors == ""
            starts = (tmp_path / "starts").read_text().split()
            assert set(starts[::2]) == {str(process.pid)}
            return process.returncode, output, starts[1::2]

        return call

    @needs_better
    def test_restarts_once_as_the_same_command(self, call):
        status, output, kernels = call("-W", "error", "script.py", "--a", "b c", "")
        assert kernels == [OLD, NEWER]
        assert output == f"['--a', 'b c', ''] from stdin {NEWER}\n"
        assert status == 3

    @needs_better
    def test_a_signal_is_seen_outside(self, call):
        status, _, kernels = call("script.py", "die")
        assert kernels == [OLD, NEWER]
        assert status == -15

    @needs_better
    def test_the_users_own_old_kernels_stay(self, call):
        _, output, kernels = call("script.py", KEEP="1")
        assert kernels == [OLD]
        assert output == f"[] from stdin {OLD}\n"

    @needs_better
    def test_the_command_line_of_the_models_restarts(self, call):
        status, output, kernels = call("-m", "models", "--help")
        assert kernels == [OLD, NEWER]
        assert status == 0
        assert "sample" in output

    @needs_better
    def test_a_run_has_the_better_kernel_for_its_products_and_keeps_it(
        self, call, tmp_path, monkeypatch
    ):
        (tmp_path / "text.txt").write_text("so many bottles of beer on the wall. " * 20)
        options = ["--text", "text.txt", "--hidden-size", "6", "--samples", "0", "--steps"]
        settings = Settings(hidden_size=6)
        with monkeypatch.context() as patch:
            patch.setenv(CACHE, str(tmp_path))
            patch.setattr(blas, "times_with", lambda *asked: [1.0, 1.5])
            used = Blas(blas.in_use().name, blas.in_use().version, OLD, 1)
            known = blas.better_kernel(used, blas.vector_instructions(), products(settings))
        assert known == NEWER
        status, _, kernels = call("-m", "models", "train", *options, "3", "--out", "run")
        assert (status, kernels) == (0, [OLD, NEWER])
        (tmp_path / "starts").unlink()
        (tmp_path / "kernels.json").unlink()
        resume = ["-m", "models", "train", "--resume", "run", "--steps"]
        status, _, kernels = call(*resume, "5")
        assert (status, kernels) == (0, [OLD, NEWER])
        assert not (tmp_path / "kernels.json").exists()
        (tmp_path / "starts").unlink()
        status, _, kernels = call(*resume, "7", KEEP="1")  # the user's own, which a line tells
        assert (status, kernels) == (0, [OLD])

    def test_importing_the_library_changes_no_environment(self, call):
        code = (
            "import os; before = dict(os.environ); import minigrad as mg; "
            "mg.nn, mg.optim, mg.data, mg.training, mg.matmul(mg.ones((2, 2)), mg.ones((2, 2))); "
            "print(dict(os.environ) == before)"
        )
        _, output, kernels = call("-c", code)
        assert output == "True\n"
        assert kernels == [OLD]
