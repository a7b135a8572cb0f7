"""Open TCP connections to a gateway and print how many were accepted: `python3 flood.py HOST ADDRESSES`.

Each address opens more connections than the firewall allows for one address. The script needs root to add
addresses, and uses only the standard library.
"""

import resource
import select
import socket
import subprocess
import sys
import time

EACH = 140
SECONDS = 2.5
"""How long to wait for connections: less than the gateway's limit of 5 s for a handshake."""


def main(host: str, addresses: int) -> None:
    """Open the connections, wait, count those that the gateway's host has accepted, and close them all."""
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    network, sockets = host.rpartition(".")[0], []
    for number in range(addresses):
        address = f"{network}.{201 + number}"
        subprocess.run(["ip", "address", "replace", f"{address}/24", "dev", "eth0"], check=True)
        for _ in range(EACH):
            connection = socket.socket()
            connection.setblocking(False)
            connection.bind((address, 0))
            connection.connect_ex((host, 443))
            sockets.append(connection)
    time.sleep(SECONDS)
    opened = select.poll()
    for connection in sockets:
        opened.register(connection, select.POLLOUT)
    print(sum(event == select.POLLOUT for _, event in opened.poll(0)))


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
