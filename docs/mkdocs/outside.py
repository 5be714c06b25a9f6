"""MkDocs hook: add the files outside of docs/ that pages link to.

Markdown files become pages, and pictures are copied. A program or other text becomes a page that shows it, and a folder
becomes a page that lists its files. So the same links work in the repository and on the site.
"""

import re
from pathlib import Path
from posixpath import relpath

from mkdocs.structure.files import File, InclusionLevel

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PICTURES = {".svg", ".png"}
LANGUAGES = {".py": "python", ".sh": "sh", ".toml": "toml", ".yml": "yaml", ".json": "json"}
LINK = re.compile(r"(\]\()([^)#\s:]+)(?=[)#\s])")


def on_files(files, config):
    """Add the files that the navigation names, the files that pages link to, and the files that those link to."""
    waiting = [path for name in nav_files(config.nav) if not (DOCS / name).exists() and (path := ROOT / name).is_file()]
    for page in files.documentation_pages():
        waiting += linked_outside(DOCS / page.src_uri, page.content_string)
    in_navigation = set(nav_files(config.nav))
    while waiting:
        path = waiting.pop()
        uri = uri_of(path)
        if uri in files.src_uris:
            continue
        if path.suffix in PICTURES:
            file = File.generated(config, uri, abs_src_path=str(path))
        else:
            text = content(path)
            waiting += linked_outside(path, text)
            level = InclusionLevel.INCLUDED if uri in in_navigation else InclusionLevel.NOT_IN_NAV
            file = File.generated(config, uri, content=text, inclusion=level)
            file.edit_uri = None if path.is_dir() else relpath(path, DOCS)
        files.append(file)
    return files


def on_page_markdown(markdown, page, config, files):
    """Rewrite links to the places of their targets on the site."""
    here = page.file.src_uri
    source = ROOT / here if page.file.generated_by else DOCS / here

    def rewritten(match):
        target = target_of(source, match[2])
        return match[0] if target is None else match[1] + relpath(uri_of(target), str(Path(here).parent))

    return LINK.sub(rewritten, markdown)


def nav_files(navigation):
    """Yield the files that the navigation names."""
    if isinstance(navigation, str):
        yield navigation
    else:
        for item in navigation.values() if isinstance(navigation, dict) else navigation:
            yield from nav_files(item)


def linked_outside(source, text):
    """Return the files and folders outside of docs/ that a page links to."""
    targets = (target_of(source, match[2]) for match in LINK.finditer(text))
    return [target for target in targets if target is not None and not target.is_relative_to(DOCS)]


def target_of(source, link):
    """Return the path that a link leads to, or None if it is not in the repository."""
    folder = source if source.is_dir() else source.parent
    target = (folder / link).resolve()
    return target if target.is_relative_to(ROOT) and target != ROOT and target.exists() else None


def uri_of(path):
    """Return the place of a path on the site: paths in docs/ without that folder, others from the root."""
    uri = path.relative_to(DOCS if path.is_relative_to(DOCS) else ROOT).as_posix()
    if uri == "README.md":
        return "index.md"
    if path.is_dir():
        return f"{uri}/index.md"
    return uri if path.suffix in PICTURES or path.suffix == ".md" else f"{uri}.md"


def content(path):
    """Return the Markdown of the page for a path outside of docs/."""
    name = path.relative_to(ROOT).as_posix()
    if path.is_dir():
        files = sorted(file for file in path.iterdir() if file.is_file() and not file.name.startswith("."))
        return f"# {name}/\n\n" + "".join(f"- [{file.name}]({file.name})\n" for file in files)
    text = path.read_text("utf-8")
    if path.suffix == ".md":
        return text
    return f"# {name}\n\n````{LANGUAGES.get(path.suffix, 'text')}\n{text}````\n"
