"""What `gpu.sh` has found, in two files: results.md to be read, results.json to be worked on.

python benchmarks/gpu_results.py runs/gpu
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from gpu import in_a_line, show
from report import table

TESTS = {"tests": "for a GPU", "suite": "for all devices, on the GPU"}
BENCHMARKS = {"benchmark": "float32", "tensorfloat": "TensorFloat-32"}


def of_tests(file: Path) -> dict[str, Any]:
    """Numbers of tests, and those that failed or were skipped, from pytest's JUnit file."""
    found: dict[str, Any] = {"passed": 0, "failed": [], "skipped": [], "seconds": 0.0}
    root = ElementTree.parse(file).getroot()
    for suite in root.iter("testsuite"):
        found["seconds"] += float(suite.get("time", 0))
        for case in suite.iter("testcase"):
            name = f"{case.get('classname')}.{case.get('name')}"
            kinds = {child.tag: child.get("message", "") for child in case}
            if "failure" in kinds or "error" in kinds:
                message = kinds.get("failure") or kinds.get("error") or ""
                found["failed"].append([name, message.partition("\n")[0][:300]])
            elif "skipped" in kinds:
                found["skipped"].append([name, kinds["skipped"]])
            else:
                found["passed"] += 1
    return found


def collected(parts: Path) -> dict[str, Any]:
    """All that is in the folder; what is missing did not end."""
    results: dict[str, Any] = {"tests": {}, "benchmarks": {}}
    for name in TESTS:
        if (file := parts / f"{name}.xml").exists():
            results["tests"][name] = of_tests(file)
    for name in BENCHMARKS:
        if (file := parts / f"{name}.json").exists():
            results["benchmarks"][name] = json.loads(file.read_text("utf-8"))
    machines = [benchmark["machine"] for benchmark in results["benchmarks"].values()]
    return {"machine": machines[0] if machines else {}} | results


def as_markdown(results: dict[str, Any]) -> str:
    """To be read."""
    lines = ["# On a GPU", in_a_line(results["machine"]), "## Tests"]
    rows = []
    for name, what in TESTS.items():
        found = results["tests"].get(name)
        numbers = ["did not end"] + ["-"] * 3
        if found:
            counts = [found["passed"], len(found["failed"]), len(found["skipped"])]
            numbers = [*map(str, counts), f"{found['seconds']:.0f}"]
        rows.append([what, *numbers])
    lines.append(table(["tests", "passed", "failed", "skipped", "seconds"], rows))
    for found in results["tests"].values():
        reasons = Counter(reason for _, reason in found["skipped"])
        told = [f"- failed: `{name}`: {message}" for name, message in found["failed"]]
        told += [f"- {count} skipped: {reason}" for reason, count in reasons.items()]
        lines += ["\n".join(told)] if told else []
    for name, what in BENCHMARKS.items():
        lines.append(f"## Benchmark in {what}")
        benchmark = results["benchmarks"].get(name)
        lines.append(show(benchmark) if benchmark else "It did not end.")
    return "\n\n".join(lines) + "\n"


def main() -> None:
    """Collect, write, and print."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="what gpu.sh was given")
    folder = parser.parse_args().folder
    results = collected(folder / "parts")
    text = as_markdown(results)
    (folder / "results.json").write_text(json.dumps(results, indent=1) + "\n", "utf-8")
    (folder / "results.md").write_text(text, "utf-8")
    print(text)


if __name__ == "__main__":
    main()
