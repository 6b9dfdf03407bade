"""The GPUs of this machine through NVML, NVIDIA's own library: every field asked for by itself, no error let out.

What one GPU or one driver does not tell is None. What is wrong with the whole is said as such: no driver, a driver that
is down, a GPU that is lost.
"""

import ctypes
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import ModuleType
from typing import Any

from app.domain.gpus import Gpu, HostLook
from app.domain.text import clean_text
from app.hosts.processes import LONGEST, describe

_LOST = "The GPU is lost: it does not answer the driver. Reset it, or restart the machine."
_DOWN = "The NVIDIA driver is installed but not running: {}. Load it (`modprobe nvidia`), or restart the machine."
_SILENT = "The NVIDIA driver answers with an error: {}. Restart the GPU services, or the machine."


class Nvml:
    """A connection to NVML, made at the first look and made anew after a driver's failure. For one thread at a time."""

    def __init__(self) -> None:
        self._api: ModuleType | None = None
        self._events: Any = None
        self._known: dict[int, Gpu] = {}
        self._xids: dict[int, int] = {}
        self._device: dict[int, int] = {}

    def look(self) -> HostLook:
        """The GPUs as they are now. May take long, or for ever, if the driver hangs."""
        now = time.time_ns() // 1_000
        import pynvml

        try:
            if self._api is None:
                pynvml.nvmlInit()
                self._api = pynvml
                self._listen()
            self._hear()
            gpus = tuple(gpu for index in range(pynvml.nvmlDeviceGetCount()) for gpu in self._gpu(index))
        except pynvml.NVMLError as error:
            self.close()
            return _absent(error, pynvml, now)
        driver = _ask(pynvml.nvmlSystemGetDriverVersion)
        cuda = _ask(pynvml.nvmlSystemGetCudaDriverVersion)
        return HostLook(
            state="ok" if gpus else "no_gpu",
            at=now,
            gpus=gpus,
            driver=None if driver is None else clean_text(driver, LONGEST),
            cuda=None if cuda is None else f"{cuda // 1000}.{cuda % 1000 // 10}",
            detail="" if gpus else "The NVIDIA driver runs, and sees no GPU.",
        )

    def close(self) -> None:
        """Let go of the driver; the next look begins anew."""
        api, self._api = self._api, None
        if api is not None:
            if self._events is not None:
                _ask(api.nvmlEventSetFree, self._events)
            _ask(api.nvmlShutdown)
        self._events = None

    def _listen(self) -> None:
        """From now on the driver tells us of critical errors (Xid); it keeps none from before."""
        api: Any = self._api
        self._events = _ask(api.nvmlEventSetCreate)
        self._device.clear()
        for index in range(api.nvmlDeviceGetCount()):
            handle = _ask(api.nvmlDeviceGetHandleByIndex, index)
            if handle is not None and self._events is not None:
                self._device[_address(handle)] = index
                _ask(api.nvmlDeviceRegisterEvents, handle, api.nvmlEventTypeXidCriticalError, self._events)

    def _hear(self) -> None:
        api: Any = self._api
        while self._events is not None and (event := _ask(api.nvmlEventSetWait_v2, self._events, 0)) is not None:
            if (index := self._device.get(_address(event.device))) is not None:
                self._xids[index] = int(event.eventData)

    def _gpu(self, index: int) -> tuple[Gpu, ...]:
        """A GPU, and behind it the slices that it is parted into."""
        api: Any = self._api
        known = self._known.get(index, Gpu(index))
        try:
            handle = api.nvmlDeviceGetHandleByIndex(index)
            # The one question that every GPU answers, unless it is lost.
            uuid = clean_text(api.nvmlDeviceGetUUID(handle), LONGEST)
        except api.NVMLError as error:
            text = _LOST if error.value == api.NVML_ERROR_GPU_IS_LOST else f"NVML: {clean_text(str(error), LONGEST)}."
            return (Gpu(index, known.uuid, known.name, xid=self._xids.get(index), trouble=text),)
        found = replace(self._fields(index, uuid, handle), xid=self._xids.get(index))
        self._known[index] = found
        slices = tuple(self._slices(found, handle)) if found.mig else ()
        inside = {holder.pid for each in slices for holder in each.holders or ()}
        if inside and found.holders:
            found = replace(found, holders=tuple(h for h in found.holders if h.pid not in inside))
        return (found, *slices)

    def _slices(self, whole: Gpu, handle: Any) -> Iterator[Gpu]:
        """The slices (MIG devices) of a GPU. What only the whole can tell, its heat and power, they leave open."""
        api: Any = self._api
        for number in range(_ask(api.nvmlDeviceGetMaxMigDeviceCount, handle) or 0):
            part = _ask(api.nvmlDeviceGetMigDeviceHandleByIndex, handle, number)
            uuid = None if part is None else _ask(api.nvmlDeviceGetUUID, part)
            if uuid is not None:
                found = self._fields(whole.index, clean_text(uuid, LONGEST), part)
                yield replace(found, slice=number, mig=None, capability=found.capability or whole.capability)

    def _fields(self, index: int, uuid: str, handle: Any) -> Gpu:
        api: Any = self._api
        memory = _ask(api.nvmlDeviceGetMemoryInfo, handle, api.nvmlMemory_v2) or _ask(
            api.nvmlDeviceGetMemoryInfo, handle
        )
        rates = _ask(api.nvmlDeviceGetUtilizationRates, handle)
        capability = _ask(api.nvmlDeviceGetCudaComputeCapability, handle)
        mig = _ask(api.nvmlDeviceGetMigMode, handle)
        errors = api.NVML_MEMORY_ERROR_TYPE_UNCORRECTED, api.NVML_VOLATILE_ECC
        lists = [
            _ask(question, handle)
            for question in (api.nvmlDeviceGetComputeRunningProcesses, api.nvmlDeviceGetGraphicsRunningProcesses)
        ]
        return Gpu(
            index=index,
            uuid=uuid,
            name=clean_text(_ask(api.nvmlDeviceGetName, handle) or "", LONGEST),
            vram_total=None if memory is None else memory.total,
            vram_used=None if memory is None else memory.used,
            vram_free=None if memory is None else memory.free,
            utilization=None if rates is None else rates.gpu,
            temperature_c=_ask(api.nvmlDeviceGetTemperature, handle, api.NVML_TEMPERATURE_GPU),
            power_mw=_ask(api.nvmlDeviceGetPowerUsage, handle),
            capability=None if capability is None else "{}.{}".format(*capability),
            ecc_errors=_ask(api.nvmlDeviceGetTotalEccErrors, handle, *errors),
            mig=None if mig is None else mig[0] == api.NVML_DEVICE_MIG_ENABLE,
            holders=None if all(found is None for found in lists) else _holders(lists),
        )


