"""Numbers and times as people read them. A dash stands for what is not known, never a 0."""

from datetime import datetime

from app.domain.fleet import Fetched

UNKNOWN = "\N{EN DASH}"


def span(us: int) -> str:
    """A length of time: `0.4 s`, `12 s`, `4 m 12 s`, `4 h 12 m`, `3 d 4 h`."""
    seconds = max(0, us) / 1_000_000
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = int(seconds)
    for big, small, unit, rest in ((86_400, 3_600, "d", "h"), (3_600, 60, "h", "m"), (60, 1, "m", "s")):
        if whole >= big:
            left = whole % big // small
            return f"{whole // big} {unit}" + (f" {left} {rest}" if left else "")
    return f"{whole} s"


def latency(us: int) -> str:
    """A short time, in milliseconds below one second: `17 ms`, `1.2 s`."""
    return f"{round(us / 1_000)} ms" if us < 1_000_000 else span(us)


def brief(us: int) -> str:
    """A length of time in one unit, for where precision distracts: `40s`, `2m`, `4h`, `3d`."""
    seconds = max(0, us) // 1_000_000
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "m")):
        if seconds >= size:
            return f"{seconds // size}{unit}"
    return f"{seconds}s"


def ago(now: int, at: int | None) -> str:
    """How long ago `at` was, both UTC microseconds: `2m ago`."""
    if at is None:
        return UNKNOWN
    return "now" if now - at < 1_000_000 else f"{brief(now - at)} ago"


def until(now: int, at: int | None) -> str:
    """How long it is until `at`, both UTC microseconds: `in 29d`; how long ago it was if it is past."""
    return ago(now, at) if at is None or at <= now else f"in {brief(at - now)}"


def moment(at: int | None) -> str:
    """A time of this machine's zone, to the second."""
    if at is None:
        return UNKNOWN
    return datetime.fromtimestamp(at // 1_000_000).astimezone().strftime("%Y-%m-%d %H:%M:%S")


def clock(at: int, now: int) -> str:
    """A time of this machine's zone in little room: `14:31:09` on the day of `now`, else `Nov 20 14:31`."""
    when, today = (datetime.fromtimestamp(us // 1_000_000).astimezone() for us in (at, now))
    return when.strftime("%H:%M:%S" if when.date() == today.date() else "%b %d %H:%M")


def fetched(work: Fetched) -> str:
    """How far a download is: `3.1 GB of 5.0 GB, 84.0 MB/s, 23 s left`; without a rate only the bytes."""
    words = f"{size(work.done)} of {size(work.total)}"
    if not work.rate or work.done >= work.total:
        return words
    return f"{words}, {size(work.rate)}/s, {span((work.total - work.done) * 1_000_000 // work.rate)} left"


def size(count: int | None) -> str:
    """Bytes in units of 1000, as disks and downloads are sold: `98.4 MB`."""
    if count is None:
        return UNKNOWN
    value = float(count)
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if value < 1000 or unit == "TB":
            return f"{value:.0f} {unit}" if unit == "B" or value >= 100 else f"{value:.1f} {unit}"
        value /= 1000
    raise AssertionError("unreachable")
