"""Print what one training step of each model asks of the GPU, as a table in Markdown.

    python tests/gpu/dry/count_launches.py

It runs on the null device: no GPU, no g++, but CuPy (``pip install -e . --group gpu-dry``).
"""

import null_device
from null_counts import Counts, count

null_device.install()
from training_steps import PLANS, Plan, make_step  # noqa: E402

HEAD = (
    "| model and optimiser | time steps x layers | launches | of them minigrad's own | "
    "matrix products | copies and waits |"
)


def counts_of(plan: Plan) -> Counts:
    step, _ = make_step(plan, "cuda")
    step()
    step()
    with count() as counts:
        step()
    return counts


def row(plan: Plan) -> str:
    counts = counts_of(plan)
    own = sum(n for name, n in counts.kernels.items() if name.startswith("minigrad_"))
    traffic = counts.traffic()
    told = ", ".join(f"{n} {name.replace('_', ' ')}" for name, n in traffic.items() if n) or "none"
    cells = [plan.title, f"{plan.steps} x {plan.layers}"]
    cells += [str(n) for n in (counts.launches, own, counts.products)]
    return f"| {' | '.join([*cells, told])} |"


if __name__ == "__main__":
    print(HEAD)
    print("| --- " * HEAD.count(" | ") + "| --- |")
    for plan in PLANS.values():
        print(row(plan), flush=True)
