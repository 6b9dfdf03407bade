"""The GPUs of another machine: one script through SSH, nothing installed there, every line of its answer hostile.

The script asks `nvidia-smi` what there is and who computes, and /proc who they are. Its lines begin with a word that
says what they are; fields are parted by tabs, which nothing that a process calls itself can contain by then.
"""

import csv
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from app.domain.gpus import Gpu, Holder, HostLook, shown_command
from app.domain.text import clean_text
from app.hosts.processes import LONGEST, container_of
from app.hosts.slices import TAGS, Slice, parse_slices
from app.hosts.ssh import Ssh, SshFailed

LOOK_TIMEOUT_S = 15.0
MOST_GPUS, MOST_HOLDERS = 64, 512
_MIB = 1 << 20
_FIELDS = (
    "index,uuid,name,driver_version,memory.total,memory.used,memory.free,utilization.gpu,temperature.gpu,power.draw,"
    "compute_cap,ecc.errors.uncorrected.volatile.total,mig.mode.current"
)
_OLD_FIELDS = ",".join(_FIELDS.split(",")[:10])
"""What every driver knows; `nvidia-smi` refuses the whole question for one field that it does not."""
_LOST = re.compile(r"GPU is lost|Unable to determine the device handle|fallen off the bus", re.IGNORECASE)
_CODES: Mapping[str, str] = {"no_key": "PROVIDER_AUTH", "host_key": "PROVIDER_AUTH"}

SCRIPT = rf"""
export LC_ALL=C PATH="$PATH:/usr/local/bin:/usr/bin:/bin:/usr/local/nvidia/bin"
each() {{ printf '%s\n' "$2" | tr '\t' ' ' | while IFS= read -r line; do printf '%s\t%s\n' "$1" "$line"; done; }}
if ! command -v nvidia-smi >/dev/null 2>&1; then echo missing; exit 0; fi
ask() {{ nvidia-smi --query-gpu="$1" --format=csv,noheader,nounits 2>&1; }}
found=$(ask {_FIELDS}) || found=$(ask {_OLD_FIELDS})
printf 'status\t%s\n' "$?"
each gpu "$found"
printf 'cuda\t%s\n' "$(nvidia-smi 2>/dev/null | sed -n 's/.*CUDA Version: *\([0-9.]*\).*/\1/p')"
apps=$(nvidia-smi --query-compute-apps=gpu_uuid,pid,used_memory --format=csv,noheader,nounits 2>/dev/null)
printf 'apps\t%s\n' "$?"
each app "$apps"
told=
case $found in *Enabled*)
  told=$(nvidia-smi -q -x 2>/dev/null | grep -E '<({TAGS})[=>]')
  each listed "$(nvidia-smi -L 2>/dev/null)"
  each told "$told" ;;
esac
read -r up rest </proc/uptime
printf 'clock\t%s\t%s\n' "$up" "$(getconf CLK_TCK 2>/dev/null || echo 100)"
fields() {{ tr '\n\t' '  ' <"/proc/$1/stat" 2>/dev/null | sed 's/.*) //'; }}
pids() {{ printf '%s\n' "$apps" | sed -n 's/^[^,]*, *\([0-9][0-9]*\),.*/\1/p'
  printf '%s\n' "$told" | sed -n 's/.*<pid>\([0-9][0-9]*\)<.*/\1/p'; }}
for pid in $(pids | sort -u); do
  stat=$(fields "$pid"); [ -n "$stat" ] || continue
  set -- $stat; began=${{20}}; parent=$2; above=; steps=0
  while [ "${{parent:-0}}" -gt 0 ] && [ $steps -lt 32 ]; do
    above="$above $parent"; steps=$((steps + 1)); set -- $(fields "$parent"); parent=$2
  done
  user=$(stat -c %U "/proc/$pid" 2>/dev/null | tr '\t\n' '  ')
  group=$(head -c 4096 "/proc/$pid/cgroup" 2>/dev/null | tr '\t\n' '  ')
  words=$(head -c 4096 "/proc/$pid/cmdline" 2>/dev/null | tr '\0\t\n' '   ')
  printf 'process\t%s\t%s\t%s\t%s\t%s\t%s\n' "$pid" "$began" "$above" "$user" "$group" "$words"
done
"""


def look(ssh: Ssh) -> HostLook:
    """One look at the GPUs of a host. What is wrong is in it; nothing is raised."""
    try:
        answer = ssh.run(SCRIPT, LOOK_TIMEOUT_S)
    except SshFailed as error:
        code = _CODES.get(error.reason, "HOST_UNREACHABLE")
        return HostLook("unreachable", _now(), code=code, detail=clean_text(error.text, LONGEST))
    return parse(answer.out.decode("utf-8", "replace"), _now())


def parse(text: str, now: int) -> HostLook:
    """The answer of the script, at `now` (UTC microseconds). What it does not hold is not known."""
    rows: dict[str, list[str]] = {}
    for line in text.split("\n"):
        word, _, rest = line.partition("\t")
        rows.setdefault(word, []).append(rest)
    if "missing" in rows:
        return HostLook("no_driver", now, detail="There is no NVIDIA driver on this host: it has no `nvidia-smi`.")
    if not rows.get("status"):
        return HostLook("unreachable", now, code="HOST_UNREACHABLE", detail="The host's answer makes no sense.")
    said = [_clean(row) for row in rows.get("gpu", ())]
    gpus = [gpu for row in said[:MOST_GPUS] if (gpu := _gpu(row)) is not None]
    if rows["status"][0] != "0" and not gpus:
        return _without(next((row for row in said if row), "nvidia-smi failed without a word."), now)
    processes = _processes(rows, now)
    held = _held(rows, processes)
    slices = parse_slices(map(_clean, rows.get("listed", ())), "\n".join(map(_clean, rows.get("told", ()))))
    return HostLook(
        state="ok" if gpus else "no_gpu",
        at=now,
        gpus=tuple(part for gpu in gpus for part in _parts(gpu, slices.get(gpu.uuid, ()), held, processes)),
        driver=next((_clean(row.split(",")[3]).strip() for row in said if row.count(",") > 3), None),
        cuda=_clean(rows.get("cuda", [""])[0]) or None,
        detail="" if gpus else "The NVIDIA driver runs, and sees no GPU.",
    )


