"""Weights on disk: the tensors that come back are, bit for bit, those that went in, in no more bytes than needed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn

from densebench.model.state_dict_file import MASKED, load_weights, save_weights
from tests.small import tiny_model

pytest_plugins = ["tests.fixtures"]

DTYPES = [
    torch.float32,
    torch.float64,
    torch.float16,
    torch.bfloat16,
    torch.float8_e4m3fn,
    torch.int8,
    torch.uint8,
    torch.int16,
    torch.int32,
    torch.int64,
    torch.bool,
    torch.complex64,
]
LAYOUTS = ["plain", "transposed", "sliced", "channels_last", "expanded", "parameter"]


def bits(tensor: Tensor) -> bytes:
    """The values, byte by byte, in row-major order; a NaN or a negative zero is told from its likes."""
    return tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()


def make(seed: int, dtype: torch.dtype, shape: tuple[int, ...], zeros: float, layout: str) -> Tensor:
    """A tensor of any bytes, some of whose elements are zero, lying in memory in one way or another."""
    generator = torch.Generator().manual_seed(seed)
    count = int(torch.tensor(shape).prod()) if shape else 1
    size = torch.empty((), dtype=dtype).element_size()
    raw = torch.randint(0, 2 if dtype is torch.bool else 256, (count, size), generator=generator).to(
        torch.uint8
    )
    raw[torch.rand(count, generator=generator) < zeros] = 0
    tensor = raw.flatten().view(dtype).reshape(shape)
    if layout == "transposed" and tensor.ndim > 1:
        return tensor.transpose(0, -1)
    if layout == "sliced" and tensor.ndim and tensor.shape[0] > 1:
        return tensor[1:]
    if layout == "channels_last" and tensor.ndim == 4:
        return tensor.contiguous(memory_format=torch.channels_last)
    if layout == "expanded":
        return tensor.expand(2, *shape)
    if layout == "parameter" and (dtype.is_floating_point or dtype.is_complex):
        return nn.Parameter(tensor)
    return tensor


tensors = st.builds(
    make,
    seed=st.integers(0, 10**6),
    dtype=st.sampled_from(DTYPES),
    shape=st.lists(st.sampled_from([0, 1, 2, 5, 9, 24]), max_size=4).map(tuple),
    zeros=st.sampled_from([0.0, 0.01, 0.03, 0.1, 0.3, 0.9, 1.0]),
    layout=st.sampled_from(LAYOUTS),
)
names = st.text("abcdefghij._0123456789", min_size=1, max_size=20).filter(lambda name: "mask" not in name)


@settings(max_examples=120, deadline=None)
@given(st.dictionaries(names, tensors, max_size=4))
def test_any_state_comes_back_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, state: dict[str, Tensor]
) -> None:
    """Every dtype, shape, share of zeros and memory layout round-trips, and never takes more than a plain file."""
    folder = tmp_path_factory.getbasetemp()
    save_weights(folder / "ours", state)
    loaded = load_weights(folder / "ours")
    assert set(loaded) == set(state)
    for name, tensor in state.items():
        assert loaded[name].dtype == tensor.dtype
        assert loaded[name].shape == tensor.shape
        assert bits(loaded[name]) == bits(tensor)
    plain = {name: tensor.detach().contiguous().clone() for name, tensor in state.items()}
    save_file(plain, folder / "plain", metadata={MASKED: "{}"})
    assert (folder / "ours").stat().st_size <= (folder / "plain").stat().st_size


def masked(path: Path) -> dict[str, list[int]]:
    """The tensors that a file holds as mask and values, with their shapes."""
    with safe_open(path, "pt") as file:
        return json.loads(file.metadata()[MASKED])


@pytest.mark.parametrize(
    ("dtype", "zeros", "chosen"),
    [
        (torch.float32, 0.02, False),  # a mask takes 1 bit in 32: 3.1 %
        (torch.float32, 0.05, True),
        (torch.float16, 0.05, False),  # 1 bit in 16: 6.3 %
        (torch.float16, 0.08, True),
        (torch.int8, 0.11, False),  # 1 bit in 8: 12.5 %
        (torch.int8, 0.15, True),
    ],
)
def test_a_mask_is_chosen_where_it_saves_bytes(
    tmp_path: Path, *, dtype: torch.dtype, zeros: float, chosen: bool
) -> None:
    """The choice is by bytes: mask and values against all values, in the tensor's own precision."""
    count = 100_000
    tensor = torch.ones(count, dtype=dtype)
    tensor[: int(zeros * count)] = 0
    save_weights(tmp_path / "file", {"w": tensor})
    assert (masked(tmp_path / "file") == {"w": [count]}) is chosen
    size = (tmp_path / "file").stat().st_size
    expected = (
        count * tensor.element_size() * (1 - zeros) + count / 8 if chosen else count * tensor.element_size()
    )
    assert size == pytest.approx(expected, abs=1000)


