"""A page as a browser reads it: every tag with its attributes, and the text outside of styles."""

from __future__ import annotations

import re
from html.parser import HTMLParser

_ADDRESSES = ("src", "href", "xlink:href", "srcset", "action", "data", "poster", "background", "formaction")


class Page(HTMLParser):
    """Reads a page whole."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.html = html
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.styles = ""
        self._in_style = False
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._in_style = tag == "style"
        if tag in ("td", "th"):
            self.text += " "

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        self._in_style = self._in_style and tag != "style"

    def handle_data(self, data: str) -> None:
        if self._in_style:
            self.styles += data
        else:
            self.text += data

    def named(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]

    def assert_self_contained(self) -> None:
        """Nothing is loaded from anywhere, and nothing runs."""
        for tag, attributes in self.tags:
            assert tag not in ("script", "iframe", "object", "embed", "link", "base", "form"), tag
            for name, value in attributes.items():
                assert not name.startswith("on"), (tag, name)
                if name in _ADDRESSES:
                    assert value is not None
                    assert value.startswith(("#", "data:image/jpeg;base64,")), (tag, name, value[:60])
                if name == "style":
                    assert not re.search(r"url\((?!#)", value or ""), value
        assert "@import" not in self.styles
        assert "url(" not in self.styles
