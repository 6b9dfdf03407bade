"""The settings of the playground: how answers are generated."""

from dataclasses import dataclass

from textual import on
from textual.message import Message

from app.domain.chat import BadSetting, ChatSettings, read_settings
from widgets.form import Field, Form
from widgets.theme import Glyphs

_FIELDS = (
    Field("temperature", "TEMPERATURE", placeholder="the engine's own", hint=[("0 to 2", "dim")]),
    Field("max_tokens", "MAX TOKENS", placeholder="as many as fit"),
    Field("seed", "SEED", placeholder="random", hint=[("the same seed, the same answer", "dim")]),
    Field("system", "SYSTEM", placeholder="no system prompt"),
)


class SettingsDrawer(Form):
    """A form for `ChatSettings`. `settings` are the last ones that could be understood."""

    @dataclass
    class Edited(Message):
        """A field was changed; `trouble` says what cannot be understood, empty if everything can."""

        trouble: str

    def __init__(self, *, glyphs: Glyphs, id: str) -> None:  # noqa: A002 - Textual's own name for it
        super().__init__(_FIELDS, label_width=14, glyphs=glyphs, id=id)
        self.settings = ChatSettings()

    def open(self) -> None:
        """Give the focus to the first field."""
        self.focus_field(_FIELDS[0].key)

    def fill(self, settings: ChatSettings) -> None:
        """Show these settings."""
        kept = settings.to_json()
        for field in _FIELDS:
            self.set_value(field.key, str(kept.get(field.key, "")))
        self.settings = settings

    @on(Form.Changed)
    def _changed_setting(self, event: Form.Changed) -> None:
        event.stop()
        trouble = ""
        try:
            self.settings = read_settings(self.values)
        except BadSetting as error:
            trouble = f"{error.field}: {error}"
        self.post_message(self.Edited(trouble))
