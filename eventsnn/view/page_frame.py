"""What every document has: header, theme, keys, and the address that holds its state."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from html import escape
from urllib.parse import parse_qsl

from bokeh.document import Document
from bokeh.models import Button, CustomJS, Div, InlineStyleSheet, Row, TextInput, UIElement

from eventsnn.view.style import THEMES, frame, make_theme, sheet

_KEEP_ADDRESS = """
const asked = new URLSearchParams(location.search);
const [way, state] = channel.value.split(" ");
const query = new URLSearchParams(state);
for (const key of ["token", "theme"]) if (asked.has(key) && !query.has(key)) query.set(key, asked.get(key));
const address = "?" + query.toString();
if (way === "step") history.pushState(null, "", address);
if (way === "same") history.replaceState(null, "", address);
"""
_SET_LOOK = "document.documentElement.dataset.theme = channel.value;"


class PageFrame:
    """The frame of a document.

    Parameters
    ----------
    document : Document
    title : str
    query : mapping of str to str
        Keys of the address that the page was opened with.
    keys : mapping of str to str
        Command of each key of the keyboard, by the name that browsers give it.
    commands : callable of str
        Does a command.
    reopen : callable of mapping
        Shows what an address asks for: the browser has gone back, or forward.

    Attributes
    ----------
    document : Document
    look : str
        "light" or "dark".
    sheet : InlineStyleSheet
        For the widgets.
    on_look : list of callables
        Called after the look has changed.
    """

    def __init__(
        self,
        document: Document,
        title: str,
        query: Mapping[str, str],
        keys: Mapping[str, str],
        commands: Callable[[str], None],
        reopen: Callable[[Mapping[str, str]], None],
    ) -> None:
        self.document = document
        self._commands, self._reopen = commands, reopen
        self._step: object = None
        self._is_reopening = False
        self.look = query.get("theme", "light") if query.get("theme") in THEMES else "light"
        self._asked_look = query.get("theme") in THEMES
        self.sheet: InlineStyleSheet = sheet()
        self.on_look: list[Callable[[], None]] = []
        self._name = title
        self.title = self.text(name="title")
        self._command = TextInput(name="command", visible=False)
        self._command.on_change("value", lambda attribute, old, new: self._obey(new))
        self._address = TextInput(name="address", visible=False)
        self._address.js_on_change("value", CustomJS(args={"channel": self._address}, code=_KEEP_ADDRESS))
        self._look = TextInput(name="look", visible=False)
        self._look.js_on_change("value", CustomJS(args={"channel": self._look}, code=_SET_LOOK))
        self._switch = self.button("dark" if self.look == "light" else "light", self.switch_look, width=60)
        document.title = title
        document.template = frame()
        is_live = document.session_context is not None
        document.template_variables.update(look=self.look, page_keys=dict(keys) if is_live else {})
        document.theme = make_theme(self.look)

    def _obey(self, text: str) -> None:
        command = text.split(" ")[0]
        if command in THEMES:
            self._asked_look = True
            self._set_look(command)
        elif command == "look":
            self.switch_look()
        elif command.startswith("?"):
            self._is_reopening = True
            try:
                self._reopen(dict(parse_qsl(command[1:])))
            finally:
                self._is_reopening = False
        else:
            self._commands(command)

    def describe(self, text: str) -> None:
        """Say behind the title what is shown."""
        self.title.text = f"<h1>{escape(self._name)}</h1> {escape(text)}"

    def switch_look(self) -> None:
        """From light to dark, or back."""
        self._asked_look = True
        self._set_look("dark" if self.look == "light" else "light")

    def _set_look(self, look: str) -> None:
        self._switch.label = self.look
        self.look = self._look.value = look
        self.document.theme = make_theme(look)
        for follow in self.on_look:
            follow()

    def header(self, *more: UIElement) -> Row:
        """The row on top: title, `more`, the switch of the look."""
        channels = (self._command, self._address, self._look)
        return Row(self.title, *more, self._switch, *channels, sizing_mode="stretch_width")

    def keep_address(self, address: str, step: object = None) -> None:
        """Put the state into the address; token and theme stay.

        Where `step` differs from that of the call before, the browser's button "back" leads to the address
        before.
        """
        is_first = not self._address.value
        # While the browser goes back, several times perhaps, the addresses are its own.
        way = "none" if self._is_reopening else "same" if is_first or step == self._step else "step"
        self._step = step
        self._address.value = f"{way} {address}" + (f"&theme={self.look}" if self._asked_look else "")

    # -- widgets ----------------------------------------------------------------------------

    def text(self, html: str = "", **options: object) -> Div:
        """A text of HTML."""
        return Div(text=html, stylesheets=[self.sheet], **{"sizing_mode": "stretch_width", **options})

    def button(self, label: str, action: Callable[[], None], **options: object) -> Button:
        """A button."""
        button = Button(label=label, stylesheets=[self.sheet], **options)
        button.on_click(lambda event: action())
        return button
