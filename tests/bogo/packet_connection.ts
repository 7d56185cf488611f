// Datagrams and commands of the BoGo runner on its TCP connection.

import { ByteReader } from "../../src/base/byte_reader.ts";
import { ByteWriter } from "../../src/base/byte_writer.ts";
import { concatBytes, EMPTY_BYTES } from "../../src/base/bytes.ts";

/** What the runner sends: a datagram, or a command about time or the path. */
export type RunnerMessage =
  | { readonly kind: "datagram"; readonly bytes: Uint8Array }
  /** Let so much time pass, and acknowledge that first. */
  | { readonly kind: "advance-clock"; readonly nanoseconds: bigint }
  /** The path carries datagrams of so many bytes. */
  | { readonly kind: "mtu"; readonly bytes: number }
  /** The next time-out must be so far away; `undefined`: there must be none. */
  | { readonly kind: "expect-timeout"; readonly nanoseconds: bigint | undefined }
  /** The first time-out of each flight is to be this. */
  | { readonly kind: "initial-timeout"; readonly milliseconds: number };

const Opcode = { packet: 0x50, timeout: 0x54, mtu: 0x4d, expect: 0x45, update: 0x55 } as const;
const TIMEOUT_ACK = Uint8Array.of(0x74);
const NO_TIMEOUT = 0xffff_ffff_ffff_ffffn;
const READ_BYTES = 65_536;

/** The connection that stands for the network. */
export class PacketConnection {
  readonly #connection: Deno.TcpConn;
  #received: Uint8Array = EMPTY_BYTES;
  #isWritable = true;

  private constructor(connection: Deno.TcpConn) {
    this.#connection = connection;
  }

  /** Connects to the runner on the loopback address, as the shim of a number. */
  static async connect(isIpv6: boolean, port: number, shimId: bigint): Promise<PacketConnection> {
    const hostname = isIpv6 ? "::1" : "127.0.0.1";
    const connection = await Deno.connect({ hostname, port });
    connection.setNoDelay(true);
    const packets = new PacketConnection(connection);
    const id = new Uint8Array(8);
    new DataView(id.buffer).setBigUint64(0, shimId, true);
    await packets.#write(id);
    return packets;
  }

  /** Sends datagrams. What the runner does not want any more is lost, as on a network. */
  async send(...datagrams: readonly Uint8Array[]): Promise<void> {
    const framed = datagrams.map((datagram) =>
      new ByteWriter(5 + datagram.length).u8(Opcode.packet).u32(datagram.length).bytes(datagram)
        .finish()
    );
    if (framed.length > 0) await this.#write(concatBytes(...framed));
  }

  /** Says that the clock goes on now. */
  acknowledgeTimeout(): Promise<void> {
    return this.#write(TIMEOUT_ACK);
  }

  async #write(bytes: Uint8Array): Promise<void> {
    try {
      for (let at = 0; this.#isWritable && at < bytes.length;) {
        at += await this.#connection.write(bytes.subarray(at));
      }
    } catch {
      this.#isWritable = false;
    }
  }

  /** The next message of the runner; `undefined` when it has closed the connection. */
  async receive(): Promise<RunnerMessage | undefined> {
    const opcode = await this.#take(1);
    if (opcode === undefined) return undefined;
    switch (opcode[0]) {
      case Opcode.packet: {
        const length = await this.#takeNumber(4);
        return { kind: "datagram", bytes: (await this.#take(Number(length))) ?? EMPTY_BYTES };
      }
      case Opcode.timeout:
        return { kind: "advance-clock", nanoseconds: await this.#takeNumber(8) };
      case Opcode.mtu:
        return { kind: "mtu", bytes: Number(await this.#takeNumber(4)) };
      case Opcode.expect: {
        const nanoseconds = await this.#takeNumber(8);
        const isNone = nanoseconds === NO_TIMEOUT;
        return { kind: "expect-timeout", nanoseconds: isNone ? undefined : nanoseconds };
      }
      case Opcode.update:
        return { kind: "initial-timeout", milliseconds: Number(await this.#takeNumber(4)) };
      default:
        throw new Error(`the runner sent the unknown opcode ${opcode[0]}`);
    }
  }

  async #takeNumber(lengthBytes: 4 | 8): Promise<bigint> {
    const bytes = await this.#take(lengthBytes);
    if (bytes === undefined) throw new Error("the runner's message is cut short");
    const reader = new ByteReader(bytes);
    return lengthBytes === 4 ? BigInt(reader.u32()) : reader.u64();
  }

  /** So many bytes; `undefined` where the connection ends before them. */
  async #take(lengthBytes: number): Promise<Uint8Array | undefined> {
    while (this.#received.length < lengthBytes) {
      const chunk = new Uint8Array(READ_BYTES);
      let count: number | null;
      try {
        count = await this.#connection.read(chunk);
      } catch {
        count = null;
      }
      if (count === null) return undefined;
      this.#received = concatBytes(this.#received, chunk.subarray(0, count));
    }
    const taken = this.#received.subarray(0, lengthBytes);
    this.#received = this.#received.subarray(lengthBytes);
    return taken;
  }

  /** Ends this side, waits until the runner has read all and ended its own, and closes. */
  async close(): Promise<void> {
    try {
      await this.#connection.closeWrite();
      const chunk = new Uint8Array(READ_BYTES);
      while (await this.#connection.read(chunk) !== null);
    } catch {
      // The runner was faster.
    }
    this.#connection.close();
  }
}
