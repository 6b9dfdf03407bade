"""One column of the playground: a conversation with one target, and the answer that is under way in it."""

import threading
from dataclasses import dataclass, replace
from typing import Any

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.message import Message
from textual.timer import Timer

from app.domain.chat import Answer, ChatSettings, Target, Turn, messages, request_body
from app.domain.failures import StokerError
from app.domain.money import FREE, Price
from app.domain.text import safe, safe_block
from app.render.answers import cost_part, figure_parts
from app.talk import Client, Progress
from widgets.lines import Lines
from widgets.prose import Block, Prose
from widgets.spans import Line, Span, fold, width_of
from widgets.theme import Glyphs

SHOW_S = 0.2
"""How often what has come of an answer is shown; with `--slow` once a second."""
SLOW_SHOW_S = 1.0


@dataclass(frozen=True, slots=True)
class Best:
    """Which figures are the best of a round: the shortest time to a first token, the most tokens a second."""

    ttft_us: int | None = None
    speed: float | None = None


class TalkColumn(Vertical):
    """Shows who is asked, what was said, and below it what the last answer took."""

    DEFAULT_CSS = """
    TalkColumn { width: 1fr; }
    TalkColumn > .head { height: 1; }
    TalkColumn > .foot { height: auto; max-height: 4; }
    """

    @dataclass
    class Ended(Message):
        """The answer is complete, was stopped, or failed."""

        column: "TalkColumn"
        turn: Turn

    def __init__(
        self,
        target: Target,
        turns: tuple[Turn, ...] = (),
        *,
        place: int,
        glyphs: Glyphs,
        slow: bool = False,
        currency: str = "",
    ) -> None:
        """`place` numbers the columns of a conversation from 1 on; a column keeps its own as long as it is there."""
        super().__init__()
        self.target, self.place = target, place
        self.turns = list(turns)
        self._glyphs, self._currency, self._price = glyphs, currency, FREE
        self._every = SLOW_SHOW_S if slow else SHOW_S
        self._asking: Asking | None = None
        self._body: dict[str, Any] | None = None
        self._shown = 0
        self._timer: Timer | None = None
        self._best = Best()
        # Made here, so that they can be told what to show before they are on the screen.
        self._head, self._text, self._foot = Lines(glyphs=glyphs), Prose(glyphs=glyphs), Lines(glyphs=glyphs)
        self._head.add_class("head")
        self._foot.add_class("foot")

    def compose(self) -> ComposeResult:
        yield from (self._head, self._text, self._foot)

    def on_mount(self) -> None:
        self._draw()

    def on_resize(self) -> None:
        self._draw_foot()

    def on_unmount(self) -> None:
        if self._asking is not None:
            self._asking.progress.stop()

    @property
    def answering(self) -> bool:
        """Whether an answer is under way."""
        return self._asking is not None

    def set_head(self, line: Line) -> None:
        """What stands above: who is asked, and how that one is."""
        self._head.set_lines([line])

    def set_price(self, price: Price) -> None:
        """What an answer of this one costs."""
        if price != self._price:
            self._price = price
            self._draw_foot()

    def ask(self, client: Client, question: str, body: dict[str, Any]) -> None:
        """Send `body`, the conversation so far and `question` behind it, and show the answer as it comes."""
        self._best, self._body = Best(), body
        self._asking, self._shown = Asking(question, Progress()), 0
        self._draw()
        self._text.action_follow()
        self._timer = self.set_interval(self._every, self._follow)
        self._asking.start(client, body)

    def last_request(self, settings: ChatSettings) -> dict[str, Any]:
        """The body of the last request. One that was sent before this console began is put together with `settings`."""
        if self._body is not None:
            return self._body
        earlier, last = self.turns[:-1], self.turns[-1]
        return request_body(self.target.model, messages(earlier, last.question, settings.system), settings)

    def stop(self) -> None:
        """Break the answer off; what there is of it stays."""
        if self._asking is not None:
            self._asking.progress.stop()
            self._end(self._asking, stopped=True)

    def mark(self, best: Best) -> None:
        """Mark which of the last answer's figures are the best of the round."""
        self._best = best
        self._draw_foot()

    def focus_text(self) -> None:
        """Give the focus to what was said."""
        self._text.focus()

    def _follow(self) -> None:
        asking = self._asking
        if asking is None:
            return
        over = asking.over  # asked first: nothing comes behind it
        if not (over or self.screen.is_current):
            return
        pieces = asking.progress.pieces
        if len(pieces) > self._shown:
            new, self._shown = "".join(pieces[self._shown :]), len(pieces)
            self._text.add(clean(new))
        self._draw_foot()
        if over:
            self._end(asking, stopped=False)

    def _end(self, asking: "Asking", stopped: bool) -> None:
        if self._timer is not None:
            self._timer.stop()
        self._asking = self._timer = None
        turn = replace(asking.turn(), stopped=stopped)
        self.turns.append(turn)
        self._draw()
        self.post_message(self.Ended(self, turn))

    def _draw(self) -> None:
        blocks: list[Block] = []
        for n, turn in enumerate(self.turns):
            last = n == len(self.turns) - 1 and self._asking is None
            blocks += [*self._asked(turn.question), *self._came(turn), *([] if last else self._took(turn))]
        if self._asking is not None:
            text = "".join(self._asking.progress.pieces[: self._shown])
            blocks += [*self._asked(self._asking.question), (clean(text), "plain")]
        self._text.set_blocks(blocks)
        self._draw_foot()

    def _asked(self, question: str) -> list[Block]:
        return [(f"{self._glyphs.cursor} {clean(question)}", "accent")]

    def _came(self, turn: Turn) -> list[Block]:
        blocks: list[Block] = [(clean(turn.answer.text).rstrip("\n"), "plain")] if turn.answer.text else []
        if turn.stopped:
            blocks.append((f"{self._glyphs.asleep} stopped", "look"))
        if turn.code is not None:
            blocks.append((f"{self._glyphs.failed} {turn.code}  {clean(turn.message)}", "bad"))
            blocks.append((clean(turn.remedy), "plain"))
        return blocks

    def _took(self, turn: Turn) -> list[Block]:
        if turn.code is not None or turn.answer.ttft_us is None:
            return [("", "plain")]
        return [(f" {self._glyphs.between} ".join(figure_parts(turn.answer)), "dim"), ("", "plain")]

    def _draw_foot(self) -> None:
        if not self.is_mounted or self.size.width < 2:
            return
        parts: list[Span] = []
        if self._asking is not None:
            parts = self._under_way(self._asking.progress.answer())
        elif self.turns:
            parts = self._figures(self.turns[-1].answer)
        self._foot.set_lines(_flow(parts, self.size.width - 2, self._glyphs.between))

    def _under_way(self, answer: Answer) -> list[Span]:
        seconds = f"{(answer.took_us or 0) / 1_000_000:.1f} s"
        if answer.ttft_us is None:
            return [(f"{self._glyphs.under_way} waiting {seconds}", "busy")]
        return [(figure_parts(answer)[0], "plain"), (f"{self._glyphs.under_way} answering {seconds}", "busy")]

    def _figures(self, answer: Answer) -> list[Span]:
        ttft, speed, counts = figure_parts(answer)
        figures: list[Span] = []
        if answer.ttft_us is not None:
            for text, best in (
                (ttft, answer.ttft_us == self._best.ttft_us),
                (speed, answer.speed is not None and answer.speed == self._best.speed),
            ):
                figures.append((f"{text} fastest", "accent") if best else (text, "dim"))
        if answer.tokens_out is not None:
            figures.append((counts, "dim"))
        if cost := cost_part(answer, self._price, self._currency):
            figures.append((cost, "dim"))
        if answer.request_id:
            figures.append((f"id {safe(answer.request_id, 64)}", "dim"))
        return figures


