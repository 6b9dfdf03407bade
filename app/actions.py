"""Everything the console can do, as one table: bindings, palette, `:`, `?`, the footer and the README read it.

An action runs the method `do_<name>` of the screen it is used on, else of the app; `<name>` is what follows the dot
of its id. A user's keymap (`[keymap]` of the config) gives other keys by id.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from app.domain.engines import nearest
from app.domain.failures import StokerError

EVERYWHERE = "everywhere"


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that can be done.

    `keys` as Textual names them, the first is shown. `where` is a screen's name or EVERYWHERE. `command` is what is
    typed after `:`; `argument` says what may follow it, in capitals. `footer` puts it among the keys at the bottom.
    `writes` marks what `--read-only` refuses.
    """

    id: str
    keys: tuple[str, ...]
    where: str
    label: str
    help: str
    command: str = ""
    argument: str = ""
    footer: bool = False
    writes: bool = False

    @property
    def name(self) -> str:
        """What the method is called after `do_`."""
        return self.id.partition(".")[2]


ACTIONS = (
    Action("app.fleet", ("1",), EVERYWHERE, "fleet", "Go to the fleet: every deployment", "fleet"),
    Action("app.launch", ("2",), EVERYWHERE, "launch", "Go to the launch form", "launch", "MODEL"),
    Action(
        "app.logs",
        ("3",),
        EVERYWHERE,
        "logs",
        "Go to the log of the selected deployment",
        "logs",
        "NAME|@server|@gateway",
    ),
    Action("app.play", ("4",), EVERYWHERE, "play", "Go to the playground", "play", "NAME"),
    Action("app.ledger", ("5",), EVERYWHERE, "ledger", "Go to the money: balance, spending, entries", "ledger"),
    Action("app.access", ("6",), EVERYWHERE, "access", "Go to keys and requests", "access"),
    Action("app.hosts", ("7",), EVERYWHERE, "hosts", "Go to hosts and GPUs", "hosts"),
    Action("app.command", ("colon",), EVERYWHERE, "command", "Type a command", footer=True),
    Action("app.palette", ("ctrl+p",), EVERYWHERE, "palette", "Search all commands"),
    Action("app.help", ("question_mark",), EVERYWHERE, "help", "Show the keys that work here", "help", footer=True),
    Action("app.back", ("escape",), EVERYWHERE, "back", "Go back"),
    Action("app.theme", (), EVERYWHERE, "theme", "Change the colours", "theme", "ember|ash|ansi"),
    Action("app.leave", ("q",), EVERYWHERE, "leave", "Leave; everything keeps running", "q", footer=True),
    Action("fleet.open", ("enter",), "fleet", "open", "Open the deployment", "open", "NAME", footer=True),
    Action("fleet.new", ("l",), "fleet", "launch", "Launch a model", footer=True),
    Action("fleet.logs", ("L",), "fleet", "logs", "Show its log", footer=True),
    Action("fleet.play", ("p",), "fleet", "play", "Talk to it", footer=True),
    Action(
        "fleet.stop", ("s",), "fleet", "stop", "Stop it after requests in flight", "stop", "NAME", True, writes=True
    ),
    Action("fleet.fix", ("f",), "fleet", "fix", "Choose what mends it", "fix", "NAME", footer=True),
    Action("fleet.bundle", ("b",), "fleet", "bundle", "Make one redacted archive of what happened to it"),
    Action("fleet.start", ("S",), "fleet", "start", "Start it, or try again", "start", "NAME", writes=True),
    Action("fleet.restart", ("r",), "fleet", "restart", "Start its instances anew", "restart", "NAME", writes=True),
    Action("fleet.remove", ("x",), "fleet", "remove", "Remove it for good", "rm", "NAME", writes=True),
    Action("fleet.filter", ("slash",), "fleet", "filter", "Show only what matches", footer=True),
    Action("fleet.sort", ("o",), "fleet", "sort", "Sort by the next column"),
    Action("fleet.copy", ("y",), "fleet", "copy", "Copy its URL"),
    Action("deployment.fix", ("f",), "deployment", "fix", "Choose what mends it; a number picks", footer=True),
    Action("deployment.bundle", ("b",), "deployment", "bundle", "Make one redacted archive of what happened to it"),
    Action("deployment.logs", ("L",), "deployment", "logs", "Show the log of its instance", footer=True),
    Action("deployment.play", ("p",), "deployment", "play", "Talk to it", footer=True),
    Action(
        "deployment.rollback",
        ("r",),
        "deployment",
        "roll back",
        "Go back to the variant under the cursor",
        "rollback",
        "VARIANT",
        footer=True,
        writes=True,
    ),
    Action("deployment.curl", ("c",), "deployment", "curl", "Copy a curl command that calls it", footer=True),
    Action("deployment.snippet", ("o",), "deployment", "openai", "Copy Python code that calls it"),
    Action("deployment.url", ("y",), "deployment", "copy", "Copy its URL"),
    Action("deployment.instance", ("i",), "deployment", "instance", "Show the attempt of the next instance"),
    Action(
        "deployment.stop", ("s",), "deployment", "stop", "Stop it after requests in flight", footer=True, writes=True
    ),
    Action("deployment.start", ("S",), "deployment", "start", "Start it, or try again", writes=True),
    Action("deployment.restart", ("R",), "deployment", "restart", "Start its instances anew", writes=True),
    Action("deployment.remove", ("x",), "deployment", "remove", "Remove it for good", writes=True),
    Action("logs.search", ("slash",), "logs", "search", "Search; ~ in front for an expression", footer=True),
    Action("logs.next", ("n",), "logs", "next", "Go to the next match, or finding", footer=True),
    Action("logs.previous", ("N",), "logs", "previous", "Go to the match before, or finding"),
    Action("logs.error", ("e",), "logs", "errors", "Go to the error above", footer=True),
    Action("logs.error_below", ("E",), "logs", "error below", "Go to the error below"),
    Action("logs.filter", ("ampersand",), "logs", "filter", "Show only lines that match; ~ for an expression"),
    Action("logs.instance", ("i",), "logs", "instances", "Show the next instance", footer=True),
    Action("logs.older", ("left_square_bracket",), "logs", "older", "Show the attempt before", footer=True),
    Action("logs.newer", ("right_square_bracket",), "logs", "newer", "Show the attempt after"),
    Action("logs.wrap", ("w",), "logs", "wrap", "Wrap long lines, or cut them", footer=True),
    Action("logs.times", ("t",), "logs", "time", "Show when each line came", footer=True),
    Action("logs.follow", ("f",), "logs", "follow", "Follow the end, or stay", footer=True),
    Action("logs.end", ("G",), "logs", "end", "Go to the end and follow"),
    Action("logs.select", ("v",), "logs", "select", "Begin to select lines, or give it up"),
    Action("logs.copy", ("y",), "logs", "copy", "Copy the selected lines, or this one"),
    Action("logs.line", (), "logs", "line", "Go to a line by its number", "line", "NUMBER"),
    Action(
        "hosts.tab",
        ("tab", "right", "l"),
        "hosts",
        "next tab",
        "Go to the next tab: GPUs, engines, weights, offers",
        footer=True,
    ),
    Action("hosts.tab_before", ("shift+tab", "left", "h"), "hosts", "tab before", "Go to the tab before"),
    Action("launch.go", ("ctrl+l",), "launch", "launch", "Launch what the form says", footer=True, writes=True),
    Action("launch.novice", ("ctrl+o",), "launch", "novice", "Ask for little, or for everything", footer=True),
    Action("launch.document", ("ctrl+d",), "launch", "dry run", "Copy the dry run as JSON", footer=True),
    Action("launch.copy", ("ctrl+y",), "launch", "copy", "Copy the command that starts the engine", footer=True),
    Action("launch.words", ("ctrl+t",), "launch", "as stoker", "Copy the `stoker launch` that does the same"),
    Action("play.ask", ("enter", "i"), "play", "ask", "Type a question; up and down recall earlier ones", footer=True),
    Action("play.halt", ("ctrl+x",), "play", "stop", "Stop the answers under way", footer=True),
    Action("play.back", ("escape",), "play", "back", "Stop the answers; else close what is open; else go back"),
    Action("play.new", ("ctrl+n",), "play", "new", "Begin a new conversation", footer=True),
    Action("play.add", ("a",), "play", "add", "Ask another deployment or variant as well", footer=True),
    Action("play.drop", ("x",), "play", "drop", "Ask the one here no longer"),
    Action("play.next", ("right_square_bracket",), "play", "next", "Go to the next column"),
    Action("play.previous", ("left_square_bracket",), "play", "previous", "Go to the column before"),
    Action("play.settings", ("s",), "play", "settings", "Temperature, length, seed, system prompt", footer=True),
    Action("play.history", ("h",), "play", "history", "Show past conversations", footer=True),
    Action("play.copy", ("y",), "play", "copy", "Copy the last answer", footer=True),
    Action("play.curl", ("c",), "play", "curl", "Copy the last request as curl", footer=True),
    Action("play.request", ("r",), "play", "steps", "Show the steps of the last request"),
    Action("ledger.topup", ("t",), "ledger", "top up", "Put money in", footer=True, writes=True),
    Action("ledger.entry", ("enter",), "ledger", "open", "Show everything about the entry", footer=True),
    Action("ledger.older", ("left",), "ledger", "day before", "Mark the day before", footer=True),
    Action("ledger.newer", ("right",), "ledger", "day after", "Mark the day after"),
    Action("ledger.day", ("d",), "ledger", "this day", "List only the marked day, or all again", footer=True),
    Action("ledger.export", ("e",), "ledger", "export", "Write all entries into a CSV file", footer=True),
    Action("access.new", ("n",), "access", "new key", "Make a key; it is shown once", footer=True, writes=True),
    Action("access.rotate", ("R",), "access", "rotate", "Replace the key by a new one", footer=True, writes=True),
    Action("access.revoke", ("x",), "access", "revoke", "End the key now", footer=True, writes=True),
    Action("access.steps", ("enter",), "access", "steps", "Show what became of the request", footer=True),
    Action("access.filter", ("slash",), "access", "filter", "Show only requests that match", footer=True),
    Action("access.copy", ("y",), "access", "copy", "Copy the id of the key or request"),
)


