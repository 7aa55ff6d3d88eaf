"""The grammar of recipes: each has one name, and what is written wrong is refused in one line."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st
from pydantic import Field

from densebench import engines, techniques
from densebench.errors import UsageError
from densebench.recipes.parse import plan, resolve
from densebench.recipes.recipe import Recipe
from densebench.spec import BASELINE
from densebench.techniques.base import Options, Technique

NAMED = {BASELINE: "eager"}
STEPS = sorted({technique.name for technique in techniques.catalogue().values()})
ENGINES = sorted({engine.name for engine in engines.catalogue().values()})


class DialOptions(Options):
    """Options of each kind that a recipe can write."""

    level: int = 3
    share: float = Field(0.5, gt=0)
    loud: bool = False
    mode: str = "plain"


DIAL = Technique("dial", "has options", lambda model, workload: model, changes="dial", options=DialOptions)


@pytest.fixture(scope="module")
def with_dial() -> object:
    """The catalogue with one more technique, which has options of every kind."""
    with pytest.MonkeyPatch.context() as patch:
        more = techniques.catalogue() | {"dial": DIAL}
        patch.setattr(techniques, "catalogue", lambda: more)
        yield


dials = st.fixed_dictionaries(
    {},
    optional={
        "level": st.integers(-(10**20), 10**20),
        "share": st.floats(min_value=0, exclude_min=True, allow_infinity=False),
        "loud": st.booleans(),
        "mode": st.text("abcdefghijklmnopqrstuvwxyz-_.0123456789", min_size=1),
    },
)


def same(one: Recipe, other: Recipe) -> bool:
    """Whether two recipes do the same; `==` on registrations is identity."""
    return (one.name, one.techniques, one.engine) == (other.name, other.techniques, other.engine)


@settings(max_examples=150, deadline=None)
@given(
    stack=st.lists(st.sampled_from([*STEPS, "dial"]), max_size=4),
    engine=st.sampled_from(["", *ENGINES]),
    options=dials,
)
def test_a_canonical_line_parses_back_to_the_same_recipe(
    with_dial: None, stack: list[str], engine: str, options: dict[str, object]
) -> None:
    """Whatever is accepted has a name and a one-line form that mean the same recipe, option by option."""
    written = "".join(f":{key}={str(value).replace('e+', 'e')}" for key, value in options.items())
    parts = [part + written if part == "dial" else part for part in [*stack, engine] if part]
    try:
        first = resolve("+".join(parts), NAMED)
    except UsageError:
        reject()  # a stack that is rightly refused
    assert same(resolve(first.name, NAMED), first)
    assert same(resolve(first.line, NAMED), first)
    if "dial" in stack:
        given_back = next(step for step in first.techniques if step.what is DIAL).options
        assert given_back == DialOptions(**options).model_dump()
    assert re.fullmatch(r"[a-z0-9._-]+", first.folder)


@pytest.mark.parametrize(
    ("written", "name", "line"),
    [
        ("eager", "eager", "eager"),
        ("baseline", "baseline", "eager"),
        ("script", "jit", "jit"),
        ("half", "quantize", "quantize+eager"),
        ("fp16", "amp", "amp+eager"),
        ("mixed_precision", "amp", "amp+eager"),
        ("bf16+eager", "bf16", "bf16+eager"),
        (" channels_last + bf16 + jit ", "channels_last+bf16+jit", "channels_last+bf16+jit"),
        ("pruning:amount=0.3", "pruning", "pruning+eager"),
        ("pruning:amount=0.50", "pruning:amount=0.5", "pruning:amount=0.5+eager"),
        ("pruning:amount=5e-1+compile", "pruning:amount=0.5+compile", "pruning:amount=0.5+compile"),
        ("pruning:amount=0.123456789", "pruning:amount=0.123456789", "pruning:amount=0.123456789+eager"),
    ],
)
def test_one_recipe_has_one_name(written: str, name: str, line: str) -> None:
    """Aliases, spaces, spelled-out defaults and the default engine give way to one canonical name."""
    found = resolve(written, NAMED)
    assert (found.name, found.line) == (name, line)


def test_every_alias_is_its_original() -> None:
    """A recipe by alias is the recipe by name."""
    for alias, what in (techniques.catalogue() | engines.catalogue()).items():
        assert same(resolve(alias, NAMED), resolve(what.name, NAMED))


def test_named_recipes_keep_their_name() -> None:
    """A name of the suite is what the rows are called, whatever it stands for."""
    found = resolve("fast", {**NAMED, "fast": "channels_last+bf16"})
    assert (found.name, found.line) == ("fast", "channels_last+bf16+eager")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("", "empty recipe name"),
        ("  ", "empty recipe name"),
        ("blank", "recipe 'blank' names no step"),
        ("bf61", "did you mean 'bf16'"),
        (
            "chanels_last+jit",
            "unknown recipe 'chanels_last' in 'chanels_last.jit'; did you mean 'channels_last'",
        ),
        ("+jit", "a step is missing"),
        ("bf16+", "a step is missing"),
        ("bf16++jit", "a step is missing"),
        ("+", "a step is missing"),
        ("baseline+bf16", r"'baseline' is a whole recipe: write its steps instead \(eager\)"),
        ("jit+bf16", "the engine jit must come last"),
        ("jit+compile", "the engine jit must come last"),
        ("pruning:amout=0.5", r"no option 'amout' \(it has: amount"),
        ("bf16:depth=2", r"no option 'depth' \(it has: none\)"),
        ("eager:fast=1", r"eager has no option 'fast'"),
        ("pruning:0.5", "name:option=value"),
        ("pruning:", "name:option=value"),
        ("pruning:amount=0.1:amount=0.2", "each once"),
        ("pruning:amount=", "pruning:amount: "),
        ("pruning:amount=half", "pruning:amount: .*number"),
        ("pruning:amount=0", "pruning:amount: .*greater than 0"),
        ("pruning:amount=1", "pruning:amount: .*less than 1"),
        ("pruning:amount=nan", "pruning:amount: "),
        (".hidden", "can't begin with a dot"),
        ("..", "can't begin with a dot"),
    ],
)
def test_what_is_no_recipe_is_refused_in_one_line(written: str, said: str) -> None:
    """The refusal is a usage error on one line that says what to change."""
    named = {**NAMED, "blank": " ", ".hidden": "jit", "..": "jit"}
    with pytest.raises(UsageError, match=said) as refusal:
        resolve(written, named)
    assert "\n" not in str(refusal.value)


def test_a_plan_has_the_baseline_first_and_each_recipe_once() -> None:
    """The baseline is planned though not asked for, at the head, and duplicates by any spelling go."""
    names = ("jit", "script", "bf16", "bf16+eager", "baseline", "pruning:amount=0.3", "pruning")
    assert [r.name for r in plan(names, NAMED)] == ["baseline", "jit", "bf16", "pruning"]


def test_recipes_that_would_share_a_folder_are_refused() -> None:
    """Two names that differ only in what a folder can't hold are one line of advice, not one overwritten model."""
    named = {**NAMED, "a b": "jit", "a+b": "bf16"}
    with pytest.raises(UsageError, match=r"'a b' and 'a\+b' would share the folder 'a_b'"):
        plan(("a b", "a+b"), named)


def test_a_spelled_out_default_is_no_other_recipe_of_that_name() -> None:
    """A suite may name a line with other options as a shorter one is called: both can be asked for."""
    named = {"channels_last+compile": "channels_last+compile:freezing=true"}
    frozen = resolve("channels_last+compile", named)
    plain = resolve("channels_last+compile:freezing=false", named)
    assert frozen.line != plain.line
    assert frozen.name != plain.name
