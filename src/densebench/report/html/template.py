"""The pages' templates, which escape whatever comes from the data, and their one style."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

from densebench.report.sweep import evidence
from densebench.text import times

if TYPE_CHECKING:
    from jinja2 import Template
    from markupsafe import Markup

ASSETS = Path(__file__).parent / "assets"


def template(name: str) -> Template:
    """A page's template, by its file name."""
    from jinja2 import Environment, FileSystemLoader

    templates = Environment(
        loader=FileSystemLoader(ASSETS), autoescape=True, trim_blocks=True, lstrip_blocks=True
    )
    templates.filters |= {"breakable": _breakable, "evidence": evidence, "times": times}
    return templates.get_template(name)


def style() -> Markup:
    """The pages' style sheet."""
    return trusted((ASSETS / "page.css").read_text(encoding="utf-8"))


def trusted(text: str) -> Markup:
    """Text of our own, or JSON made safe, that goes into a page as it is."""
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - nothing of it comes from the data unescaped


def _breakable(name: str) -> Markup:
    """A recipe's name that may be broken behind the signs between its parts."""
    from markupsafe import Markup, escape

    return Markup(re.sub("([+_:,])", r"\1<wbr>", str(escape(name))))  # noqa: S704 - escaped above
