"""The smallest honest cart for a microcontroller: MicroPython 1.22 or newer, no library. On the board, in main.py:

    import asyncio, cart_micropython
    asyncio.run(cart_micropython.main(1, "ws://192.168.7.10:8000", "the key"))    # once the Wi-Fi is up

On a computer:  DUCKYCART_KEY=… micropython cart_micropython.py 1 ws://127.0.0.1:8000
"""

import asyncio
import binascii
import hashlib
import json
import os
import random
import sys
import time

FIRST, LONGEST = 500, 60000  # ms; the wait before a new try is drawn below a limit that doubles
STEADY = 10000  # ms a connection must have lasted for that limit to start again
ANSWER = 10  # seconds for the handshake
SILENCE = 40  # seconds; the server pings after 15, so after this long the connection is dead
TAKEN_OVER = 4409  # somebody else connects as this cart: do not fight for it
AUTHORITY = None  # for wss://: the file, in DER, of the certificate that the server's was signed with
TEXT, CLOSE, PING, PONG = 0x1, 0x8, 0x9, 0xA


class Cart:
    """Where the cart stands. Your display, scanner and lock go where it prints."""

    def __init__(self):
        self.session = None  # None: nobody shops
        self.held = False  # the session is to be paid

    def obey(self, command, session):
        """Compare with the state: a command that the server says again after a broken link changes nothing."""
        if command == "generate_qr" and self.session is None:
            print("show the QR")
        elif command in ("session_started", "payment_created"):
            if session != self.session:
                if self.session is not None:
                    print("back to idle")
                self.session, self.held = session, False
                print(f"session {session}: empty the basket, start shopping")
            if command == "payment_created" and not self.held:
                self.held = True
                print(f"session {session}: nothing in, nothing out")
        elif command == "end_session" and session == self.session:
            self.session, self.held = None, False
            print("back to idle")


async def open_socket(server, path, headers):
    """TCP, TLS if it is wss://, and the WebSocket handshake."""
    scheme, _, address = server.partition("://")
    host, _, port = address.partition(":")
    secure = {}
    if scheme == "wss":
        import ssl

        if AUTHORITY is None:
            raise ValueError("wss:// without AUTHORITY would trust everybody")
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.verify_mode = ssl.CERT_REQUIRED  # not so by itself, as it is elsewhere
        context.load_verify_locations(AUTHORITY)
        secure = {"ssl": context, "server_hostname": host}
    reader, writer = await asyncio.open_connection(host, int(port or (443 if secure else 80)), **secure)
    nonce = binascii.b2a_base64(os.urandom(16)).strip()
    lines = [f"GET {path} HTTP/1.1", "Host: " + address, "Upgrade: websocket", "Connection: Upgrade"]
    lines += ["Sec-WebSocket-Version: 13", "Sec-WebSocket-Key: " + nonce.decode()] + headers + ["", ""]
    try:
        writer.write("\r\n".join(lines).encode())
        await writer.drain()
        answer = [(await reader.readline()).strip()]
        while answer[-1]:
            answer.append((await reader.readline()).strip())
        proof = binascii.b2a_base64(hashlib.sha1(nonce + b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11").digest()).strip()
        if not any(line.endswith(b" " + proof) for line in answer):
            raise OSError("refused: " + answer[0].decode())
    except BaseException:
        writer.close()
        await writer.wait_closed()
        raise
    return reader, writer


async def read_frame(reader):
    """(opcode, payload). All that the server sends is short and in one piece."""
    head = await reader.readexactly(2)
    if head[1] > 125:
        raise OSError("not a frame of this server")
    return head[0] & 0x0F, await reader.readexactly(head[1])


async def write_frame(writer, opcode, payload):
    mask = os.urandom(4)  # a client must mask what it sends
    masked = bytes(byte ^ mask[i % 4] for i, byte in enumerate(payload))
    writer.write(bytes([0x80 | opcode, 0x80 | len(payload)]) + mask + masked)
    await writer.drain()


async def one_connection(server, path, headers, cart):
    """From the handshake to the end; the close code, 1006 if it broke."""
    reader, writer = await asyncio.wait_for(open_socket(server, path, headers), ANSWER)
    try:
        print("connected; nothing comes before somebody asks for a QR")
        while True:
            opcode, payload = await asyncio.wait_for(read_frame(reader), SILENCE)
            if opcode == TEXT:
                command = json.loads(payload)
                cart.obey(command["type"], command["data"])
            elif opcode == PING:
                await write_frame(writer, PONG, payload)  # the same payload: this is the receipt
            elif opcode == CLOSE:
                await write_frame(writer, CLOSE, payload[:2])
                return int.from_bytes(payload[:2], "big")
    except (OSError, EOFError, asyncio.TimeoutError):
        return 1006
    finally:
        writer.close()
        await writer.wait_closed()


async def main(cart_id, server, key):
    cart = Cart()  # is as old as the boot id: whoever keeps the one over a reboot keeps the other
    headers = ["X-API-Key: " + key, "Cart-Boot-Id: " + binascii.hexlify(os.urandom(8)).decode()]
    limit = FIRST
    while True:
        began = time.ticks_ms()
        try:
            code = await one_connection(server, f"/ws/hardware/{cart_id}", headers, cart)
            why = f"closed with {code}"
            if code != TAKEN_OVER and time.ticks_diff(time.ticks_ms(), began) > STEADY:
                limit = FIRST
        except (OSError, EOFError, ValueError, asyncio.TimeoutError) as error:  # nobody there, or it was refused
            why = repr(error)
        wait = int(random.random() * limit)
        limit = min(limit * 2, LONGEST)
        print(f"not connected: {why}; next try in {wait} ms")
        await asyncio.sleep_ms(wait)


if __name__ == "__main__":
    if len(sys.argv) != 3 or not os.getenv("DUCKYCART_KEY"):
        print("DUCKYCART_KEY=… micropython cart_micropython.py 1 ws://127.0.0.1:8000    (key, number, server)")
        sys.exit(1)
    asyncio.run(main(sys.argv[1], sys.argv[2], os.getenv("DUCKYCART_KEY")))
