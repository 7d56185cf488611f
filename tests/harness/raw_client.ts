// A client below the public one, for what that one would never do: a foreign key, queries before it is let in.

import { connect, type ConnectOptions, SqpError } from "../../src/client/mod.ts";
import { clientDtlsOptions, sessionCredential } from "../../src/client/options.ts";
import type { Milliseconds } from "../../src/base/core.ts";
import type { DtlsClientOptions } from "../../src/dtls/options.ts";
import { monotonicNow, UdpDriver } from "../../src/net/driver.ts";
import { addressText } from "../../src/net/socket.ts";
import { openUdpSocket } from "../../src/net/udp.ts";
import type { ClientSessionEvent } from "../../src/session/client_session_event.ts";
import { SESSION_SETTINGS } from "../../src/session/limits.ts";
import { ClientStack } from "../../src/session/stack.ts";
import { DEFAULT_SESSION_LIMITS } from "../../src/wire/handshake_payload.ts";
import { encodeParams } from "../../src/wire/params.ts";
import { encodeQuery } from "../../src/wire/query_payload.ts";

/** How a raw client differs. */
export interface RawClientOptions extends ConnectOptions {
  readonly dtls?: Partial<DtlsClientOptions>;
  /** Statements that are sent with the HandshakeRequest. */
  readonly earlyQueries?: readonly string[];
}

/**
 * Opens a session with the server on a port of this machine, and collects its events until it has ended or
 * `isEnough` says so.
 */
export async function runRawClient(
  port: number,
  options: RawClientOptions,
  isEnough: (events: readonly ClientSessionEvent[]) => boolean = () => false,
): Promise<ClientSessionEvent[]> {
  const entropy = (lengthBytes: number) => crypto.getRandomValues(new Uint8Array(lengthBytes));
  const dtls = { ...clientDtlsOptions(options, "127.0.0.1", entropy), ...options.dtls };
  const stack = new ClientStack(dtls, {
    entropy,
    limits: DEFAULT_SESSION_LIMITS,
    settings: SESSION_SETTINGS,
    credential: sessionCredential(options),
    agent: "raw",
  }, monotonicNow());
  const address = addressText({ hostname: "127.0.0.1", port });
  const events: ClientSessionEvent[] = [];
  const enough = Promise.withResolvers<void>();
  let early = [...options.earlyQueries ?? []];
  const core = {
    handleDatagram(bytes: Uint8Array, from: string, now: Milliseconds) {
      if (from === address) stack.handleDatagram(bytes, now);
      const { session } = stack;
      if (session === undefined) return;
      for (const sql of early) {
        session.query(encodeQuery({ cmd: "execute", sql, params: encodeParams([]) }));
      }
      early = [];
    },
    handleTimeout: (now: Milliseconds) => stack.handleTimeout(now),
    pollTransmit(now: Milliseconds) {
      const bytes = stack.pollTransmit(now);
      return bytes === undefined ? undefined : { bytes, address };
    },
    pollTimeout: () => stack.pollTimeout(),
  };
  const driver = new UdpDriver(openUdpSocket("127.0.0.1"), core, (now) => {
    stack.settle(now);
    for (let event; (event = stack.pollEvent()) !== undefined;) events.push(event);
    if (events.at(-1)?.kind === "ended" || isEnough(events)) enough.resolve();
  });
  await enough.promise;
  stack.close(monotonicNow());
  await driver.close();
  return events;
}

/** The error that connecting fails with. */
export async function refusalOf(url: string, options: ConnectOptions): Promise<SqpError> {
  try {
    await using _client = await connect(url, { connectTimeoutMs: 10_000, ...options });
  } catch (error) {
    if (error instanceof SqpError) return error;
    throw error;
  }
  throw new Error("the client was let in");
}