def test_small_tensors_are_not_masked(tmp_path: Path) -> None:
    """What a mask saves on a small tensor is less than its entry in the header takes."""
    save_weights(tmp_path / "file", {"w": torch.zeros(100)})
    assert masked(tmp_path / "file") == {}


def test_negative_zeros_stay_negative(tmp_path: Path) -> None:
    """A masked tensor gives back each zero with its sign."""
    tensor = torch.zeros(10_000)
    tensor[::7] = -0.0
    save_weights(tmp_path / "file", {"w": tensor})
    assert masked(tmp_path / "file")
    assert torch.equal(torch.signbit(load_weights(tmp_path / "file")["w"]), torch.signbit(tensor))


def test_tied_weights_are_saved(tmp_path: Path) -> None:
    """Two names of one tensor, or of parts of it, both come back."""
    weight = torch.randn(40, 5)
    save_weights(tmp_path / "file", {"a": weight, "b": weight, "c": weight[1:]})
    loaded = load_weights(tmp_path / "file")
    assert torch.equal(loaded["a"], weight)
    assert torch.equal(loaded["b"], weight)
    assert torch.equal(loaded["c"], weight[1:])


def test_loaded_tensors_are_their_own(tmp_path: Path) -> None:
    """Weights can be changed after loading, and the file be removed or replaced."""
    save_weights(tmp_path / "file", {"w": torch.randn(2000), "m": torch.zeros(2000)})
    loaded = load_weights(tmp_path / "file")
    (tmp_path / "file").unlink()
    for name, tensor in loaded.items():
        before = tensor.clone()
        assert torch.equal(tensor.add_(1), before + 1), name


def test_quantized_tensors_come_back_whole(tmp_path: Path) -> None:
    """What torchao puts together from integers and scales is put together again, and computes the same."""
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    model = tiny_model()
    plain = model.head.weight.detach().clone()
    quantize_(model, Int8DynamicActivationInt8WeightConfig())
    save_weights(tmp_path / "file", model.state_dict())
    loaded = load_weights(tmp_path / "file")
    assert set(loaded) == set(model.state_dict())
    assert type(loaded["head.weight"]) is type(model.head.weight.data)
    other = tiny_model()
    other.load_state_dict(loaded, assign=True)
    inputs = torch.randn(4, 3, 16, 16)
    with torch.inference_mode():
        assert torch.equal(other(inputs), model(inputs))
    assert torch.allclose(loaded["head.weight"].dequantize(), plain, atol=0.02)


def test_a_quantized_file_is_smaller(tmp_path: Path) -> None:
    """The integers are what is stored: about a byte for each weight."""
    from torchao.quantization import Int8DynamicActivationInt8WeightConfig, quantize_

    layer = nn.Sequential(nn.Linear(256, 512, bias=False))
    quantize_(layer, Int8DynamicActivationInt8WeightConfig())
    save_weights(tmp_path / "file", layer.state_dict())
    assert 256 * 512 < (tmp_path / "file").stat().st_size < 1.2 * 256 * 512
