"""Check a built site: `python .ci/check_site.py FOLDER`.

All links and anchors must exist, and no page may load anything from another site. Copy buttons must copy code only. The
search must find the pages that explain what people search for, ahead of changelogs, figures and pages about migrating.
The script below runs the site's own search, which needs `node` on the path.
"""

import json
import shutil
import subprocess
import sys
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from urllib.parse import unquote, urlsplit

LOADED = {"script": "src", "img": "src", "link": "href", "iframe": "src", "source": "src"}
PROMPTS = (">>> ", "... ", "$ ")
SEARCHES = {
    "unsubscribe": "concepts/handlers/#disconnecting",
    "disconnect": "concepts/handlers/#disconnecting",
    "listener": "concepts/handlers/",
    "signal": "concepts/events/",
    "veto": "concepts/priorities/#cancelling",
    "lambda": "concepts/weak/#a-handler-defined-in-a-function",
}
LATER = ("CHANGELOG", "bridge/CHANGELOG", "benchmarks/", "performance/", "howto/migrating/", "blinker/")
ASK = """
const fs = require("fs"), path = require("path"), vm = require("vm");
const [site, ...queries] = process.argv.slice(1);
const workers = path.join(site, "assets/javascripts/workers");
const script = fs.readdirSync(workers).find(name => /^search\\..*\\.js$/.test(name));
let receive, answer;
Object.assign(globalThis, {
    self: globalThis,
    addEventListener: (_, listener) => { receive = listener },
    postMessage: message => answer(message.data),
});
vm.runInThisContext(fs.readFileSync(path.join(workers, script), "utf8"));
const ask = (type, data) => new Promise(resolve => { answer = resolve; receive({ data: { type, data } }) });
(async () => {
    const index = JSON.parse(fs.readFileSync(path.join(site, "search/search_index.json"), "utf8"));
    await ask(0, { ...index, options: { suggest: false } });
    const found = {};
    for (const query of queries)
        found[query] = (await ask(2, query)).items.map(page => page[0].location);
    console.log(JSON.stringify(found));
})();
"""


class Page(HTMLParser):
    """The links of one page, the files that it loads, its anchors, and what its copy buttons copy."""

    def __init__(self, path):
        super().__init__()
        self.links, self.loaded, self.anchors, self.copied = [], [], {"", "__skip"}, []
        self.in_block = False
        self.feed(path.read_text("utf-8"))

    def handle_starttag(self, tag, attrs):
        attributes = dict(attrs)
        self.anchors.add(attributes.get("id"))
        if tag == "a":
            self.anchors.add(attributes.get("name"))
            self.links.append(attributes.get("href") or "")
        elif tag in LOADED and attributes.get("rel") != "canonical":
            self.loaded.append(attributes.get(LOADED[tag]) or "")
        classes = (attributes.get("class") or "").split()
        if tag == "div" and "highlight" in classes and "no-copy" not in classes:
            self.in_block = "data-copy" not in attributes
            self.copied.append(attributes.get("data-copy") or "")

    def handle_data(self, data):
        if self.in_block:
            self.copied[-1] += data

    def handle_endtag(self, tag):
        self.in_block = self.in_block and tag != "div"


def check_links(site, pages):
    """Yield an error for each broken link, and for each file from another site that a page loads."""
    for path, page in pages.items():
        name = path.relative_to(site)
        for link in page.links + page.loaded:
            parts = urlsplit(link)
            if parts.scheme in ("http", "https", "mailto") or parts.netloc:
                if link in page.loaded:
                    yield f"{name} loads {link}"
                continue
            if path.name == "404.html":  # its links are relative to the root of the site
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            if target.is_dir():
                target /= "index.html"
            if not target.is_relative_to(site) or not target.is_file():
                yield f"{name} refers to {link}, which does not exist"
            elif target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield f"{name} refers to {link}, an anchor that does not exist"


def check_copied(site, pages):
    """Yield an error for each block whose copy button copies a prompt or printed output."""
    for path, page in pages.items():
        for text in page.copied:
            lines = text.splitlines()
            wrong = [line for line in lines if line.startswith(PROMPTS) or "# prints: " in line]
            wrong += [second for first, second in pairwise(lines) if first[:6] == "print(" and second[:2] == "# "]
            for line in wrong:
                yield f"{path.relative_to(site)} has a block that copies {line!r}"
    blocks = [text for page in pages.values() for text in page.copied]
    if sum("import" in text for text in blocks) < 100:
        yield f"only {len(blocks)} blocks can be copied"


def check_search(site):
    """Yield an error for each search that does not find its page first, or finds a page too early."""
    node = shutil.which("node")
    if node is None:
        print("The search is not checked, because there is no node on the path")
        return
    command = [node, "-e", ASK, str(site), *SEARCHES]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, timeout=60).stdout)
    for query, expected in SEARCHES.items():
        if found[query][:1] != [expected]:
            yield f"the search for {query!r} finds {found[query][:3]}, and not {expected} first"
        for location in found[query][:3]:
            if location.startswith(LATER) and len(found[query]) > 3:
                yield f"the search for {query!r} finds {location} too early"


def main(site):
    site = site.resolve()
    pages = {path: Page(path) for path in sorted(site.rglob("*.html"))}
    errors = [*check_links(site, pages), *check_copied(site, pages), *check_search(site)]
    print("\n".join(errors) or f"{len(pages)} pages without an error")
    return int(bool(errors or len(pages) < 10))


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
