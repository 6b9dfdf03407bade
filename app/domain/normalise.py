"""A line as the program meant it: without colours, prefixes of workers and collectors, and text that is not its own.

What stands in front of a message (compose, journald, Kubernetes, a worker's name, a time and a level) differs between
machines and says nothing; what it echoes (prompts, its own arguments, environment, help) may say anything.
"""

import re
from dataclasses import dataclass

COLOURS = (b"\x1b", b"#033[", b"^[[", b"\\x1b[", b"\\u001b[", b"\\033[")
"""What an escape sequence begins with, as it is and as collectors write it out."""
_ANSI = re.compile(
    rb"(?:\x1b|#033|\^\[|\\x1b|\\u001b|\\033)(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b\n]{0,512}(?:\x07|\x1b\\))"
)

_TIME = r"\d\d:\d\d(?::\d\d)?(?:[.,]\d+)?"
_DATE = r"(?:\d{4}[-/]\d\d[-/]\d\d|\d\d[-/]\d\d(?:[-/]\d{4})?)"
_ZONE = r"(?:Z|[+-]\d\d:?\d\d)?"
_LEVEL = "(?P<{}>TRACE|DEBUG|INFO|NOTICE|WARN(?:ING)?|ERROR|FATAL|CRITICAL)"
_PREFIX = re.compile(
    "|".join(
        (
            r"[\w.-]{1,64} +\| ",  # docker compose
            rf"(?:[A-Z][a-z]{{2}} )?[A-Z][a-z]{{2}} +\d+ {_TIME} \S+ [^\s:\[]+(?:\[\d+\])?: ",  # journald, syslog
            rf"{_DATE}[T ]{_TIME}{_ZONE}(?: (?:stdout|stderr) [FP])?(?=\s)\s+",  # Kubernetes, docker, log4j
            rf"\[{_DATE}[- T]{_TIME}[^\]\n]{{0,40}}\]\s*",  # SGLang, TensorRT-LLM
            r"\[\s*\d+\.\d{1,6}\] ",  # dmesg
            rf"\[[A-Z][a-z]{{2}} [A-Z][a-z]{{2}} +\d+ {_TIME} \d{{4}}\] ",  # dmesg -T
            r"(?:kern|user|daemon) *: ?\w+ *: ?(?:\[[^\]]{1,40}\] |\S+ )",  # dmesg -x
            r"kernel: ",
            r"\([\w.:-]+(?: (?:pid=\d+|[\w=.,: ]{1,80}))?\)\s?",  # (EngineCore_DP0 pid=563)
            r"\[rank ?\d+\]:?\s?",
            r"\[[EWIF]\d{3,4} [\d:.]+ [\w.]+:\d+\] ",  # c10d
            rf"{_LEVEL.format('vllm')}:?\s+{_DATE} {_TIME} \[?[\w./-]+:\d+\]? ?",  # vLLM
            rf"{_LEVEL.format('tgi')}\s+(?:[a-z][a-z0-9_:-]+: )+",  # tracing-subscriber: TGI
            rf"[|-] +{_LEVEL.format('python')} +[|-] +(?:[\w.:/<>-]+ +[|-] +)?",  # … | INFO | stderr |
            r"\d+\.\d\d\.\d{3}\.\d{3} (?P<llama>[DIWE]) ",  # llama.cpp
            r"\[\d+\] ",
        )
    )
)
_LETTERS = {"D": "DEBUG", "I": "INFO", "W": "WARNING", "E": "ERROR"}

# From here on to the end of the line the program repeats what it was given.
_ECHO = re.compile(
    r"""\bprompt: ?['"\[]|\bprompt_token_ids: |["'](?:prompt|messages|content|text|input)["']: ?["'\[]|chat_example="""
    r"""|\bchat template(?: example)?: |non-default args: |\bargs: Namespace\(|\bServerArgs\(|\bserver_args="""
    r"""|\bArgs ?\{|\bcommand line: |\bengine \([^)]*\) with config: |\bwith config: (?=model=)|\bsystem_prompt="""
)
_ECHO_SIGNS = (
    "prompt", "messages", "content", "text", "input", "chat", "args", "Args", "command line: ", "with config: "
)  # fmt: skip
"""One of these stands in every echo: looked for first, because the expression is slow."""
# Help, a dump of the environment, a table, the metadata of a model: none of it happened.
_NOT_SAID = re.compile(
    r"""\s+--?[a-zA-Z][\w-]*(?:[=, ]|$)|\s+\[--?[a-zA-Z]|(?:export |\s*- |\s*)[A-Z][A-Z0-9]*_[A-Z0-9_]+=|\s*\| """
    r"|\s*llama_model_loader: - kv "
)
_SECRET = re.compile(
    r"(?i)((?:--?[\w-]*(?:api[-_]?key|token|secret|password)[\w-]*|authorization: *bearer)[ =:]+['\"]?)[^\s'\",]{4,}"
    r"|\b(?:hf_|sk-|stk_|ghp_)[\w-]{12,}"
)
_SECRET_SIGNS = ("key", "token", "secret", "password", "bearer", "hf_", "sk-", "stk_", "ghp_")
"""One of these stands in every secret, in lower case."""


@dataclass(frozen=True, slots=True)
class Said:
    """What a line says: `text` after its prefixes and up to an echo, at the `level` it claims (upper case, or empty).

    `quoted` is True for source code that a traceback shows: it names what may be raised, not what was.
    """

    text: str
    level: str = ""
    quoted: bool = False


def strip_colours(line: bytes) -> bytes:
    """`line` without escape sequences, also those that a collector has written out as text."""
    return _ANSI.sub(b"", line) if any(sign in line for sign in COLOURS) else line


def said(line: str) -> Said:
    """What `line`, one without its end, says by itself; nothing for help and for dumps of an environment."""
    level, at = "", 0
    for _ in range(6):
        found = _PREFIX.match(line, at)
        if found is None:
            break
        if found.lastgroup:
            level = found[found.lastgroup]
        at = found.end()
    if _NOT_SAID.match(line, at):
        return Said("")
    echo = _ECHO.search(line, at) if _holds(line, _ECHO_SIGNS) else None
    text = line[at : echo.start() if echo else None]
    return Said(text, _LETTERS.get(level, level), text.lstrip().startswith(("raise ", 'f"', "f'")))


def mask(text: str) -> str:
    """`text` without what looks like a key, a token or a password."""
    if not _holds(text.casefold(), _SECRET_SIGNS):
        return text
    return _SECRET.sub(lambda found: (found[1] or "") + "***", text)


def _holds(text: str, signs: tuple[str, ...]) -> bool:
    """Whether one of `signs` stands in `text`."""
    for sign in signs:  # noqa: SIM110 # `any` takes three times as long, and every line that tells comes here
        if sign in text:
            return True
    return False
