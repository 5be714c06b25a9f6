"""MkDocs hook: take the address of the repository from pyproject.toml, and help the search to find the right page."""

import json
import re
import tomllib
from pathlib import Path

from mkdocs.exceptions import PluginError

ROOT = Path(__file__).parents[2]
BRANCH = "main"

# How much a page counts in the search, by the beginning of its path: the first that fits.
BOOSTS = {
    r"api/(blinker|bridge|describe|instrument|opentelemetry|trace)": 1,
    r"api/": 2,
    r"concepts/|tutorial|waiting|typing|rates|loops|testing": 2,
    r"howto/migrating/|blinker|.*CHANGELOG|CONTRIBUTING|benchmarks/|examples/": 0.01,
    r"performance|promises|bridge/": 0.1,
}

# What other libraries call a thing, under the heading where it is explained. The page shows these words, and a search
# for one of them finds the heading first.
OTHER_NAMES = {
    "concepts/events.md": {
        "Events": ["signal", "hook", "topic"],
        "Emitting by name": ["send", "dispatch", "fire", "publish", "trigger"],
    },
    "concepts/handlers.md": {
        "Handlers": ["listener", "subscriber", "observer", "receiver", "slot", "callback"],
        "Connecting": ["subscribe", "listen", "register"],
        "Disconnecting": ["unsubscribe", "remove_listener", "off"],
    },
    "concepts/priorities.md": {"Cancelling": ["veto", "stop propagation", "prevent default"]},
}


def on_config(config):
    """Show links to the repository and to edit pages if `[project.urls]` has a `Repository`, and else none."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    repository = project.get("urls", {}).get("Repository", "").rstrip("/")
    if repository:
        config.repo_url = repository
        config.repo_name = "Repository"
        config.edit_uri = f"edit/{BRANCH}/docs/"
    return config


def on_page_markdown(markdown, page, **_):
    """Set how much the page counts in the search, and show other names under their headings."""
    name = page.file.src_uri
    for beginning, boost in BOOSTS.items():
        if re.match(beginning, name):
            page.meta.setdefault("search", {}).setdefault("boost", boost)
            break
    for heading, words in OTHER_NAMES.get(name, {}).items():
        line = f'\\g<0>\n<p class="other-names">In other libraries: {", ".join(words)}</p>\n'
        markdown, found = re.subn(rf"^#+ {re.escape(heading)}\n", line, markdown, count=1, flags=re.M)
        if not found:
            raise PluginError(f"{name} has no heading {heading!r}: correct OTHER_NAMES in {__file__}")
    return markdown


def on_post_build(config):
    """Make the other names tags of their headings in the index of the search."""
    path = Path(config.site_dir, "search", "search_index.json")
    index = json.loads(path.read_text("utf-8"))
    for page, headings in OTHER_NAMES.items():
        location = page.removesuffix(".md") + "/"
        for entry in index["docs"]:
            if entry["location"].startswith(location) and entry["title"] in headings:
                entry["tags"] = headings[entry["title"]]
    path.write_text(json.dumps(index, separators=(",", ":")), "utf-8")
