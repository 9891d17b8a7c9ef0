"""Every kernel of minigrad compiles for the GPUs that it is claimed to run on."""

import cupy
import null_device
import numpy as np
import pytest
from cupy.cuda import compiler
from library_kernels import KERNELS, NAMES

from minigrad.arrays.kernel import DTYPES, OPTIONS

GPUS = {"sm_80": "A100", "sm_90": "H100", "sm_100": "B200"}


@pytest.fixture(scope="module")
def options():
    """What CuPy tells NVRTC for a kernel with the library's options, but for the kind of GPU."""
    nothing = 'extern "C" __global__ void nothing() {}'
    cupy.RawKernel(nothing, "nothing", OPTIONS).compile()
    source = [s for s in null_device.modules.values() if s.code == nothing][-1]
    assert set(OPTIONS) < set(source.options)
    return [o for o in source.options if not o.startswith("-arch")]


def compile_for(gpu, code, options):
    """The machine code of a kernel."""
    options = (*options, f"-arch={gpu}")
    program = compiler._NVRTCProgram(code, "kernel.cu", method="cubin")
    return program.compile_for_real(options)[0]


@pytest.mark.parametrize("gpu", GPUS)
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("name", NAMES)
def test_it_compiles(name, dtype, gpu, options):
    kernel = KERNELS[name]
    machine_code = compile_for(gpu, kernel.code(dtype), options)
    assert machine_code.startswith(b"\x7fELF")
    assert kernel.function(dtype).encode() in machine_code


@pytest.mark.parametrize("wrong", ["T x = 1", "T x = missing;", "syncthreads();"])
def test_a_wrong_kernel_is_refused(wrong, options):
    code = KERNELS[NAMES[0]].code(np.float32)
    body = code.rindex("{", 0, code.rindex("}"))
    with pytest.raises(compiler.CompileException):
        compile_for("sm_90", code[: body + 1] + wrong + code[body + 1 :], options)


def test_an_old_gpu_is_refused(options):
    with pytest.raises(compiler.CompileException):
        compile_for("sm_35", KERNELS[NAMES[0]].code(np.float32), options)