def _holders(lists: list[Any]) -> tuple[Any, ...]:
    """The processes of all lists, each once: one that computes and draws is in two of them."""
    held: dict[int, int | None] = {}
    for process in (process for found in lists for process in found or ()):
        before, now = held.get(process.pid), process.usedGpuMemory
        held[process.pid] = max((each for each in (before, now) if each is not None), default=None)
    return tuple(describe(pid, bytes_) for pid, bytes_ in held.items())


def _absent(error: Any, api: Any, now: int) -> HostLook:
    text = clean_text(str(error), LONGEST)
    if error.value == api.NVML_ERROR_LIBRARY_NOT_FOUND:
        return HostLook("no_driver", now, detail="There is no NVIDIA driver on this machine.")
    said = _DOWN if error.value == api.NVML_ERROR_DRIVER_NOT_LOADED else _SILENT
    return HostLook("driver_down", now, code="CUDA_ERROR", detail=said.format(text))


def _ask(question: Callable[..., Any], *args: Any) -> Any:
    """The answer; None for what this driver does not know or this GPU does not have."""
    from pynvml import NVMLError

    try:
        return question(*args)
    except NVMLError:
        return None


def _address(handle: Any) -> int:
    return ctypes.cast(handle, ctypes.c_void_p).value or 0
