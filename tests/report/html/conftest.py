"""A real browser without a network, and what it had to say."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, Route

from densebench.report.html import page
from densebench.results.record import Row
from tests.factory import confirmed, header
from tests.report.html.shapes import CEILINGS, logs

PATIENCE_MS = 120_000  # other tests use the cores too


@dataclass
class Opened:
    """A report in a tab. `complaints` are console errors, exceptions, dialogs, and requests to anywhere."""

    tab: Page
    complaints: list[str] = field(default_factory=list)

    def wait(self) -> Opened:
        """Until every chart is drawn."""
        self.tab.wait_for_selector("html[data-ready]", timeout=PATIENCE_MS)
        return self

    def recipes(self) -> list[str]:
        """The recipes of the comparison's rows that are shown, in their order."""
        found: list[str] = self.tab.evaluate(
            "[...document.querySelectorAll('#table tbody tr:not([hidden]) th')].map((cell) =>"
            " [...cell.childNodes].filter((one) => one.nodeType === 3).map((one) => one.data).join('').trim())"
        )
        return found


Open = Callable[..., Opened]


@pytest.fixture
def open_page(browser: Browser, tmp_path: Path) -> Iterator[Open]:
    """Write a page to the disk and open it from there."""
    contexts = []

    def open_(
        content: str, width: int = 1280, before: Callable[[Page], object] = lambda tab: None, **options: Any
    ) -> Opened:
        path = tmp_path / f"report {len(contexts)}.html"
        path.write_text(content, encoding="utf-8")
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        context.set_default_timeout(PATIENCE_MS)
        context.set_offline(True)
        opened = Opened(context.new_page())

        def only_the_file(route: Route) -> None:
            if route.request.url == path.as_uri():
                route.continue_()
            else:
                opened.complaints.append(f"asked for {route.request.url}")
                route.abort()

        context.route("**/*", only_the_file)
        opened.tab.on(
            "console", lambda said: opened.complaints.append(said.text) if said.type == "error" else None
        )
        opened.tab.on("pageerror", lambda error: opened.complaints.append(str(error)))
        opened.tab.on("dialog", lambda dialog: (opened.complaints.append(dialog.message), dialog.dismiss()))
        before(opened.tab)
        opened.tab.goto(path.as_uri(), wait_until="load")
        return opened

    yield open_
    for context in contexts:
        context.close()


@pytest.fixture
def open_report(open_page: Open, tmp_path: Path) -> Open:
    """Open the report of rows, with ceilings and traces beside them."""
    run = header(ceilings=CEILINGS.model_dump(mode="json"))
    folder = logs(tmp_path / "logs")

    def open_(rows: Sequence[Row], **options: Any) -> Opened:
        opened = open_page(page(run, rows, [folder], confirmed(rows)), **options)
        opened.tab.evaluate("document.getElementById('rows').open = true")  # what most tests look at
        return opened

    return open_
