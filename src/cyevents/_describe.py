"""`describe`: a namespace's events and handlers as data, text, table and picture. Imported when used."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

from ._checks import is_pattern
from ._code import Code, code_of, last_part
from ._connection import delivery_texts
from ._core._safe import handler_name, int_text, safe_repr
from ._core._values import ANY
from ._namespace import Namespace, default_namespace
from ._text import plain_fields, short_repr

if TYPE_CHECKING:
    from rich.table import Table

    from ._connection import Connection
    from ._event import Event
    from ._typing import Overlap

_DOT_HEAD = """\
digraph events {
    graph [rankdir=LR, nodesep=0.15, ranksep=1.2, fontname="sans-serif", bgcolor=white]
    node [shape=box, style="rounded,filled", fillcolor="#eef6ee", color="#4a7a4a", fontname="sans-serif", fontsize=11]
    edge [color="#555555", fontname="sans-serif", fontsize=9]"""
_DOT_EVENT = 'shape=ellipse, fillcolor="#e6f0fb", color="#2f5f8f"'
_DOT_PATTERN = 'shape=hexagon, style=filled, fillcolor="#fdf3dc", color="#8f6a1f"'


@dataclass(frozen=True, slots=True)
class GraphEdge:
    """One connection: the handler, and when it is called.

    Attributes:
        handler: the handler.
        kind: `"sync"`, `"async"`, `"generator"` or `"async_generator"`.
        priority: an int; higher is called earlier.
        sender: the `repr` of the sender that it is connected for; `None` for all.
        condition: the condition, or `None`.
        pattern: the pattern that it is connected to; `None` if it is connected to the event itself.
        weak: whether the handler is held weakly.
        once: whether it is called only once.
        with_event: whether it gets the event.
        thread: whether `emit_async` runs it in a thread.
        replay: whether it was called with the emissions that its event had kept.
        via: what its calls are delivered to: the `repr` of a mailbox, or the class of an event loop or executor; or
            `None`.
        overlap: what it does when its earlier call still runs, as a word: see `Event.connect`.
        limit: how many of its calls run at once, or `None`.
        timeout: how many seconds it may take, or `None`.
        skipped: how many of its calls were dropped before they began, as `overlap` says.
        restarted: how many of its calls were cancelled by a later one, with `overlap="restart"`.
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
    replay: bool = False
    via: str | None = None
    overlap: Overlap = "parallel"
    limit: int | None = None
    timeout: float | None = None
    skipped: int = 0
    restarted: int = 0

    @property
    def options(self) -> list[str]:
        """The options that differ from the defaults, such as `"once"`, each as a short text."""
        options = [] if self.sender is None else [f"from {self.sender}"]
        if self.condition is not None:
            is_elsewhere = self.condition.name.endswith("<lambda>") and self.condition.place != self.handler.place
            options.append(f"if {last_part(self.condition.name)}" + f" {self.condition.place}" * is_elsewhere)
        options += ["once"] * self.once + ["with event"] * self.with_event + ["in a thread"] * self.thread
        options += ["replay"] * self.replay + delivery_texts(self)
        return options + ["held strongly"] * (not self.weak)


@dataclass(frozen=True, slots=True)
class GraphNode:
    """An event or a pattern, with its connections.

    Attributes:
        name: its name.
        doc: the event's documentation, or `None`.
        on_error: `"raise"`, `"group"`, the name of a callable, or `None` to use the namespace's.
        handlers: in calling order; those of an event include the handlers of patterns that match it.
        matches: the names of the events that a pattern matches.
        replay: how many of its last emissions it keeps for handlers that are connected later.
        sequential: whether async handlers are awaited one after the other; `None` to do as the namespace says.
    """

    name: str
    doc: str | None
    on_error: str | None
    handlers: list[GraphEdge]
    matches: list[str] = field(default_factory=list)
    replay: int = 0
    sequential: bool | None = None


@dataclass(frozen=True, slots=True)
class NamespaceGraph:
    """The events and handlers of a namespace when `describe` was called. `str` returns them as a readable text.

    Attributes:
        events: the events, sorted by name.
        patterns: the patterns that have handlers, sorted by name.
        on_error: the namespace's policy for exceptions of handlers, as in `GraphNode`.
        sequential: whether async handlers are awaited one after the other, for events that do not say otherwise.
    """

    events: list[GraphNode]
    patterns: list[GraphNode]
    on_error: str | None
    sequential: bool = False

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain data for JSON: dicts, lists, strings, numbers and `None`.

        A priority of more than about 154 digits is given as text, since `json` may refuse it.
        """
        return asdict(self, dict_factory=plain_fields)

    def __str__(self) -> str:
        nodes = self.events + self.patterns
        rows = [(node, [_cells(node, edge) for edge in node.handlers]) for node in nodes]
        columns = zip(*[cells for _, edges in rows for cells in edges], strict=True)
        widths = [max(map(len, column)) for column in columns]
        lines = []
        for node, edges in rows:
            about = (node.doc or "").strip().partition("\n")[0]
            if node.matches:
                about = f"matches {', '.join(node.matches)}"
            lines.append("  ".join(filter(None, (_heading(node), *self._settings(node), about))))
            for priority, *cells in edges:
                padded = [text.ljust(width) for text, width in zip(cells, widths[1:], strict=True)]
                lines.append("  ".join(["", priority.rjust(widths[0]), *padded]).rstrip())
            if not edges:
                lines.append("  no handlers")
        return "\n".join(lines) or "no events"

    def _settings(self, node: GraphNode) -> list[str]:
        """Return what to show beside the name of an event; nothing for a pattern, which is not emitted."""
        if is_pattern(node.name):
            return []
        is_sequential = self.sequential if node.sequential is None else node.sequential
        return ["sequential"] * is_sequential + [f"replay={node.replay}"] * (node.replay > 0)

    def table(self) -> Table:
        """Return a `rich` table, for `rich.print` or a `Console`.

        Raises:
            ImportError: if rich is not installed; the message says how to install it.
        """
        try:
            from rich.box import SIMPLE_HEAD
            from rich.table import Table
            from rich.text import Text
        except ImportError as error:
            raise ImportError("this table needs rich: python -m pip install rich") from error
        table = Table(box=SIMPLE_HEAD, header_style="bold", pad_edge=False, padding=(0, 1, 0, 0))
        table.add_column("Event", overflow="fold", style="cyan")
        table.add_column("Prio", justify="right")
        table.add_column("Handler", overflow="fold", style="green")
        table.add_column("When, how", overflow="fold")
        table.add_column("Where", overflow="fold", style="dim")
        for node in self.events + self.patterns:
            heading = "\n".join([_heading(node), *self._settings(node)])
            for edge in node.handlers:
                priority, name, kind, options, place = _cells(node, edge)
                if kind != "sync":
                    options = f"{kind}, {options}" if options else kind
                table.add_row(*map(Text, (heading, priority, name, options, place)))
                heading = ""
            if not node.handlers:
                table.add_row(Text(heading), "", Text("no handlers", style="dim"))
            table.add_section()
        return table

    def mermaid(self) -> str:
        """Return a Mermaid flowchart: a text that many sites and editors show as a picture."""
        nodes, handlers, edges = self._picture()
        lines = ["flowchart LR"]
        for key, node in nodes.items():
            shape = '(["{}"])' if key[0] == "e" else '{{{{"{}"}}}}'
            lines.append(f"    {key}{shape.format(_mermaid(node.name))}")
        for code, key in handlers.items():
            place = f"<br/>{_mermaid(code.place)}" if code.place else ""
            lines.append(f'    {key}["{_mermaid(last_part(code.name))}{place}"]')
        for start, end, label in edges:
            arrow = "-.->" if label is None else f'-->|"{_mermaid(label)}"|'
            lines.append(f"    {start} {arrow} {end}")
        return "\n".join(lines) + "\n"

    def dot(self) -> str:
        """Return the graph in the language of Graphviz."""
        nodes, handlers, edges = self._picture()
        lines = [_DOT_HEAD]
        for key, node in nodes.items():
            lines.append(f"    {key} [label={_dot(node.name)}, {_DOT_EVENT if key[0] == 'e' else _DOT_PATTERN}]")
        for code, key in handlers.items():
            place = f"\n{code.place}" if code.place else ""
            lines.append(f"    {key} [label={_dot(last_part(code.name) + place)}]")
        for start, end, label in edges:
            look = "style=dashed" if label is None else f"label={_dot(f' {label} ')}"
            lines.append(f"    {start} -> {end} [{look}]")
        return "\n".join([*lines, "}", ""])

    def svg(self) -> str:
        """Return a picture drawn by Graphviz, as the text of an SVG file.

        Raises:
            RuntimeError: if Graphviz's `dot` is not installed, or fails.
        """
        import shutil
        import subprocess

        dot = shutil.which("dot")
        if dot is None:
            raise RuntimeError(
                "this picture is drawn by Graphviz, whose program dot is not on the PATH: install graphviz (with apt,"
                " dnf, brew, choco or from graphviz.org), or use mermaid(), which needs nothing"
            )
        done = subprocess.run([dot, "-Tsvg"], input=self.dot().encode(), capture_output=True, check=False)
        if done.returncode:
            raise RuntimeError(f"Graphviz's dot failed: {done.stderr.decode(errors='replace').strip()}")
        return done.stdout.decode()

    def _picture(self) -> tuple[dict[str, GraphNode], dict[Code, str], list[tuple[str, str, str | None]]]:
        """Return what a picture shows: nodes by key, keys of handlers, and edges of start, end and label.

        The edge from an event to a pattern has no label. A pattern's handlers are drawn at the pattern only.
        """
        nodes = {f"e{number}": node for number, node in enumerate(self.events)}
        nodes |= {f"p{number}": node for number, node in enumerate(self.patterns)}
        handlers: dict[Code, str] = {}
        edges: list[tuple[str, str, str | None]] = []
        for key, node in nodes.items():
            is_event = key[0] == "e"
            if is_event:
                matching = (number for number, pattern in enumerate(self.patterns) if node.name in pattern.matches)
                edges += [(key, f"p{number}", None) for number in matching]
            for edge in node.handlers:
                if edge.pattern is None or not is_event:
                    kind = [] if edge.kind == "sync" else [edge.kind.replace("_", " ")]
                    label = ", ".join([int_text(edge.priority), *kind, *edge.options])
                    edges.append((key, handlers.setdefault(edge.handler, f"h{len(handlers)}"), label))
        return nodes, handlers, edges


def describe(namespace: Namespace = default_namespace, *, cached: bool = False) -> NamespaceGraph:
    """Return the events of a namespace, and the handlers that are called for each, in calling order.

    Args:
        namespace: the namespace; the default one if not given.
        cached: also list names without an event that the namespace keeps in its cache for its patterns.

    Returns:
        A `NamespaceGraph` of the current state: data, and methods that return it as text (`str`), as plain data for
        JSON (`to_dict`), as a table (`table`, needs rich) or as a picture (`mermaid`; `svg`, needs Graphviz).

    Raises:
        TypeError: if `namespace` is not a `Namespace`.

    Thread-safe. It calls no handlers. It takes the `repr` of senders.

    Example:
        >>> from cyevents import Namespace, describe
        >>> shop = Namespace()
        >>> @shop.on("order.placed", sender="ada", priority=5)
        ... def confirm(sender, **kwargs):
        ...     return "confirmed"
        >>> edge = describe(shop).events[0].handlers[0]
        >>> edge.handler.name, edge.priority, edge.sender
        ('confirm', 5, "'ada'")
    """
    if not isinstance(namespace, Namespace):
        raise TypeError(f"describe takes a Namespace, not {safe_repr(namespace)}")
    declared, in_cache, by_pattern = namespace._contents()
    events = sorted((declared | in_cache if cached else declared).items())
    patterns = []
    for name, pattern in sorted(by_pattern.items()):
        node = _node(name, pattern, [other for other, _ in events if pattern.matches(other)])
        if node.handlers:
            patterns.append(node)
    nodes = [_node(name, event, []) for name, event in events]
    return NamespaceGraph(nodes, patterns, _policy(namespace.on_error), namespace.sequential)


def _node(name: str, event: Event[Any], matches: list[str]) -> GraphNode:
    doc = event.__doc__
    doc = None if doc == type(event).__doc__ else doc
    edges = [_edge(connection) for connection in event.handlers]
    doc = doc if isinstance(doc, str) else None
    return GraphNode(name, doc, _policy(event.on_error), edges, matches, event.replay, event.sequential)


def _target_text(target: Any) -> str:
    """Return a short text for the target of a connection that is the same each time that the program runs."""
    from ._delivery import is_mailbox

    return short_repr(target, 60) if is_mailbox(target) else type(target).__name__


def _edge(connection: Connection) -> GraphEdge:
    return GraphEdge(
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
        replay=connection.replay,
        via=None if connection.via is None else _target_text(connection.via),
        overlap=connection.overlap,
        limit=connection.limit,
        timeout=connection.timeout,
        skipped=connection.skipped,
        restarted=connection.restarted,
    )


def _policy(policy: Any) -> str | None:
    return policy if policy is None or type(policy) is str else handler_name(policy)


def _heading(node: GraphNode) -> str:
    return node.name if node.name.isprintable() else repr(node.name)


def _cells(node: GraphNode, edge: GraphEdge) -> tuple[str, str, str, str, str]:
    options = [] if edge.pattern is None or edge.pattern == node.name else [f"by {edge.pattern}"]
    kind = edge.kind.replace("_", " ")
    name = last_part(edge.handler.name)
    return int_text(edge.priority), name, kind, ", ".join(options + edge.options), edge.handler.place


def _mermaid(text: str) -> str:
    """Escape a text for Mermaid's quotation marks, replacing special characters by their numbers."""
    return "".join(
        char if char.isalnum() or char in " .,:/_-='()" else f"#{ord(char)};" for char in " ".join(text.splitlines())
    )


def _dot(text: str) -> str:
    """Quote a text for Graphviz."""
    text = "".join(char if char.isprintable() or char == "\n" else "?" for char in text)
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'
