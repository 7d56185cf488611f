// One connection of the shim: an association on the runner's connection, a clock that the runner moves, and the echo.

import { equalBytes } from "../../src/base/bytes.ts";
import { NEVER } from "../../src/base/core.ts";
import { DtlsAssociation } from "../../src/dtls/association.ts";
import type { DtlsEvent } from "../../src/dtls/association_event.ts";
import { AlertDescription } from "../../src/dtls/code_points.ts";
import type { DtlsSession } from "../../src/dtls/session.ts";
import type { SessionCache } from "../../src/dtls/session_cache.ts";
import type { TicketKeys } from "../../src/dtls/ticket_keys.ts";
import { clientOptions, serverOptions } from "./association_options.ts";
import { type NumberedCredential, readCredentials } from "./credentials.ts";
import { checkHandshake, checkSession, ExpectationError } from "./expectations.ts";
import type { ConnectionFlags } from "./flags.ts";
import type { PacketConnection, RunnerMessage } from "./packet_connection.ts";

const NANOSECONDS_PER_MS = 1e6;
const CLOCK_STEP_MS = 15;
const INITIAL_WRITE = new TextEncoder().encode("hello");

/** What the connections of a process share. */
export interface ShimState {
  /** The time, which goes on only where the runner says so. */
  nowMs: number;
  /** A server's ticket keys. */
  readonly tickets: TicketKeys;
  /** A server's sessions of DTLS 1.2. */
  readonly sessionCache: SessionCache;
  /** The last session that a client was given. */
  session?: DtlsSession | undefined;
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
  state: ShimState,
  isResumption: boolean,
): Promise<void> {
  const exchange = new Exchange(flags, connection, state, isResumption);
  await exchange.run();
}

class Exchange {
  readonly #flags: ConnectionFlags;
  readonly #connection: PacketConnection;
  readonly #state: ShimState;
  readonly #isResumption: boolean;
  readonly #credentials: readonly NumberedCredential[];
  readonly #association: DtlsAssociation;
  /** The session that a client offers. */
  readonly #offered: DtlsSession | undefined;
  #isOver = false;
  #isAborted = false;

  constructor(
    flags: ConnectionFlags,
    connection: PacketConnection,
    state: ShimState,
    isResumption: boolean,
  ) {
    this.#flags = flags;
    this.#connection = connection;
    this.#state = state;
    this.#isResumption = isResumption;
    this.#credentials = readCredentials(flags);
    const credentials = this.#credentials.map(({ credential }) => credential);
    const { nowMs, session } = state;
    this.#offered = session;
    state.session = undefined;
    this.#association = flags.has("-server")
      ? DtlsAssociation.server(serverOptions(flags, credentials, state), undefined, nowMs)
      : DtlsAssociation.client(clientOptions(flags, credentials, session), nowMs);
  }

  async run(): Promise<void> {
    await this.#runConnection();
    if (!this.#isAborted) checkSession(this.#flags, this.#association, this.#newSession);
  }

  /** The session that the connection gave, unless it is the one that it resumed. */
  get #newSession(): DtlsSession | undefined {
    const { session } = this.#state;
    const offered = this.#offered;
    if (session === undefined || offered === undefined) return session;
    const isSame = equalBytes(session.ticket, offered.ticket) &&
      equalBytes(session.sessionId, offered.sessionId);
    return isSame ? undefined : session;
  }

  async #runConnection(): Promise<void> {
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
        return await this.#onData(event.bytes);
      case "session":
        this.#state.session = event.session;
        return;
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
    checkHandshake(flags, this.#association, this.#credentials, this.#isResumption);
    const exportedBytes = flags.number("-export-keying-material") ?? 0;
    if (exportedBytes > 0) await this.#write(this.#exported(exportedBytes));
    if (flags.has("-send-alert")) {
      this.#isAborted = true;
      return this.#association.abort(AlertDescription.DECOMPRESSION_FAILURE, this.#state.nowMs);
    }
    if (flags.has("-shim-writes-first")) await this.#write(INITIAL_WRITE);
    if (flags.has("-key-update-before-read")) this.#association.updateKeys();
    if (flags.has("-shim-shuts-down")) this.#association.close(this.#state.nowMs);
  }

  async #onData(bytes: Uint8Array): Promise<void> {
    if (bytes.length === 0) return;
    if (this.#flags.has("-key-update")) this.#association.updateKeys();
    await this.#write(bytes.map((byte) => byte ^ 0xff));
    if (this.#flags.has("-key-update-before-read")) this.#association.updateKeys();
  }

  #exported(lengthBytes: number): Uint8Array {
    const utf8 = new TextEncoder();
    const label = this.#flags.text("-export-label") ?? "";
    const context = this.#flags.has("-use-export-context")
      ? utf8.encode(this.#flags.text("-export-context") ?? "")
      : undefined;
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
        return association.handleDatagram(message.bytes, this.#state.nowMs);
      case "advance-clock":
        await this.#connection.acknowledgeTimeout();
        this.#state.nowMs += Number(message.nanoseconds) / NANOSECONDS_PER_MS;
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
    const nowMs = this.#state.nowMs;
    const at = this.#association.pollTimeout();
    this.#association.handleTimeout(at > nowMs && at - nowMs < CLOCK_STEP_MS ? at : nowMs);
  }

  #checkTimeout(expected: bigint | undefined): void {
    const at = this.#association.nextSendAt;
    const inMicroseconds = (ms: number) => Math.round(ms * 1e3);
    const actual = at === NEVER ? undefined : inMicroseconds(Math.max(0, at - this.#state.nowMs));
    const wanted = expected === undefined ? undefined : Number(expected / 1000n);
    if (actual !== wanted) {
      throw new ExpectationError(`the next timeout is in ${actual} us instead of ${wanted} us`);
    }
  }

  async #flush(): Promise<void> {
    const datagrams: Uint8Array[] = [];
    for (;;) {
      const datagram = this.#association.pollTransmit(this.#state.nowMs);
      if (datagram === undefined) break;
      datagrams.push(datagram);
    }
    await this.#connection.send(...datagrams);
  }
}
