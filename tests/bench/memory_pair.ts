// A client and a server without sockets in one thread, with an engine that answers at once: what the protocol costs.

import { fastestProvider } from "../../src/dtls/crypto/composed.ts";
import { monotonicNow } from "../../src/net/driver.ts";
import { systemEntropy } from "../../src/net/entropy.ts";
import { Request } from "../../src/client/requests.ts";
import { Authenticator } from "../../src/server/authenticator.ts";
import { ServerEndpoint } from "../../src/server/endpoint.ts";
import { Service } from "../../src/server/service.ts";
import { SESSION_SETTINGS } from "../../src/session/limits.ts";
import { ClientStack } from "../../src/session/stack.ts";
import { SqpError } from "../../src/wire/errors.ts";
import { DEFAULT_SESSION_LIMITS } from "../../src/wire/handshake_payload.ts";
import { encodeParams } from "../../src/wire/params.ts";
import { encodeQuery } from "../../src/wire/query_payload.ts";
import type { Row } from "../../src/wire/value.ts";
import { type BenchCredentials, benchCredentials } from "./credentials.ts";
import { InstantEngine } from "./instant_engine.ts";

const ADDRESS = "192.0.2.1:50000";
const QUIET = { info() {}, warn() {}, error() {} };
const AGENT = "bench";

/** A server without a socket. */
export class MemoryServer {
  readonly #credentials: BenchCredentials;
  readonly #engine = new InstantEngine();
  readonly #endpoint: ServerEndpoint;
  readonly #service: Service;

  private constructor(credentials: BenchCredentials) {
    this.#credentials = credentials;
    const session = {
      entropy: systemEntropy,
      limits: DEFAULT_SESSION_LIMITS,
      settings: SESSION_SETTINGS,
      agent: AGENT,
    };
    this.#endpoint = new ServerEndpoint({ dtls: credentials.server, session }, monotonicNow());
    this.#service = new Service({
      endpoint: this.#endpoint,
      engine: this.#engine,
      authenticator: new Authenticator({
        policy: "certificate",
        certificatePermissions: ["read", "write"],
        checkToken: () => Promise.reject(new SqpError("credential_kind_refused")),
      }),
      log: QUIET,
      now: monotonicNow,
      wake: () => {},
    });
  }

  /** Makes a server, and certificates for it and its clients. */
  static async make(): Promise<MemoryServer> {
    return new MemoryServer(await benchCredentials("p256", fastestProvider(), true));
  }

  /** A client that is connected, as is its session. */
  connect(): MemoryClient {
    const client = new MemoryClient(
      new ClientStack(
        this.#credentials.client,
        {
          entropy: systemEntropy,
          limits: DEFAULT_SESSION_LIMITS,
          settings: SESSION_SETTINGS,
          credential: { type: "certificate" },
          agent: AGENT,
        },
        monotonicNow(),
      ),
    );
    this.exchange(client);
    if (!client.isReady) throw new Error("a client was not let in");
    return client;
  }

  /** Carries datagrams to and fro, and runs statements, until nothing moves any more. */
  exchange(client: MemoryClient): void {
    for (let isMoving = true; isMoving;) {
      const now = monotonicNow();
      isMoving = false;
      for (let bytes; (bytes = client.stack.pollTransmit(now)) !== undefined; isMoving = true) {
        this.#endpoint.handleDatagram(bytes, ADDRESS, now);
      }
      this.#service.drainEvents();
      this.#engine.runPending();
      for (let sent; (sent = this.#endpoint.pollTransmit(now)) !== undefined; isMoving = true) {
        client.stack.handleDatagram(sent.bytes, now);
      }
      client.drainEvents();
    }
  }

  /** Has everything of one client ended. */
  disconnect(client: MemoryClient): void {
    client.stack.close(monotonicNow());
    this.exchange(client);
    // An association lingers for what its peer may still send.
    for (let end; (end = this.#endpoint.pollTimeout()) !== Infinity;) {
      this.#endpoint.handleTimeout(end);
      while (this.#endpoint.pollTransmit(end) !== undefined);
    }
    this.#service.drainEvents();
  }

  /** Forgets everything. */
  close(): void {
    this.#endpoint.destroy(monotonicNow());
  }
}

/** A client without a socket. */
export class MemoryClient {
  readonly stack: ClientStack;
  readonly #requests = new Map<number, Request>();
  isReady = false;

  constructor(stack: ClientStack) {
    this.stack = stack;
  }

  /** Sends a Query, and calls `onEnd` when its rows are there. */
  query(sql: string, params: readonly number[], onEnd: (rows: Row[]) => void): void {
    const session = this.stack.session!;
    const payload = encodeQuery({ cmd: "execute", sql, params: encodeParams(params) });
    const requestId = session.query(payload);
    let rows: Row[] = [];
    const observer = {
      onColumns: () => {},
      onRows: (more: Row[]) => rows = more,
      onEnd: () => onEnd(rows),
      onError: (error: Error) => {
        throw error;
      },
    };
    const request = new Request(requestId, session, observer, () => {
      this.#requests.delete(requestId);
    });
    this.#requests.set(requestId, request);
    request.pull(Infinity);
  }

  /** Handles what the session tells. */
  drainEvents(): void {
    for (let event; (event = this.stack.pollEvent()) !== undefined;) {
      if (event.kind === "ready") this.isReady = true;
      else if (event.kind === "response") {
        this.#requests.get(event.requestId)?.onResponse(event.payload);
      } else if (event.kind === "failed") throw event.error;
    }
    this.stack.settle(monotonicNow());
  }
}
