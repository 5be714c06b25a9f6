"""Check a built site: `python .ci/check_site.py FOLDER`.

All links and anchors must exist, and no page may load anything from another site.
"""

import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}


class Page(HTMLParser):
    """The links of one page, the files that it loads, and its anchors."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loaded, self.anchors = [], [], {"", "__skip"}
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.anchors.add(attributes.get("id"))
        if tag == "a":
            self.anchors.add(attributes.get("name"))
            self.links.append(attributes.get("href") or "")
        elif tag in LOADED and attributes.get("rel") != "canonical":
            self.loaded.append(attributes.get(LOADED[tag]) or "")


def main(site):
    site = site.resolve()
    pages = {path: Page(path) for path in sorted(site.rglob("*.html"))}
    errors = []
    for path, page in pages.items():
        name = path.relative_to(site)
        for link in page.links + page.loaded:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "mailto") or parts.netloc:
                if link in page.loaded:
                    errors.append(f"{name} loads {link}")
                continue
            if path.name == "404.html":  # its links are relative to the root of the site
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.is_relative_to(site) or not target.is_file():
                errors.append(f"{name} refers to {link}, which does not exist")
            elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
                errors.append(f"{name} refers to {link}, an anchor that does not exist")
    print("\n".join(errors) or f"{len(pages)} pages, no broken link")
    return int(bool(errors or len(pages) < 10))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
