"""MkDocs hook: copy buttons copy code only, without prompts and without printed output.

The theme copies the attribute `data-copy` of a block instead of its text, and gives blocks with the class `no-copy` no
button. How pages show output is described in tests/test_documentation.py.
"""

import re
from html import escape, unescape

BLOCK = re.compile(r'<div class="(?P<kind>[\w -]*highlight)">(?P<code><pre>.*?</pre>)</div>', re.S)
NOT_CODE = {"language-text", "doc-signature"}
OUTPUT_AFTER_PRINT = re.compile(r"^( *print\(.*\)\n)(?: *# (?!prints: ).*(?:\n|\Z))+", re.M)
OUTPUT_BESIDE_PRINT = re.compile(r"^( *print\(.*?\)) +# .*$", re.M)
OUTPUT_LINE = re.compile(r"^ *# prints: .*(?:\n|\Z)", re.M)
OUTPUT_AT_END = re.compile(r" +# prints: .*$", re.M)


def on_page_content(html, **_):
    """Mark the blocks whose buttons must copy another text than the one shown, or nothing."""
    return BLOCK.sub(marked, html)


def marked(block):
    """Return the HTML of a block with what its button copies."""
    kind, code = block["kind"], block["code"]
    if NOT_CODE & set(kind.split()):
        return f'<div class="{kind} no-copy">{code}</div>'
    text = unescape(re.sub("<[^>]+>", "", code))
    copied = code_only(text)
    if copied == text:
        return block[0]
    return f'<div class="{kind}" data-copy="{escape(copied)}">{code}</div>'


def code_only(text):
    """Return the text of a block without prompts and output."""
    for prompt in (r">>> |\.\.\. |\.\.\.$", r"\$ "):
        if re.match(prompt, text):
            lines = re.findall(rf"^(?:{prompt})(.*)$", text, re.M)
            return "".join(f"{line}\n" for line in lines)
    for output in (OUTPUT_AFTER_PRINT, OUTPUT_BESIDE_PRINT):
        text = output.sub(r"\1", text)
    return OUTPUT_AT_END.sub("", OUTPUT_LINE.sub("", text))
