"""Making a bundle from the console: in a thread, with its progress in the message line."""

from typing import TYPE_CHECKING

from app.domain.failures import StokerError

if TYPE_CHECKING:
    from app.screens.base import ConsoleScreen


def make(screen: "ConsoleScreen", name: str | None, request_id: str | None = None) -> None:
    """Make a bundle about a deployment, or about everything where a request concerned none."""
    console = screen.console
    about = name or "everything"

    def work() -> None:
        from app.bundle import make_bundle

        try:
            path, files = make_bundle(console.home, name, request_id, tell)
        except (StokerError, OSError) as error:
            told = error if isinstance(error, StokerError) else StokerError("STORE_DENIED", f"{error}.")
            console.call_from_thread(screen.say_error, told)
            return
        console.call_from_thread(screen.say, f"bundle of {about}: {len(files)} files in {path}", "good", None)

    def tell(done: int, total: int, part: str) -> None:
        console.call_from_thread(screen.say, f"bundle of {about}: {done} of {total}  {part}")

    screen.run_worker(work, thread=True, exit_on_error=False, exclusive=True, group="bundle")