class Asking:
    """An exchange in a thread of its own. A daemon: a gateway that hangs must not keep the console from ending."""

    def __init__(self, question: str, progress: Progress) -> None:
        self.question, self.progress = question, progress
        self._trouble: BaseException | None = None
        self._thread: threading.Thread | None = None

    @property
    def over(self) -> bool:
        """Whether nothing more comes."""
        return self._thread is not None and not self._thread.is_alive()

    def start(self, client: Client, body: dict[str, Any]) -> None:
        """Begin."""
        self._thread = threading.Thread(target=self._run, args=(client, body), name="talk", daemon=True)
        self._thread.start()

    def turn(self) -> Turn:
        """What came of it. Raises what the thread has not expected."""
        answer = self.progress.answer()
        if self._trouble is None:
            return Turn(self.question, answer)
        if not isinstance(self._trouble, StokerError):
            raise self._trouble
        error = self._trouble
        return Turn(self.question, answer, error.code, error.message, error.remedy)

    def _run(self, client: Client, body: dict[str, Any]) -> None:
        try:
            client.ask(body, self.progress)
        except BaseException as error:
            self._trouble = error


def clean(text: str) -> str:
    """Text of a model or a person for a column: safe, its tabs as blanks."""
    text = text.replace("\r\n", "\n").replace("\t", "    ")
    return safe_block(text, len(text))


def _flow(parts: list[Span], width: int, between: str) -> list[Line]:
    """`parts` behind each other with a sign between them, in as many lines as they need."""
    lines: list[list[Span]] = []
    for part in parts:
        if lines and width_of(lines[-1]) + width_of([part]) + 3 <= width:
            lines[-1] += [(f" {between} ", "dim"), part]
        else:
            lines += fold([part], width)
    return [[(" ", "plain"), *line] for line in lines]