def for_screen(where: str, actions: Iterable[Action] = ACTIONS) -> list[Action]:
    """The actions that work on a screen: its own first, then those that work everywhere and have not been replaced."""
    own = [a for a in actions if a.where == where]
    taken = {key for a in own for key in a.keys}
    return own + [a for a in actions if a.where == EVERYWHERE and not taken.intersection(a.keys)]


def find_command(text: str, actions: Iterable[Action] = ACTIONS) -> tuple[Action, str]:
    """The action of a typed command, with what followed it. Raises NOT_FOUND, naming the nearest."""
    word, _, argument = text.strip().partition(" ")
    known = {a.command: a for a in actions if a.command}
    if word not in known:
        raise StokerError(
            "NOT_FOUND", f"There is no command `{word}`.", f"Did you mean `:{nearest(word, list(known))}`?"
        )
    return known[word], argument.strip()


def complete_command(text: str, names: Iterable[str], actions: Iterable[Action] = ACTIONS) -> list[str]:
    """What a typed command may become: a command's word, or a deployment's name where one may follow."""
    word, space, argument = text.partition(" ")
    if not space:
        return [a.command for a in actions if a.command.startswith(word) and a.command]
    action = next((a for a in actions if a.command == word), None)
    if action is None or not action.argument:
        return []
    known = [name for part in action.argument.split("|") for name in (names if part == "NAME" else (part,))]
    return [f"{word} {name}" for name in known if name.startswith(argument) and not name.isupper()]


def with_keymap(keymap: Mapping[str, str]) -> tuple[Action, ...]:
    """The table with a user's keys (several parted by commas) in place of ours. Raises CONFIG_INVALID."""
    known = {a.id for a in ACTIONS}
    for action_id in keymap:
        if action_id not in known:
            remedy = f"Did you mean `{nearest(action_id, sorted(known))}`?"
            raise StokerError("CONFIG_INVALID", f"config.toml: no action `{action_id}` for [keymap].", remedy)
    return tuple(
        replace(a, keys=tuple(key.strip() for key in keymap[a.id].split(","))) if a.id in keymap else a for a in ACTIONS
    )


_SHOWN = {
    "question_mark": "?",
    "colon": ":",
    "slash": "/",
    "escape": "esc",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "ampersand": "&",
}


def shown_key(key: str) -> str:
    """A key as it is written on a keyboard."""
    return _SHOWN.get(key, key.replace("_", " "))
