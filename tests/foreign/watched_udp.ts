// Sockets whose datagrams are seen, both ways: what was on the wire is a fact about both stacks.

import {
  type DatagramSink,
  type DatagramSocket,
  denoUdp,
  type UdpRuntime,
} from "../../src/dtls_runtime/mod.ts";

/** The bits of a record's first byte in DTLS 1.3 (RFC 9147 section 4). */
const UNIFIED_HEADER_MASK = 0xe0;
const UNIFIED_HEADER = 0x20;
const CONNECTION_ID_BIT = 0x10;

/** RFC 9146: the type of a DTLS 1.2 record with a connection ID. */
const TLS12_CID = 25;
const HANDSHAKE = 22;

/** Handshake messages that are seen unprotected. */
const CLIENT_HELLO = 1;

/** One socket, what went through it, and another in its place, as behind an address translator that forgets. */
export class WatchedUdp {
  #socket: DatagramSocket | undefined;
  #sink: DatagramSink | undefined;
  #receiving: Promise<void>[] = [];
  readonly sent: Uint8Array[] = [];
  readonly received: Uint8Array[] = [];
  readonly udp: UdpRuntime = {
    resolveHost: denoUdp.resolveHost,
    listen: async (hostname, port) => {
      const first = await denoUdp.listen(hostname, port);
      this.#socket = first;
      return {
        address: first.address,
        send: (bytes, to) => {
          this.sent.push(bytes.slice());
          return this.#socket!.send(bytes, to);
        },
        receive: async (sink) => {
          this.#sink = {
            onReceiveFailed: () => sink.onReceiveFailed(),
            onDatagram: (bytes, from) => {
              this.received.push(bytes.slice());
              sink.onDatagram(bytes, from);
            },
          };
          this.#receiving = [first.receive(this.#sink)];
          for (let open; (open = this.#receiving.shift()) !== undefined;) await open;
        },
        close: () => this.#socket!.close(),
      };
    },
  };

  /** Goes on at another port. */
  async move(): Promise<void> {
    const before = this.#socket!;
    this.#socket = await denoUdp.listen("127.0.0.1", 0);
    this.#receiving.push(this.#socket.receive(this.#sink!));
    before.close();
  }

  /** How many ClientHellos there were: two after a cookie. */
  get clientHellos(): number {
    return [...this.sent, ...this.received].filter((bytes) =>
      bytes[0] === HANDSHAKE && bytes[13] === CLIENT_HELLO
    ).length;
  }
}

/** Whether a datagram begins with a protected record that carries a connection ID. */
export function hasConnectionId([first = 0]: Uint8Array): boolean {
  const isUnified = (first & UNIFIED_HEADER_MASK) === UNIFIED_HEADER;
  return first === TLS12_CID || (isUnified && (first & CONNECTION_ID_BIT) !== 0);
}
