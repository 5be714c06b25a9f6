"""`describe`: how a namespace is wired, as data, as text, as a table and as a picture. Imported when asked for."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ._code import Code, code_of, last_part
from ._core._safe import handler_name, int_text, safe_repr
from ._core._values import ANY
from ._namespace import Namespace, default_namespace
from ._text import plain_fields, short_repr

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from ._connection import Connection
    from ._event import Event


@dataclass(frozen=True, slots=True)
class Wire:
    """One connection: a handler, and when it is called.

    Attributes:
        handler: the handler.
        kind: `"sync"`, `"async"`, `"generator"` or `"async_generator"`.
        priority: an int; higher is called earlier.
        sender: the `repr` of the sender it is connected for; `None` for all.
        condition: the condition, or `None`.
        pattern: the pattern that it is connected to, or `None` if it is the event itself.
        weak: whether the handler is held weakly.
        once: whether it is called once only.
        with_event: whether it gets the event.
        thread: whether `emit_async` runs it in a thread.
    """

    handler: Code
    kind: str
    priority: int
    sender: str | None
    condition: Code | None
    pattern: str | None
    weak: bool
    once: bool
    with_event: bool
    thread: bool

    @property
    def terms(self) -> list[str]:
        """When and how it is called, as far as that is not the usual."""
        terms = [] if self.sender is None else [f"from {self.sender}"]
        if self.condition is not None:
            elsewhere = self.condition.name.endswith("<lambda>") and self.condition.place != self.handler.place
            terms.append(f"if {last_part(self.condition.name)}" + f" {self.condition.place}" * elsewhere)
        terms += ["once"] * self.once + ["with event"] * self.with_event + ["in a thread"] * self.thread
        if not self.weak:
            terms.append("held strongly")
        return terms


@dataclass(frozen=True, slots=True)
class Node:
    """An event or a pattern, and what is connected.

    Attributes:
        name: its name.
        doc: what the event means, or `None`.
        on_error: `"raise"`, `"group"`, the callable's name, or `None` for what the namespace says.
        handlers: in the order in which they are called; of an event, those of patterns that match it included.
        matches: of a pattern, the names of the events that match it.
    """

    name: str
    doc: str | None
    on_error: str | None
    handlers: list[Wire]
    matches: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Wiring:
    """How a namespace is wired, as it stood when `describe` was asked. `str` of it is a readable text.

    Attributes:
        events: the events, by name.
        patterns: the patterns that something is connected to, by name.
        on_error: what the namespace does with handlers' exceptions: as in `Node`.
    """

    events: list[Node]
    patterns: list[Node]
    on_error: str | None

    def to_dict(self) -> dict[str, Any]:
        """The whole of it as plain data: dicts, lists, strings, numbers and `None`, fit for JSON.

        A priority of more than about 154 digits is given as text, since `json` may refuse it.
        """
        return asdict(self, dict_factory=plain_fields)

    def __str__(self) -> str:
        rows = [(node, [_cells(node, wire) for wire in node.handlers]) for node in self._nodes()]
        columns = list(zip(*[cells for _, wires in rows for cells in wires], strict=True))
        widths = [max(map(len, column)) for column in columns]
        lines = []
        for node, wires in rows:
            lines.append("  ".join(filter(None, (_heading(node), _about(node)))))
            for cells in wires:
                padded = [text.rjust(width) for text, width in zip(cells[:1], widths, strict=False)]
                padded += [text.ljust(width) for text, width in zip(cells[1:], widths[1:], strict=True)]
                lines.append(f"  {'  '.join(padded)}".rstrip())
            if not wires:
                lines.append("  no handlers")
        return "\n".join(lines) or "no events"

    def table(self) -> Table:
        """The wiring as a `rich` table, to be printed by `rich.print` or a `Console`.

        Raises:
            ImportError: if rich is not installed; it says how to.
        """
        try:
            from rich.box import SIMPLE_HEAD
            from rich.table import Table
            from rich.text import Text
        except ImportError as error:
            raise ImportError("this table needs rich: python -m pip install 'cyevents[rich]'") from error
        table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
        table.add_column("Event", overflow="fold", style="cyan")
        table.add_column("Prio", justify="right")
        table.add_column("Handler", overflow="fold", style="green")
        table.add_column("When, how", overflow="fold")
        table.add_column("Where", overflow="fold", style="dim")
        for node in self._nodes():
            heading = _heading(node)
            for wire in node.handlers:
                priority, name, kind, terms, place = _cells(node, wire)
                if kind != "sync":
                    terms = f"{kind}, {terms}" if terms else kind
                table.add_row(*map(Text, (heading, priority, name, terms, place)))
                heading = ""
            if not node.handlers:
                table.add_row(Text(heading), "", Text("no handlers", style="dim"))
            table.add_section()
        return table

    def mermaid(self) -> str:
        """The wiring as a Mermaid flowchart: a text that many sites and editors show as a picture."""
        lines = ["flowchart LR"]
        nodes, handlers, edges = self._graph()
        shapes = {"e": '(["{}"])', "p": '{{{{"{}"}}}}'}
        for key, node in nodes.items():
            lines.append(f"    {key}{shapes[key[0]].format(_mermaid(node.name))}")
        for key, code in handlers.items():
            place = f"<br/>{_mermaid(code.place)}" if code.place else ""
            lines.append(f'    {key}["{_mermaid(last_part(code.name))}{place}"]')
        for edge in edges:
            if edge.wire is None:
                lines.append(f"    {edge.start} -.-> {edge.end}")
            else:
                lines.append(f'    {edge.start} -->|"{_mermaid(edge.label)}"| {edge.end}')
        return "\n".join(lines) + "\n"

    def dot(self) -> str:
        """The wiring in the language of Graphviz."""
        nodes, handlers, edges = self._graph()
        lines = [
            "digraph wiring {",
            '    graph [rankdir=LR, nodesep=0.15, ranksep=1.2, fontname="sans-serif", bgcolor=white]',
            '    node [shape=box, style="rounded,filled", fillcolor="#eef6ee", color="#4a7a4a", fontname="sans-serif",'
            " fontsize=11]",
            '    edge [color="#555555", fontname="sans-serif", fontsize=9]',
        ]
        for key, node in nodes.items():
            look = 'shape=ellipse, fillcolor="#e6f0fb", color="#2f5f8f"'
            if key[0] == "p":
                look = 'shape=hexagon, style=filled, fillcolor="#fdf3dc", color="#8f6a1f"'
            lines.append(f"    {key} [label={_dot(node.name)}, {look}]")
        for key, code in handlers.items():
            place = f"\n{code.place}" if code.place else ""
            lines.append(f"    {key} [label={_dot(last_part(code.name) + place)}]")
        for edge in edges:
            look = "style=dashed" if edge.wire is None else f"label={_dot(' ' + edge.label + ' ')}"
            lines.append(f"    {edge.start} -> {edge.end} [{look}]")
        return "\n".join([*lines, "}", ""])

    def svg(self) -> str:
        """The wiring as a picture, drawn by Graphviz: the text of an SVG file.

        Raises:
            RuntimeError: if Graphviz's `dot` is not installed, or fails.
        """
        import shutil
        import subprocess

        dot = shutil.which("dot")
        if dot is None:
            raise RuntimeError(
                "this picture is drawn by Graphviz, whose program dot is not on the PATH: install graphviz (with apt,"
                " dnf, brew, choco or from graphviz.org), or take mermaid(), which needs nothing"
            )
        done = subprocess.run([dot, "-Tsvg"], input=self.dot().encode(), capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"Graphviz's dot failed: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout.decode()

    def _nodes(self) -> Iterator[Node]:
        yield from self.events
        yield from self.patterns

    def _graph(self) -> tuple[dict[str, Node], dict[str, Code], list[_Edge]]:
        """Nodes and handlers by the keys that a picture has for them, and what leads where."""
        nodes = {f"e{number}": node for number, node in enumerate(self.events)}
        nodes |= {f"p{number}": node for number, node in enumerate(self.patterns)}
        handlers: dict[Code, str] = {}
        edges = []
        for key, node in nodes.items():
            if key[0] == "e":
                heard = (number for number, pattern in enumerate(self.patterns) if node.name in pattern.matches)
                edges += [_Edge(key, f"p{number}", None) for number in heard]
            for wire in node.handlers:
                if wire.pattern is None or key[0] == "p":
                    edges.append(_Edge(key, handlers.setdefault(wire.handler, f"h{len(handlers)}"), wire))
        return nodes, {key: code for code, key in handlers.items()}, edges


@dataclass(frozen=True, slots=True)
class _Edge:
    """What leads from an event to a pattern, or by a wire to a handler."""

    start: str
    end: str
    wire: Wire | None

    @property
    def label(self) -> str:
        if self.wire is None:
            return ""
        kind = [] if self.wire.kind == "sync" else [self.wire.kind.replace("_", " ")]
        return ", ".join([int_text(self.wire.priority), *kind, *self.wire.terms])


def describe(namespace: Namespace = default_namespace, *, cached: bool = False) -> Wiring:
    """Tell how a namespace is wired: its events, and which handlers are called for each, in which order.

    Args:
        namespace: the namespace; the default one if not given.
        cached: list also the events of names that nobody made, which the namespace keeps for its patterns.

    Returns:
        A `Wiring`, as it stands now: data, and by its methods a text (`str`), plain data for JSON (`to_dict`), a table
        (`table`, with rich), a picture (`mermaid`, and `svg`, with Graphviz).

    Raises:
        TypeError: if it is no `Namespace`.

    Thread-safe. Calls none of the handlers; of the senders it takes the `repr`.

    Example:
        >>> from cyevents import Namespace, describe
        >>> shop = Namespace()
        >>> @shop.on("order.placed", sender="ada", priority=5)
        ... def confirm(sender, **kwargs):
        ...     return "confirmed"
        >>> wire = describe(shop).events[0].handlers[0]
        >>> wire.handler.name, wire.priority, wire.sender
        ('confirm', 5, "'ada'")
    """
    if not isinstance(namespace, Namespace):
        raise TypeError(f"describe takes a Namespace, not {safe_repr(namespace)}")
    events = sorted((dict.copy(namespace) | namespace._cached if cached else dict.copy(namespace)).items())
    patterns = []
    for name, pattern in sorted(namespace._patterns.copy().items()):
        node = _node(name, pattern, [other for other, _ in events if pattern.matches(other)])
        if node.handlers:
            patterns.append(node)
    return Wiring([_node(name, event, []) for name, event in events], patterns, _policy(namespace.on_error))


def _node(name: str, event: Event[Any], matches: list[str]) -> Node:
    doc = vars(event).get("__doc__")
    wires = [_wire(connection) for connection in event.handlers]
    return Node(name, doc if isinstance(doc, str) else None, _policy(event.on_error), wires, matches)


def _wire(connection: Connection) -> Wire:
    return Wire(
        handler=code_of(connection.handler),
        kind=connection.kind,
        priority=connection.priority,
        sender=None if connection.sender is ANY else short_repr(connection.sender, 60),
        condition=None if connection.condition is None else code_of(connection.condition),
        pattern=connection.pattern,
        weak=connection.weak,
        once=connection.once,
        with_event=connection.with_event,
        thread=connection.thread,
    )


def _policy(policy: Any) -> str | None:
    return policy if policy is None or type(policy) is str else handler_name(policy)


# How it is shown


def _heading(node: Node) -> str:
    return node.name if node.name.isprintable() else repr(node.name)


def _about(node: Node) -> str:
    """What an event means, in one line; what a pattern hears."""
    if node.matches:
        return f"hears {', '.join(node.matches)}"
    return (node.doc or "").strip().partition("\n")[0]


def _cells(node: Node, wire: Wire) -> tuple[str, str, str, str, str]:
    terms = [] if wire.pattern is None or wire.pattern == node.name else [f"by {wire.pattern}"]
    terms += wire.terms
    kind = wire.kind.replace("_", " ")
    return int_text(wire.priority), last_part(wire.handler.name), kind, ", ".join(terms), wire.handler.place


def _mermaid(text: str) -> str:
    """A text within Mermaid's quotation marks: what might mean something there goes by its number."""
    return "".join(
        char if char.isalnum() or char in " .,:/_-='()" else f"#{ord(char)};" for char in " ".join(text.splitlines())
    )


def _dot(text: str) -> str:
    """A text as a string of Graphviz's language."""
    text = "".join(char if char.isprintable() or char == "\n" else "?" for char in text)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