def _without(said: str, now: int) -> HostLook:
    if "No devices were found" in said:
        return HostLook("no_gpu", now, detail="The NVIDIA driver runs, and sees no GPU.")
    if _LOST.search(said):
        return HostLook("driver_down", now, code="CUDA_ERROR", detail=f"A GPU is lost: {said}")
    return HostLook("driver_down", now, code="CUDA_ERROR", detail=said)


def _gpu(row: str) -> Gpu | None:
    """A line of `nvidia-smi --query-gpu`; None for one that is no such line."""
    fields = [field.strip() for field in next(csv.reader([row]), [])]
    if len(fields) not in (len(_OLD_FIELDS.split(",")), len(_FIELDS.split(","))):
        return None
    index = _number(fields[0])
    if index is None or not 0 <= index < 1024:
        return None
    total, used, free = (_mebibytes(field) for field in fields[4:7])
    power = _decimal(fields[9])
    lost = any(_LOST.search(field) for field in fields)
    capability, ecc, mig = fields[10:13] if len(fields) > 10 else ("", "", "")
    return Gpu(
        index=index,
        uuid=fields[1],
        name=fields[2],
        vram_total=total,
        vram_used=used,
        vram_free=free,
        utilization=_number(fields[7]),
        temperature_c=_number(fields[8]),
        power_mw=None if power is None else round(power * 1000),
        capability=capability if re.fullmatch(r"[0-9]{1,3}\.[0-9]{1,3}", capability) else None,
        ecc_errors=_number(ecc),
        mig={"Enabled": True, "Disabled": False}.get(mig),
        trouble="The GPU is lost: it does not answer the driver." if lost else "",
    )


def _processes(rows: Mapping[str, Sequence[str]], now: int) -> dict[int, Holder]:
    """What /proc says of each process, by pid."""
    processes = {}
    clock = [_decimal(field) for field in next(iter(rows.get("clock", ())), "").split("\t")]
    for row in rows.get("process", ()):
        if (described := _process(row, clock, now)) is not None:
            processes[described.pid] = described
    return processes


def _held(rows: Mapping[str, Sequence[str]], processes: Mapping[int, Holder]) -> dict[str, tuple[Holder, ...]] | None:
    """The holders by the uuid of their GPU; None where the driver names no processes."""
    if rows.get("apps", ["1"])[0] != "0":
        return None
    found: dict[str, list[Holder]] = {}
    for row in list(rows.get("app", ()))[:MOST_HOLDERS]:
        uuid, *rest = (field.strip() for field in row.split(","))
        pid = _number(rest[0]) if len(rest) == 2 else None
        if pid is not None and pid > 0:
            held = replace(processes.get(pid, Holder(pid)), bytes=_mebibytes(rest[1]))
            found.setdefault(_clean(uuid), []).append(held)
    return {uuid: tuple(holders) for uuid, holders in found.items()}


def _process(row: str, clock: Sequence[float | None], now: int) -> Holder | None:
    fields = row.split("\t")
    pid = _number(fields[0])
    if len(fields) != 6 or pid is None:
        return None
    began, since = _number(fields[1]), None
    if began is not None and len(clock) == 2 and clock[0] is not None and clock[1]:
        since = now - round((clock[0] - began / clock[1]) * 1_000_000)
    return Holder(
        pid=pid,
        user=_clean(fields[3]).strip() or None,
        command=_clean(shown_command(fields[5].split())),
        container=container_of(fields[4]),
        since=since,
        parents=tuple(n for word in fields[2].split()[:32] if (n := _number(word)) is not None),
    )


def _parts(
    gpu: Gpu,
    slices: Sequence[Slice],
    held: Mapping[str, tuple[Holder, ...]] | None,
    processes: Mapping[int, Holder],
) -> Iterator[Gpu]:
    """A GPU with its holders, and behind it its slices with theirs."""
    inside = {pid for each in slices for pid in each.pids or {}}
    of_all = None if held is None else tuple(h for h in held.get(gpu.uuid, ()) if h.pid not in inside)
    yield replace(gpu, holders=of_all)
    for each in slices:
        found = {h.pid: h for h in (held or {}).get(each.uuid, ())}
        found |= {pid: replace(processes.get(pid, Holder(pid)), bytes=n) for pid, n in (each.pids or {}).items()}
        known = each.pids is not None or held is not None
        yield replace(each.of(gpu), holders=tuple(found.values()) if known else None)


def _clean(text: str) -> str:
    return clean_text(text, LONGEST)


def _number(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,18}", text) else None


def _decimal(text: str) -> float | None:
    return float(text) if re.fullmatch(r"[0-9]{1,15}(\.[0-9]{1,9})?", text) else None


def _mebibytes(text: str) -> int | None:
    number = _number(text)
    return None if number is None else number * _MIB


def _now() -> int:
    return time.time_ns() // 1_000
