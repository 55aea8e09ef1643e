"""A page's text as a reader sees it, for the tests of what stands on it."""

from html.parser import HTMLParser


class Words(HTMLParser):
    """`text` without scripts and styles, and the `tags` that were opened, with their attributes."""

    def __init__(self, html):
        super().__init__()
        self.text, self.tags, self.raw = "", [], 0
        self.feed(html)
        self.text = " ".join(self.text.split())

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.raw += tag in ("script", "style")

    def handle_endtag(self, tag):
        self.raw -= tag in ("script", "style")

    def handle_data(self, data):
        self.text += "" if self.raw else data + " "
