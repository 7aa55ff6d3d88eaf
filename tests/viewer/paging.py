"""The profile viewer in a browser that reaches nothing but its server, to turn to and to read."""

from __future__ import annotations

from typing import Any

from tests.viewer.serving import Server

VIEWS = ("overview", "operators", "memory", "timeline", "compare")
# TensorBoard's own page says this of itself.
KNOWN = ("Multiple instances of Three.js",)


class Page:
    """The viewer's frame, and what went wrong in it."""

    def __init__(self, browser: Any, server: Server, **look: Any) -> None:
        self.problems: list[str] = []
        context = browser.new_context(viewport={"width": 1280, "height": 900}, **look)
        context.route("**", lambda route: self._route(route, server.address))
        self.outer = context.new_page()
        self.outer.on("console", lambda message: self._note(message.type, message.text))
        self.outer.on("pageerror", lambda error: self._note("error", str(error)))
        self.outer.goto(f"{server.address}/#pytorch_profiler")
        self.frame = self.outer.frame_locator("iframe")
        self.shown("overview")

    def again(self) -> None:
        """As it was when it was opened: TensorBoard around it, which takes most of the time, stays."""
        inner = self.outer.locator("iframe").element_handle().content_frame()
        inner.evaluate("sessionStorage.clear()")
        inner.goto(inner.url)
        self.shown("overview")

    def _route(self, route: Any, address: str) -> None:
        if route.request.url.startswith((address, "data:", "blob:")):
            route.continue_()
        else:
            self.problems.append(f"asked {route.request.url}")
            route.abort()

    def _note(self, kind: str, text: str) -> None:
        if kind in {"error", "warning"} and not any(known in text for known in KNOWN):
            self.problems.append(text)

    def shown(self, view: str) -> Any:
        """The view's part of the page, once it is drawn."""
        self.frame.locator(f"#view[data-view={view}]:not([aria-busy])").wait_for(timeout=60_000)
        return self.frame.locator("#view")

    def open(self, view: str) -> Any:
        """Turn to a view."""
        self.frame.locator(f"#tab-{view}").click()
        return self.shown(view)

    def pick(self, label: str, choice: str) -> None:
        """Choose from a list."""
        self.frame.get_by_label(label, exact=True).select_option(label=choice)
        self.frame.locator("#view:not([aria-busy])").wait_for(timeout=60_000)

    def rows(self) -> list[list[str]]:
        """The cells of the large table."""
        lines = self.frame.locator(".table tbody tr").all()
        return [line.locator("th, td").all_inner_texts() for line in lines]
