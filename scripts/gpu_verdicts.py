"""Say PASS, FAIL or SKIP of each row of a sweep on a GPU, and of what a deployer does with the artifacts.

    python scripts/gpu_verdicts.py [--as-is] FOLDER

Exits 1 when anything failed. With --as-is an engine that isn't installed is skipped, else it fails: the environment
was made for it.
"""

from __future__ import annotations

import csv
import json
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

from densebench.recipes.parse import resolve

# What must be seen in a row's effect; of the others, that there is any.
EFFECTS = {
    "amp": r"float16 convolutions",
    "bf16": r"bfloat16 convolutions",
    "channels_last": r"NHWC convolutions",
    "channels_last+amp": r"float16 convolutions.*NHWC",
    "channels_last+bf16": r"bfloat16 convolutions.*NHWC",
    "channels_last+bf16+compile": r"compiled graph.*bfloat16 convolutions.*NHWC",
    "compile": r"compiled graphs?, 0 graph breaks",
    "compile:freezing=true": r"compiled graphs?, 0 graph breaks; frozen, (weights of|no layer's weights)",
    "compile:mode=max-autotune": r"compiled graphs?, 0 graph breaks(?!.*a CPU has none)",
    "compile:mode=reduce-overhead": r"compiled graphs?, 0 graph breaks(?!.*a CPU has none)",
    "jit": r"frozen graph",
    "onnx": r"CUDAExecutionProvider(?!.*fell back)",
    "onnx:precision=int8:provider=tensorrt": r"by TensorRT, 0 convolutions outside",
    "onnx:provider=tensorrt": r"by TensorRT, 0 convolutions outside",
    "quantize": r"float16 convolutions",
    "semi_structured:fine_tune=true+tensorrt": r"float16 convolutions",
    "structured_pruning+tensorrt:precision=int8": r"int8 convolutions",
    "tensorrt": r"float16 convolutions",
    "tensorrt:precision=fp32": r"float32 convolutions",
    "tensorrt_int8": r"int8 convolutions",
}
# Least SQNR of the logits against the baseline's, dB. On a CPU: 120 and more, 47 to 52, 26 to 33.
LEAST_DB = {"float32": 30.0, "float16": 20.0, "bfloat16": 20.0, "int8": 10.0}
MOST_LOST, MOST_LOST_PRUNED = 1.0, 3.0  # points of top-1
NOT_DEPLOYED = {"compile"}  # engines whose README's code compiles, for minutes
# What the environment of `gpu_acceptance.sh` was made for
MUST_RUN = ("onnx", "onnx:provider=tensorrt", "onnx:precision=int8:provider=tensorrt", "tensorrt")
PLAIN = {"baseline", "eager"}
PRELUDE = """
import json, numpy, sys, torch
manifest = json.load(open("manifest.json"))
probe, shape = manifest["probe"], manifest["input"]["shape"][1:]
images = torch.randn(probe["batch_size"], *shape, generator=torch.Generator().manual_seed(probe["seed"])).numpy()
"""
CHECK = """
expected = numpy.array(probe["outputs"])
difference = numpy.linalg.norm(logits[: len(expected)] - expected) / numpy.linalg.norm(expected)
assert "densebench" not in sys.modules
assert difference <= probe["tolerance"], f"outputs differ by {difference:.2g}"
"""


def verdict(row: Mapping[str, str], *, as_is: bool = False) -> tuple[str, str]:
    """PASS, FAIL or SKIP, and why, of one line of the CSV."""
    recipe, lost = row["recipe"], row["accuracy_drop_pp"]
    if row["status"] == "skipped":
        if not as_is and (recipe in MUST_RUN or recipe.startswith("tensorrt")):
            return "FAIL", f"must run here, but: {row['reason']}"
        return "SKIP", row["reason"]
    if problem := _problem(row):
        return "FAIL", problem
    return "PASS", row["effect"] + (f"; top-1 lost {lost} points" if lost and float(lost) > 1 else "")


def _problem(row: Mapping[str, str]) -> str | None:
    """What is wrong with a row, or None."""
    recipe, effect = row["recipe"], row["effect"]
    if row["status"] != "ok":
        return f"{row['status']}: {row['reason']}"
    if not float(row["throughput_samples_per_s"] or 0) > 0:
        return "no throughput"
    if recipe not in PLAIN and (not effect or effect.startswith("none")):
        return f"no effect: {effect or 'none is given'}"
    if not re.search(EFFECTS.get(recipe, ""), effect):
        return f"expected '{EFFECTS[recipe]}' in its effect: {effect}"
    few = re.search(r"int8 convolutions (\d+)/(\d+)", effect)
    if few and 2 * int(few[1]) < int(few[2]):
        return f"only {few[1]} of {few[2]} convolutions are int8"
    return _harm(row)


def _harm(row: Mapping[str, str]) -> str | None:
    """What is wrong with a row's answers, or None. Blanks, of rows that were too slow to be asked, are no fault."""
    recipe = resolve(row["steps"], {})
    cut = [step.what.least_sqnr_db for step in recipe.techniques if step.what.changes == "weights"]
    most, least = (MOST_LOST_PRUNED, min(cut)) if cut else (MOST_LOST, LEAST_DB[recipe.precision("cuda")])
    lost, sqnr = row["accuracy_drop_pp"], row["output_sqnr_db"]
    if lost and not float(lost) <= most:
        return f"top-1 lost {lost} points, at most {most:g} are expected"
    if sqnr and not float(sqnr) >= least:
        return f"SQNR of {sqnr} dB, at least {least:g} are expected"
    return None


def deployed(folder: Path) -> tuple[str, str]:
    """Whether the code in an artifact's README gives the outputs that its manifest holds, without densebench."""
    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)
    if code is None:
        return "FAIL", "its README has no code"
    done = subprocess.run(
        [sys.executable, "-c", PRELUDE + code[1] + CHECK],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    last = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return ("FAIL", last) if done.returncode else ("PASS", "its README's code gives the recorded outputs")


def main(folder: Path, *, as_is: bool = False) -> int:
    """Print a line for each row and each artifact; returns the exit code."""
    with (folder / "benchmark_results.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    said = [(f"{row['recipe']}, batch {row['batch_size']}", *verdict(row, as_is=as_is)) for row in rows]
    said += [
        (f"{manifest.parent.name}, deployed", *deployed(manifest.parent))
        for manifest in sorted((folder / "models").glob("*/manifest.json"))
        if json.loads(manifest.read_text(encoding="utf-8"))["engine"] not in NOT_DEPLOYED
    ]
    for name, word, why in said:
        print(f"{word}  {name}: {why}")
    counts = {word: sum(one[1] == word for one in said) for word in ("PASS", "FAIL", "SKIP")}
    print(", ".join(f"{count} {word}" for word, count in counts.items()))
    return int(counts["FAIL"] > 0 or not rows)


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[-1]), as_is="--as-is" in sys.argv[1:-1]))
