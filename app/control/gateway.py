"""Keeping a gateway running: it outlives the server and is started again whenever nobody holds its lock."""

import asyncio
import logging

from app.domain.failures import StokerError
from app.processes import GATEWAY_MODULE, holder, spawn
from app.settings import Home

CHECK_EVERY_S = 1.0
SPAWN_EVERY_S = 5.0

log = logging.getLogger(__name__)


class GatewayKeeper:
    """Starts the gateway when there is none. `up` is what the last check found."""

    def __init__(self, home: Home) -> None:
        self._home = home
        self.up = False

    async def run(self) -> None:
        """Check for ever; a gateway that ends at once is not started more often than every few seconds."""
        while True:
            self.up = await asyncio.to_thread(holder, self._home.gateway_lock) is not None
            # Without the server's own lock file the home is gone: a gateway would make a new one, and start a server.
            if self.up or not self._home.server_lock.exists():
                await asyncio.sleep(CHECK_EVERY_S)
            else:
                log.info("starting the gateway")
                try:
                    await asyncio.to_thread(spawn, GATEWAY_MODULE, self._home, self._home.gateway_log)
                except (OSError, StokerError) as error:
                    log.error("the gateway cannot be started: %s", error)
                await self._settle()

    async def _settle(self) -> None:
        for _ in range(int(SPAWN_EVERY_S / 0.1)):
            if await asyncio.to_thread(holder, self._home.gateway_lock) is not None:
                return
            await asyncio.sleep(0.1)
