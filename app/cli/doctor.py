"""`doctor`: whether this installation is sound."""

import click

from app.cli.output import emit, say
from app.cli.params import json_option
from app.render.checks import check_lines
from app.settings import find_home


@click.command()
@json_option
def doctor(as_json: bool) -> int:
    """Check this machine, this installation and every host; exit 1 if anything fails."""
    from app.launch.doctor import examine, examine_hosts
    from app.launch.outside import examine_outside

    home = find_home()
    checks = [*examine(home), *examine_outside(), *examine_hosts(home)]
    ok = all(check.result != "fail" for check in checks)
    if as_json:
        rows = [
            {"name": c.name, "result": c.result, "code": c.code, "detail": c.detail, "remedy": c.remedy} for c in checks
        ]
        emit({"ok": ok, "checks": rows})
    else:
        say(*check_lines(checks, codes=True))
    return 0 if ok else 1
