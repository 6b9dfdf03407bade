"""The table: what it shows, what it draws again, where its cursor stays."""

from textual.strip import Strip

from tests.widgets.support import LARGE, SMALL, Stage, golden, lines_of, play, screen_of, until
from widgets.columns import Column
from widgets.spans import Span
from widgets.table import LineTable
from widgets.theme import ASCII

COLUMNS = (
    Column("name", "NAME", 9, priority=9),
    Column("status", "STATUS", 25, priority=8),
    Column("ready", "READY", 5, right=True, priority=7),
    Column("model", "MODEL", priority=6, minimum=12, maximum=24),
    Column("engine", "ENGINE", 9, priority=2),
    Column("rate", "REQ/S", 5, right=True, priority=4),
    Column("cost", "USD/H", 5, right=True, priority=5),
)
FLEET: list[tuple[str, list[Span]]] = [
    ("1", [("chat", "plain"), ("● DEPLOYED", "green"), ("2/2", "plain"), ("Qwen/Qwen3-8B", "plain"),
           ("vllm", "dim"), ("9.2", "plain"), ("1.20", "plain")]),
    ("2", [("embed", "plain"), ("◐ INITIALIZING   62%", "cyan"), ("0/1", "plain"), ("BAAI/bge-m3", "plain"),
           ("vllm", "dim"), ("–", "dim"), ("0.60", "plain")]),
    ("3", [("coder", "plain"), ("✖ FAILED OOM_KILLED", "red"), ("0/1", "plain"), ("Qwen/Qwen3-Coder-30B-A3B", "plain"),
           ("vllm", "dim"), ("–", "dim"), ("–", "dim")]),
]  # fmt: skip


class Counted(LineTable):
    """A table that notes which of its lines were rendered."""

    def __init__(self, *args: object, **named: object) -> None:
        super().__init__(*args, **named)  # type: ignore[arg-type]  # whatever LineTable takes
        self.drawn: list[int] = []

    def render_line(self, y: int) -> Strip:
        self.drawn.append(y)
        return super().render_line(y)


def many(count: int, changed: dict[int, str] | None = None) -> list[tuple[str, list[Span]]]:
    """`count` rows of which some say something else."""
    changed = changed or {}
    blank: list[Span] = [("x", "plain")] * 5
    return [(f"k{i}", [(f"row{i}", "plain"), (changed.get(i, "steady"), "green"), *blank]) for i in range(count)]


def test_shows_rows_under_headings_at_two_sizes() -> None:
    async def scene() -> None:
        for size, name in ((SMALL, "table-80"), (LARGE, "table-120")):
            table = LineTable(COLUMNS)
            app = Stage(table)
            async with app.on_stage(size) as pilot:
                table.set_rows(FLEET)
                await pilot.pause()
                golden(name, screen_of(app))

    play(scene)


def test_draws_only_what_changed() -> None:
    async def scene() -> None:
        table = Counted(COLUMNS)
        app = Stage(table)
        async with app.on_stage() as pilot:
            table.set_rows(many(1000))
            await pilot.pause()
            table.drawn.clear()
            table.set_rows(many(1000))
            await pilot.pause()
            assert table.drawn == []
            table.set_rows(many(1000, {3: "moved", 7: "moved", 400: "unseen"}))
            await pilot.pause()
            assert sorted(table.drawn) == [4, 8]
            assert "moved" in lines_of(app)[4]
            table.drawn.clear()
            await pilot.press("j")
            assert sorted(set(table.drawn)) == [1, 2]

    play(scene)


