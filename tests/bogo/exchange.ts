// One connection of the shim: an association on the runner's connection, a clock that the runner moves, and the echo.

import { NEVER } from "../../src/base/core.ts";
import { DtlsAssociation } from "../../src/dtls/association.ts";
import type { DtlsEvent } from "../../src/dtls/association_event.ts";
import { AlertDescription } from "../../src/dtls/code_points.ts";
import { clientOptions, serverOptions } from "./association_options.ts";
import { type NumberedCredential, readCredentials } from "./credentials.ts";
import { checkHandshake, ExpectationError } from "./expectations.ts";
import type { ConnectionFlags } from "./flags.ts";
import type { PacketConnection, RunnerMessage } from "./packet_connection.ts";

const NANOSECONDS_PER_MS = 1e6;
const CLOCK_STEP_MS = 15;
const INITIAL_WRITE = new TextEncoder().encode("hello");

/** The time, which goes on only where the runner says so; one for all connections of a process. */
export interface FakeClock {
  nowMs: number;
}

/** The runner ended a connection before its handshake was complete. */
export class RunnerGoneError extends Error {
  /** The type's name. */
  override readonly name = "RunnerGoneError";
}

/** Plays one connection to its end. Throws what ended the association, or what the runner did not want to see. */
export async function runExchange(
  flags: ConnectionFlags,
  connection: PacketConnection,
  clock: FakeClock,
): Promise<void> {
  const exchange = new Exchange(flags, connection, clock);
  await exchange.run();
}

class Exchange {
  readonly #flags: ConnectionFlags;
  readonly #connection: PacketConnection;
  readonly #clock: FakeClock;
  readonly #credentials: readonly NumberedCredential[];
  readonly #association: DtlsAssociation;
  #isOver = false;
  #isAborted = false;

  constructor(flags: ConnectionFlags, connection: PacketConnection, clock: FakeClock) {
    this.#flags = flags;
    this.#connection = connection;
    this.#clock = clock;
    this.#credentials = readCredentials(flags);
    const credentials = this.#credentials.map(({ credential }) => credential);
    this.#association = flags.has("-server")
      ? DtlsAssociation.server(serverOptions(flags, credentials), undefined, clock.nowMs)
      : DtlsAssociation.client(clientOptions(flags, credentials), clock.nowMs);
  }

  async run(): Promise<void> {
    for (;;) {
      for (let event = this.#takeEvent(); event !== undefined; event = this.#takeEvent()) {
        await this.#onEvent(event);
      }
      await this.#flush();
      if (this.#isOver) return;
      const message = await this.#connection.receive();
      if (message !== undefined) {
        await this.#onMessage(message);
      } else if (this.#association.state === "handshaking") {
        throw new RunnerGoneError("the runner closed the connection during the handshake");
      } else {
        return;
      }
    }
  }

  #takeEvent(): DtlsEvent | undefined {
    return this.#association.pollEvent();
  }

  async #onEvent(event: DtlsEvent): Promise<void> {
    switch (event.kind) {
      case "connected":
        return await this.#onConnected();
      case "application-data":
        return await this.#write(event.bytes.map((byte) => byte ^ 0xff));
      case "closed":
        this.#isOver = true;
        return;
      case "failed":
        await this.#flush();
        if (!this.#isAborted) throw event.error;
        this.#isOver = true;
        return;
    }
  }

  async #onConnected(): Promise<void> {
    const flags = this.#flags;
    await this.#flush();
    checkHandshake(flags, this.#association, this.#credentials);
    const exportedBytes = flags.number("-export-keying-material") ?? 0;
    if (exportedBytes > 0) await this.#write(this.#exported(exportedBytes));
    if (flags.has("-send-alert")) {
      this.#isAborted = true;
      return this.#association.abort(AlertDescription.DECOMPRESSION_FAILURE, this.#clock.nowMs);
    }
    if (flags.has("-shim-writes-first")) await this.#write(INITIAL_WRITE);
    if (flags.has("-shim-shuts-down")) this.#association.close(this.#clock.nowMs);
  }

  #exported(lengthBytes: number): Uint8Array {
    const utf8 = new TextEncoder();
    const label = this.#flags.text("-export-label") ?? "";
    const context = utf8.encode(this.#flags.text("-export-context") ?? "");
    return this.#association.exportKeyingMaterial(label, context, lengthBytes);
  }

  /** Sends application data behind what was to be sent before. */
  async #write(bytes: Uint8Array): Promise<void> {
    await this.#flush();
    if (this.#association.state !== "connected") return;
    await this.#connection.send(this.#association.sealApplicationData(bytes));
  }

  async #onMessage(message: RunnerMessage): Promise<void> {
    const association = this.#association;
    switch (message.kind) {
      case "datagram":
        return association.handleDatagram(message.bytes, this.#clock.nowMs);
      case "advance-clock":
        await this.#connection.acknowledgeTimeout();
        this.#clock.nowMs += Number(message.nanoseconds) / NANOSECONDS_PER_MS;
        return this.#fireTimers();
      case "mtu":
        return association.setDatagramBytesMax(message.bytes);
      case "initial-timeout":
        return association.setInitialTimeout(message.milliseconds);
      case "expect-timeout":
        return this.#checkTimeout(message.nanoseconds);
    }
  }

  /** Like BoringSSL's, this clock is coarse: what is due in a moment is due. */
  #fireTimers(): void {
    const nowMs = this.#clock.nowMs;
    const at = this.#association.pollTimeout();
    this.#association.handleTimeout(at > nowMs && at - nowMs < CLOCK_STEP_MS ? at : nowMs);
  }

  #checkTimeout(expected: bigint | undefined): void {
    const at = this.#association.nextSendAt;
    const inMicroseconds = (ms: number) => Math.round(ms * 1e3);
    const actual = at === NEVER ? undefined : inMicroseconds(Math.max(0, at - this.#clock.nowMs));
    const wanted = expected === undefined ? undefined : Number(expected / 1000n);
    if (actual !== wanted) {
      throw new ExpectationError(`the next timeout is in ${actual} us instead of ${wanted} us`);
    }
  }

  async #flush(): Promise<void> {
    const datagrams: Uint8Array[] = [];
    for (;;) {
      const datagram = this.#association.pollTransmit(this.#clock.nowMs);
      if (datagram === undefined) break;
      datagrams.push(datagram);
    }
    await this.#connection.send(...datagrams);
  }
}
