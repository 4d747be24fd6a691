import asyncio
import os
import tempfile
import time
import unittest

import support
from sluice_client import ClosedError, ConnectError, DeliveryError, Event, FileBuffer, StatusError, aio
from sluice_client import AvroClient as Blocking
from test_client import bodies, nobody, numbered


def run(coroutine):
    return asyncio.run(asyncio.wait_for(coroutine, 30))


class Clients(unittest.TestCase):
    def test_batches_and_tasks(self):
        async def go(server):
            async with aio.AvroClient("127.0.0.1", server.port, batch_size=3) as c:
                await c.append(Event("0"))
                await c.append_batch(numbered(7, 1))
                await asyncio.gather(*[c.append(e) for e in numbered(50, 8)])

        with support.Server() as s:
            run(go(s))
            self.assertEqual(bodies(s), list(range(58)))
            self.assertEqual(s.connections, 1)

    def test_failures(self):
        async def go(server):
            async with aio.AvroClient("127.0.0.1", server.port, request_timeout=0.2) as c:
                await c.append(Event("0"))
                with self.assertRaises(StatusError):
                    await c.append(Event("1"))
                with self.assertRaisesRegex(DeliveryError, "closed"):
                    await c.append(Event("1"))
                await c.append(Event("1"))
                with self.assertRaisesRegex(DeliveryError, "no answer after 0.2 s"):
                    await c.append(Event("2"))
                await c.append(Event("2"))
                task = asyncio.ensure_future(c.append(Event("3")))
                await asyncio.sleep(0.05)
                task.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await task
                await c.append(Event("3"))
            with self.assertRaises(ClosedError):
                await c.append(Event("4"))

        script = ["OK", "FAILED", "close", "OK", "silence", "OK", "silence", "OK"]
        with support.Server(lambda n: script[n]) as s:
            run(go(s))
            self.assertEqual(bodies(s), [0, 1, 2, 3])

    def test_nobody_there(self):
        async def go():
            for c in (aio.ThriftClient("127.0.0.1", nobody()), aio.HTTPClient("http://127.0.0.1:%d/" % nobody())):
                async with c:
                    with self.assertRaises(ConnectError):
                        await c.append(Event("x"))

        run(go())

    def test_agent_restarted_between_calls(self):
        async def go():
            s = support.Server()
            async with aio.AvroClient("127.0.0.1", s.port) as c:
                await c.append(Event("0"))
                s.close()
                await asyncio.sleep(0.05)
                with support.Server(port=s.port) as again:
                    await c.append(Event("1"))
                    self.assertEqual(bodies(again), [1])

        run(go())

    def test_several(self):
        async def go(a, b):
            async with aio.FailoverClient([aio.AvroClient("127.0.0.1", nobody()), aio.AvroClient("127.0.0.1", a.port)]) as c:
                await c.append_batch(numbered(3))
            async with aio.LoadBalancingClient([aio.AvroClient("127.0.0.1", a.port), aio.AvroClient("127.0.0.1", b.port)]) as c:
                for e in numbered(4):
                    await c.append(e)

        with support.Server() as a, support.Server() as b:
            run(go(a, b))
            self.assertEqual((bodies(a), bodies(b)), ([0, 1, 2, 0, 2], [1, 3]))


class Senders(unittest.TestCase):
    def test_tasks_share_the_wait_for_the_disk(self):
        async def go(server, path):
            async with aio.Sender(Blocking("127.0.0.1", server.port), FileBuffer(path)) as s:
                puts = []
                put = s._sender.buffer.put
                s._sender.buffer.put = lambda rows, timeout=None: (puts.append(len(rows)), put(rows, timeout))
                await asyncio.gather(*[s.send(e) for e in numbered(500)])
                await s.send_batch(numbered(10, 500))
                self.assertTrue(await s.flush(10))
                self.assertEqual(s.counts.delivered, 510)
                self.assertLess(len(puts), 60)

        with support.Server() as server, tempfile.TemporaryDirectory() as d:
            run(go(server, os.path.join(d, "b")))
            self.assertEqual(bodies(server), list(range(510)))

    def test_errors_reach_the_task(self):
        async def go():
            s = aio.Sender(Blocking("127.0.0.1", nobody()), close_timeout=0.05)
            self.assertFalse(await s.flush(0.05) and s.counts.waiting)
            await s.close()
            with self.assertRaises(ClosedError):
                await s.send(Event("x"))

        run(go())

    def test_full_buffer_does_not_stop_the_loop(self):
        async def go():
            from sluice_client import MemoryBuffer

            s = aio.Sender(Blocking("127.0.0.1", nobody()), MemoryBuffer(4096), close_timeout=0.05)
            tasks = [asyncio.ensure_future(s.send(Event(b"x" * 1000))) for _ in range(10)]
            began = time.monotonic()
            await asyncio.sleep(0.1)
            self.assertLess(time.monotonic() - began, 2)
            self.assertLess(sum(t.done() for t in tasks), 10)
            for t in tasks:
                t.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await s.close()

        run(go())


if __name__ == "__main__":
    unittest.main()