def test_cursor_keeps_its_row_and_stays_in_view() -> None:
    async def scene() -> None:
        table = LineTable(COLUMNS)
        app = Stage(table)
        async with app.on_stage() as pilot:
            table.set_rows(many(100))
            await pilot.press("j", "j", "j")
            assert table.cursor_key == "k3"
            rows = many(100)
            table.set_rows(list(reversed(rows)))
            await pilot.pause()
            assert table.cursor_key == "k3"
            assert any(line.startswith("▸row3 ") for line in lines_of(app))
            table.set_rows([row for row in rows if row[0] != "k3"])
            await pilot.pause()
            assert table.cursor_key == "k97"
            assert app.said(LineTable.RowHighlighted)[-1].key == "k97"
            table.set_rows([])
            await pilot.pause()
            assert app.said(LineTable.RowHighlighted)[-1].key is None
            await pilot.press("enter", "G", "pagedown")
            assert app.said(LineTable.RowSelected) == []

    play(scene)


def test_keys_move_and_enter_selects() -> None:
    async def scene() -> None:
        table = LineTable(COLUMNS)
        app = Stage(table)
        async with app.on_stage() as pilot:
            table.set_rows(many(100))
            await pilot.pause()
            for keys, expected in (
                (("G",), "k99"),
                (("k", "up"), "k97"),
                (("g",), "k0"),
                (("pagedown",), "k23"),
                (("pageup", "down"), "k1"),
                (("end", "home"), "k0"),
            ):
                await pilot.press(*keys)
                assert table.cursor_key == expected, keys
            await pilot.press("j", "enter")
            assert [message.key for message in app.said(LineTable.RowSelected)] == ["k1"]
            assert app.said(LineTable.RowSelected)[0].control is table
            assert table.move_to("k50")
            assert not table.move_to("nobody")
            await pilot.pause()
            assert any(line.startswith("▸row50 ") for line in lines_of(app))

    play(scene)


def test_mouse_points_selects_and_sorts() -> None:
    async def scene() -> None:
        table = LineTable(COLUMNS)
        app = Stage(table)
        async with app.on_stage() as pilot:
            table.set_rows(FLEET)
            await pilot.click(LineTable, offset=(5, 3))
            assert table.cursor_key == "3"
            assert app.said(LineTable.RowSelected) == []
            await pilot.click(LineTable, offset=(5, 3))
            assert [message.key for message in app.said(LineTable.RowSelected)] == ["3"]
            await pilot.click(LineTable, offset=(14, 0))
            await pilot.click(LineTable, offset=(79, 0))
            await pilot.click(LineTable, offset=(5, 20))
            assert [message.column for message in app.said(LineTable.HeaderSelected)] == ["status", "cost"]

    play(scene)


def test_header_says_how_rows_are_sorted() -> None:
    async def scene() -> None:
        table = LineTable(COLUMNS, glyphs=ASCII)
        app = Stage(table)
        async with app.on_stage() as pilot:
            table.set_rows(FLEET[:1])
            table.set_sort("rate", reverse=True)
            await pilot.pause()
            assert "  vREQ/S  USD/H" in lines_of(app)[0]
            table.set_sort("name")
            await pilot.pause()
            assert lines_of(app)[0].startswith(" NAME^      STATUS")
            assert lines_of(app)[1].startswith(">chat")
            table.set_sort(None)
            table.set_columns(COLUMNS[:2])
            await pilot.pause()
            assert lines_of(app)[0] == " NAME       STATUS"

    play(scene)


def test_survives_a_resize_and_another_theme() -> None:
    async def scene() -> None:
        table = LineTable(COLUMNS)
        app = Stage(table)
        async with app.on_stage(LARGE) as pilot:
            table.set_rows(FLEET)
            await pilot.resize_terminal(40, 10)
            await until(pilot, lambda: lines_of(app)[0] == " NAME       STATUS")
            app.theme = "ansi"
            await pilot.pause()
            await pilot.pause()
            styles = [segment.style for segment in table.render_line(1) if segment.style is not None]
            assert all(style.color is None or style.color.triplet is None for style in styles)

    play(scene)


def test_two_rows_of_one_key_are_refused() -> None:
    async def scene() -> None:
        table = LineTable(COLUMNS)
        async with Stage(table).on_stage():
            try:
                table.set_rows([FLEET[0], FLEET[0]])
            except ValueError as refused:
                assert "share a key" in str(refused)
            else:
                raise AssertionError("accepted")

    play(scene)
