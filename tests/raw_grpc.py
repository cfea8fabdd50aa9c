"""gRPC by hand, byte by byte, for requests that no real client sends. Standard library only."""
import re
import socket
import struct

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
END_STREAM, END_HEADERS, ACK = 1, 4, 1

OK, INVALID_ARGUMENT, PERMISSION_DENIED, RESOURCE_EXHAUSTED = 0, 3, 7, 8
FAILED_PRECONDITION, UNIMPLEMENTED, INTERNAL, UNAVAILABLE = 9, 12, 13, 14
UNAUTHENTICATED = 16


def fields(data, number):
    """The bytes of each field `number` of a message. Its fields are integers and bytes."""
    found = []
    at = 0

    def take():
        nonlocal at
        value = read_varint(data[at:at + 10])
        at += len(varint(value))
        return value

    while at < len(data):
        tag = take()
        size = take()
        if tag & 7 == 2:
            if tag >> 3 == number:
                found.append(data[at:at + size])
            at += size
    return found


def integers(data):
    """The integers of a message that has no other fields, by the numbers of their fields."""
    found = {}
    while data:
        tag = read_varint(data)
        data = data[len(varint(tag)):]
        found[tag >> 3] = read_varint(data)
        data = data[len(varint(found[tag >> 3])):]
    return found


def frame(kind, flags, stream, payload):
    return (len(payload).to_bytes(3, "big") + bytes([kind, flags]) + stream.to_bytes(4, "big")
            + payload)


def varint(number):
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    return bytes(out + bytes([number]))


def read_varint(data):
    number = 0
    for i, byte in enumerate(data):
        number |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return number
    raise ValueError("no end of the number")


def field(number, value):
    """A field of a protobuf message: an int as a varint, text or bytes with a length."""
    if isinstance(value, int):
        return varint(number << 3) + varint(value)
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | 2) + varint(len(data)) + data


def message(data):
    """A gRPC message: a mark for "not compressed", the length, the bytes."""
    return struct.pack(">BI", 0, len(data)) + data


def headers(method, extra=()):
    block = bytearray()
    for name, value in [(":method", "POST"), (":scheme", "http"), (":path", method),
                        (":authority", "localhost"), ("te", "trailers"),
                        ("content-type", "application/grpc"), *extra]:
        assert len(name) < 127
        # A length has seven bits in its first byte (RFC 7541).
        size = bytes([len(value)]) if len(value) < 127 else b"\x7f" + varint(len(value) - 127)
        block += bytes([0, len(name)]) + name.encode() + size + value.encode()
    return bytes(block)


class Call:
    """One call on a connection of its own, so that no header of the answer refers to an earlier one."""

    def __init__(self, port, method, extra=(), source="127.0.0.1"):
        self.begin(socket.create_connection(("127.0.0.1", port), timeout=30,
                                            source_address=(source, 0)), method, extra)

    @classmethod
    def over(cls, connection, method, extra=()):
        """A call over a connection that there is, such as one of TLS."""
        call = cls.__new__(cls)
        call.begin(connection, method, extra)
        return call

    def begin(self, connection, method, extra):
        self.socket = connection
        self.window = 65535
        self.answer = bytearray()  # bytes would be copied whole for each frame
        self.status = None
        self.text = ""
        self.closed = False
        self.pongs = 0  # answers to pings
        self.buffer = bytearray()
        self.socket.sendall(PREFACE + frame(SETTINGS, 0, 0, b"\0\4" + (1 << 30).to_bytes(4, "big")) +
                            frame(WINDOW_UPDATE, 0, 0, (1 << 30).to_bytes(4, "big")) +
                            frame(HEADERS, END_HEADERS, 1, headers(method, extra)))

    def send(self, data, end=False):
        """Sends bytes of the request's body, as fast as the node takes them."""
        sent = 0
        while sent < len(data) and not self.closed:
            room = min(self.window, 16384, len(data) - sent)
            if room == 0:
                self.read_frame()
                continue
            self.write(frame(DATA, 0, 1, data[sent:sent + room]))
            self.window -= room
            sent += room
        if end and not self.closed:
            self.write(frame(DATA, END_STREAM, 1, b""))

    def write(self, data):
        try:
            self.socket.sendall(data)
        except OSError:
            pass  # the node ended the call; its answer is still to be read

    def read_exactly(self, size):
        while len(self.buffer) < size:
            try:
                data = self.socket.recv(65536)
            except ConnectionError:
                data = b""
            if not data:
                self.closed = True
                return None
            self.buffer += data
        data = bytes(self.buffer[:size])
        del self.buffer[:size]
        return data

    def read_frame(self):
        head = self.read_exactly(9)
        payload = self.read_exactly(int.from_bytes(head[:3], "big")) if head else None
        if payload is None:
            return
        kind, flags, stream = head[3], head[4], int.from_bytes(head[5:], "big")
        if kind == SETTINGS and not flags & ACK:
            self.write(frame(SETTINGS, ACK, 0, b""))
        elif kind == PING and not flags & ACK:
            self.write(frame(PING, ACK, 0, payload))
        elif kind == PING:
            self.pongs += 1
        elif kind == WINDOW_UPDATE and stream == 1:
            self.window += int.from_bytes(payload, "big")
        elif kind == DATA:
            self.answer += payload
        elif kind == HEADERS:
            # Literal in a first answer: the name, a length, the value.
            found = re.search(rb"grpc-status([\x01\x02])(\d{1,2})", payload, re.DOTALL)
            if found:
                self.status = int(found[2][:found[1][0]])
                self.text = payload.decode("latin-1")
        if kind in (RST_STREAM, GOAWAY) or (kind in (HEADERS, DATA) and flags & END_STREAM):
            self.closed = True

    def take_message(self):
        """The next message of the answer. None if the call has ended."""
        while not self.closed:
            if len(self.answer) >= 5:
                end = 5 + int.from_bytes(self.answer[1:5], "big")
                if len(self.answer) >= end:
                    data = bytes(self.answer[5:end])
                    del self.answer[:end]
                    return data
            self.read_frame()
        return None

    def finish(self):
        """The status of the call. None if the node ended the call without one."""
        while not self.closed:
            self.read_frame()
        self.socket.close()
        return self.status

    def drop(self):
        """Cuts the connection as a dead client would, with a reset."""
        if self.socket.fileno() < 0:
            return  # already closed
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()


def unary(port, method, request, extra=(), source="127.0.0.1"):
    """The finished call of one request."""
    call = Call(port, method, extra, source)
    call.send(message(request), end=True)
    call.finish()
    return call
