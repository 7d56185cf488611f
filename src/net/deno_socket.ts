// A socket of Deno, as the driver knows sockets. What has Deno's own types stands apart from what others use.

import type { DatagramSink, DatagramSocket, UdpAddress } from "./socket.ts";

/** Datagrams that are received before other work of the thread gets its turn. */
const RECEIVES_PER_TURN_MAX = 64;

/** Bytes of the largest datagram that UDP over IPv4 carries. */
const DATAGRAM_BYTES_MAX = 65_507;

/** A socket of `Deno.listenDatagram`. */
export class DenoDatagramSocket implements DatagramSocket {
  readonly #socket: Deno.DatagramConn;
  #isClosed = false;

  /** Wraps a socket. */
  constructor(socket: Deno.DatagramConn) {
    this.#socket = socket;
  }

  get address(): UdpAddress {
    const { hostname, port } = this.#socket.addr as Deno.NetAddr;
    return { hostname, port };
  }

  async receive(sink: DatagramSink): Promise<void> {
    // Where the system writes each datagram; what is handed on is a copy of its size.
    const buffer = new Uint8Array(DATAGRAM_BYTES_MAX);
    for (let received = 1; !this.#isClosed; received++) {
      let datagram: [Uint8Array, Deno.Addr];
      try {
        datagram = await this.#socket.receive(buffer);
      } catch (error) {
        // A datagram that the system could not give is a lost one; a closed socket is the end.
        if (this.#isClosed || error instanceof Deno.errors.BadResource) return;
        sink.onReceiveFailed();
        await othersTurn();
        continue;
      }
      const [bytes, from] = datagram;
      sink.onDatagram(bytes.slice(), from as Deno.NetAddr);
      // The others of this thread go on only when no microtask is left.
      if (received % RECEIVES_PER_TURN_MAX === 0) await othersTurn();
    }
  }

  send(bytes: Uint8Array, { hostname, port }: UdpAddress): Promise<unknown> {
    return this.#socket.send(bytes, { transport: "udp", hostname, port });
  }

  close(): void {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#socket.close();
  }
}

/** Resolves after the turn that is due, and whatever else was due before. */
function othersTurn(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve));
}
