"""What techniques and engines say of values worth trying, for a search."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from densebench import engines, techniques
from densebench.errors import UsageError
from densebench.recipes.parse import resolve
from densebench.spec import RunSpec
from densebench.techniques.base import Option, Options, worth_trying

DECLARED = [
    pytest.param(what.options, name, option, id=f"{what.name}:{name}")
    for what in dict.fromkeys([*techniques.catalogue().values(), *engines.catalogue().values()])
    for name, option in worth_trying(what.options).items()
]


@pytest.mark.parametrize(("options", "name", "option"), DECLARED)
def test_each_value_can_be_built_and_has_a_cost(options: type[Options], name: str, option: Option) -> None:
    """The default is one of the values: a search begins there, and costs are multiples of its cost."""
    for value, cost in option.costs().items():
        options.model_validate({**option.needs, name: value})
        assert cost >= 0
    assert options.model_fields[name].get_default(call_default_factory=True) in option.values


@pytest.mark.parametrize(("options", "name", "option"), DECLARED)
def test_an_option_that_would_change_nothing_is_refused(
    options: type[Options], name: str, option: Option
) -> None:
    """With the name of the first option that lacks the value; where the default has it, nothing is refused."""
    fields = options.model_fields
    unmet = [other for other, needed in option.needs.items() if fields[other].default != needed]
    for value in option.values:
        if unmet and value != fields[name].default:
            with pytest.raises(ValidationError, match=f"needs {unmet[0]}="):
                options.model_validate({name: value})


@pytest.mark.parametrize(("options", "name", "option"), DECLARED)
def test_an_option_comes_after_those_that_it_needs(options: type[Options], name: str, option: Option) -> None:
    """Pydantic looks at fields in their order, so a later one would not be known yet."""
    order = list(options.model_fields)
    assert all(order.index(other) < order.index(name) for other in option.needs)


@pytest.mark.parametrize(
    "line",
    [
        "structured_pruning:fine_tune=false:epochs=12",
        "structured_pruning:fine_tune=false:learning_rate=0.001",
        "pruning:epochs=20",
        "semi_structured:learning_rate=0.002",
    ],
)
def test_training_that_is_not_done_has_no_options(line: str) -> None:
    """Whoever sets them expects to be trained."""
    with pytest.raises(UsageError, match="needs fine_tune=true"):
        resolve(line, {})


def test_the_default_suite_s_stack_is_frozen() -> None:
    """As its practitioners set it; `compile` by itself is as PyTorch has it."""
    spec = RunSpec.create("default")
    frozen = {
        name: resolve(name, spec.named).engine.options["freezing"]
        for name in ("compile", "channels_last+bf16+compile")
    }
    assert frozen == {"compile": False, "channels_last+bf16+compile": True}
