// A relay between clients and a server on this machine that keeps every datagram, as a capture would.

/** One UDP payload as it was seen on the wire. */
export interface Captured {
  readonly direction: "to-server" | "to-client";
  readonly bytes: Uint8Array;
}

/** What passes in place of one datagram. */
export type Tamper = (bytes: Uint8Array) => readonly Uint8Array[];

/** Passes datagrams between its clients and one server. */
export class UdpRelay implements AsyncDisposable {
  /** Everything that passed, in order. */
  readonly captured: Captured[] = [];
  readonly #server: Deno.NetAddr;
  readonly #front = open();
  /** A socket to the server for each client. */
  readonly #backs = new Map<number, Deno.DatagramConn>();
  readonly #tasks: Promise<void>[] = [];

  /** Nothing is changed at first. */
  tamper: Tamper = (bytes) => [bytes];

  constructor(serverPort: number) {
    this.#server = { transport: "udp", hostname: "127.0.0.1", port: serverPort };
    this.#tasks.push(this.#forward());
  }

  get url(): string {
    return `sqp://127.0.0.1:${(this.#front.addr as Deno.NetAddr).port}`;
  }

  /** All bytes that passed, one datagram behind the other. */
  bytes(): Uint8Array {
    const whole = new Uint8Array(this.captured.reduce((sum, { bytes }) => sum + bytes.length, 0));
    let at = 0;
    for (const { bytes } of this.captured) {
      whole.set(bytes, at);
      at += bytes.length;
    }
    return whole;
  }

  async #forward(): Promise<void> {
    for await (const [bytes, from] of this.#front) {
      const client = from as Deno.NetAddr;
      let back = this.#backs.get(client.port);
      if (back === undefined) {
        back = open();
        this.#backs.set(client.port, back);
        this.#tasks.push(this.#answer(back, client));
      }
      this.captured.push({ direction: "to-server", bytes: bytes.slice() });
      for (const each of this.tamper(bytes)) await back.send(each, this.#server);
    }
  }

  async #answer(back: Deno.DatagramConn, client: Deno.NetAddr): Promise<void> {
    for await (const [bytes] of back) {
      this.captured.push({ direction: "to-client", bytes: bytes.slice() });
      for (const each of this.tamper(bytes)) await this.#front.send(each, client);
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#front.close();
    for (const back of this.#backs.values()) back.close();
    await Promise.all(this.#tasks);
  }
}

function open(): Deno.DatagramConn {
  return Deno.listenDatagram({ transport: "udp", hostname: "127.0.0.1", port: 0 });
}
