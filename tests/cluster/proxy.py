"""A TCP proxy between the nodes. It delays, throttles and resets connections: faults of streams, not
of packets. There is one listener for each pair of nodes. The proxy runs in a thread of its own."""
import asyncio
import socket
import struct
import threading

import network

PIECE = 16384


def port(source, destination):
    return 6000 + source * 100 + destination


class Link:
    """The faults of the connections from one node to another, in both directions."""

    def __init__(self):
        self.delay = 0.0  # seconds, of each piece
        self.bytes_per_second = 0  # 0: as fast as it goes
        self.writers = set()

    def reset(self):
        """Ends the connections as a crashed peer would: data in transit is lost."""
        for writer in list(self.writers):
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()


class Proxy:
    def __init__(self, ids):
        self.links = {(i, j): Link() for i in ids for j in ids if i != j}
        self.loop = asyncio.new_event_loop()
        self.servers = []
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.listening = threading.Event()

    def start(self):
        self.thread.start()
        if not self.listening.wait(10):
            raise RuntimeError("the proxy does not listen")

    def close(self):
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        for server in self.servers:
            server.close()
        for link in self.links.values():
            for writer in link.writers:
                writer.transport.abort()
        for task in asyncio.all_tasks(self.loop):
            task.cancel()
        self.loop.run_until_complete(asyncio.sleep(0.05))  # they end
        self.loop.close()

    def change(self, action):
        """Calls action(link) for every link, on the proxy's thread."""
        def act():
            for link in self.links.values():
                action(link)
        self.loop.call_soon_threadsafe(act)

    def heal(self):
        def quiet(link):
            link.delay = 0.0
            link.bytes_per_second = 0
        self.change(quiet)

    def _run(self):
        asyncio.set_event_loop(self.loop)
        self.loop.run_until_complete(self._listen())
        self.listening.set()
        self.loop.run_forever()

    async def _listen(self):
        for (i, j), link in self.links.items():
            self.servers.append(await asyncio.start_server(
                lambda reader, writer, link=link, j=j: self._serve(reader, writer, link, j),
                network.OUTSIDE, port(i, j)))

    async def _serve(self, reader, writer, link, destination):
        try:
            out_reader, out_writer = await asyncio.wait_for(
                asyncio.open_connection(network.address(destination), network.PORT), 5)
        except (OSError, asyncio.TimeoutError):
            writer.transport.abort()
            return
        pair = {writer, out_writer}
        link.writers |= pair
        try:
            await asyncio.gather(self._pass_on(reader, out_writer, link),
                                 self._pass_on(out_reader, writer, link))
        except OSError:
            pass
        finally:
            link.writers -= pair
            for each in pair:
                each.transport.abort()

    async def _pass_on(self, reader, writer, link):
        """One direction. Pieces keep their order and distance: a delay is of the way, not a rate."""
        queue = asyncio.Queue(64)

        async def receive():
            while True:
                piece = await reader.read(PIECE)
                await queue.put((self.loop.time(), piece))
                if not piece:
                    return

        async def send():
            while True:
                received, piece = await queue.get()
                if not piece:
                    raise ConnectionResetError  # the end of one direction ends both
                wait = received + link.delay - self.loop.time()
                if wait > 0:
                    await asyncio.sleep(wait)
                writer.write(piece)
                await writer.drain()
                if link.bytes_per_second:
                    await asyncio.sleep(len(piece) / link.bytes_per_second)

        tasks = [asyncio.ensure_future(receive()), asyncio.ensure_future(send())]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()
