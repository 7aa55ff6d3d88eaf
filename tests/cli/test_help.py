"""`--help` of every command: nothing is lost on the way to the terminal, and each default is told."""

from __future__ import annotations

import re

import pytest
from typer.core import TyperGroup, TyperOption
from typer.main import get_command
from typer.testing import CliRunner

from densebench.cli import main
from densebench.cli.flags import OF_A_DECISION
from densebench.spec import RunSpec, flag_of

GROUP = get_command(main.app)
assert isinstance(GROUP, TyperGroup)
COMMANDS = GROUP.commands


def shown(*command: str) -> str:
    """What a wide terminal shows, without the frames."""
    done = CliRunner().invoke(main.app, [*command, "--help"], env={"COLUMNS": "400", "TERMINAL_WIDTH": "400"})
    assert done.exit_code == 0
    return done.output.replace("│", " ")


def row(text: str, flag: str) -> str:
    """What stands beside one flag, up to the next one."""
    beside = re.split(rf"\n[ *]+{flag} ", text, maxsplit=1)[1]
    return " ".join(re.split(r"\n[ *]+--", beside, maxsplit=1)[0].split())


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_no_word_is_lost_to_the_markup(name: str) -> None:
    """`<time>` is no HTML, nor `*` or `_` an emphasis: each word of the source is on the terminal."""
    text, command = shown(name), COMMANDS[name]
    for help_text in (command.help, *(getattr(param, "help", "") for param in command.params)):
        plain = (help_text or "").replace("`", "")
        assert not set(plain.split()) - set(text.split())


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_tells_its_default(name: str) -> None:
    """An option without one would leave the reader to look elsewhere; a plain switch is off."""
    text = shown(name)
    for option in COMMANDS[name].params:
        if isinstance(option, TyperOption) and not option.is_flag:
            told = r"\[required\]" if option.required else r"default: \S"
            assert re.search(told, row(text, option.opts[0])), option.name


def test_a_report_keeps_what_the_run_was_asked_for() -> None:
    """The default suite's objective and limits are no defaults there: the run had its own."""
    text = shown("report")
    for name in OF_A_DECISION:
        assert "[default: the run's]" in row(text, flag_of(name))


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_says_what_it_is_for(name: str) -> None:
    """The fields of `RunSpec` are flags too: a new one needs a description."""
    assert all(param.help for param in COMMANDS[name].params if isinstance(param, TyperOption))


def test_report_explains_its_flags_as_run_does() -> None:
    """What a limit means is said once."""
    text, same = shown("run"), {param.name: param for param in COMMANDS["report"].params}
    for name in ("objective", "serving_batch_size", "max_latency_ms", "max_memory_mb"):
        option = same[name]
        assert isinstance(option, TyperOption)
        assert " ".join(str(option.help).split()) in row(text, option.opts[0])


def test_the_defaults_are_those_of_the_default_suite() -> None:
    """What the help says holds for a run without flags."""
    text, spec = shown("run"), RunSpec.create()
    assert f"[default: {','.join(map(str, spec.batch_sizes))}]" in row(text, "--batch-sizes")
    assert f"[default: {spec.cell_timeout:g}]" in row(text, "--cell-timeout")
    assert f"[default: {spec.model}]" in row(text, "--model")
    assert "[default: the suite's]" in row(text, "--recipes")


def test_a_default_in_the_help_is_not_given() -> None:
    """A suite's own value still holds where the flag is left out, whatever the help showed before."""
    command = COMMANDS["run"]
    with command.make_context("run", ["--seed", "1"]) as context:
        command.get_help(context)
    with command.make_context("run", ["--seed", "1"]) as context:
        assert {name: value for name, value in context.params.items() if value not in (None, False)} == {
            "seed": 1
        }
