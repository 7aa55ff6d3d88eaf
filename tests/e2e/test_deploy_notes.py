"""The README in each artifact's folder: its code runs where densebench is not installed."""

from __future__ import annotations

import re
import subprocess
import sys

import numpy as np
import pytest

from tests.conftest import RECIPES

BLOCKED = "import sys\nsys.modules['densebench'] = None\nimport numpy\nimages = numpy.load(sys.argv[1])\n"
ANSWER = (
    "numpy.save(sys.argv[2], logits)\nassert numpy.allclose(infer(images), logits, rtol=1e-3, atol=1e-3)\n"
)


# the code for a compiled model compiles it, for minutes; what it adds to the eager one's is a line; FP16 and NHWC
# differ by a word from BF16, and OpenVINO's FP32 from its INT8
LIKE_ANOTHER = {"channels_last+bf16+compile", "quantize", "channels_last", "openvino"}


@pytest.mark.parametrize("recipe", [recipe for recipe in RECIPES if recipe not in LIKE_ANOTHER])
def test_its_code_gives_the_recorded_outputs(sweep, recipe, tmp_path):
    """Copied out of the README, the code answers the probe as the manifest says, within its tolerance."""
    import torch

    folder, manifest = sweep.artifact(recipe), sweep.manifest(recipe)
    code = re.search(r"```python\n(.*?)```", (folder / "README.md").read_text(encoding="utf-8"), re.DOTALL)[1]
    probe, shape = manifest["probe"], manifest["input"]["shape"]
    generator = torch.Generator().manual_seed(probe["seed"])
    images = torch.randn(probe["batch_size"], *shape[1:], generator=generator)
    np.save(tmp_path / "images.npy", images.numpy())
    (tmp_path / "deploy.py").write_text(BLOCKED + code + ANSWER, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, tmp_path / "deploy.py", tmp_path / "images.npy", tmp_path / "logits.npy"],
        cwd=folder,
        env=sweep.program.environment,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    wanted = np.array(probe["outputs"])
    given = np.load(tmp_path / "logits.npy")[: len(wanted)]
    assert given.dtype == np.float32
    assert np.linalg.norm(given - wanted) / np.linalg.norm(wanted) <= probe["tolerance"]
