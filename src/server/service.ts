// Between sessions and the engine: authenticates clients, runs their requests, and sends what comes of them.

import type { Milliseconds } from "../base/core.ts";
import type { Responder, StreamWriter } from "../query/answer.ts";
import type { Engine, RunningCommand } from "../query/engine.ts";
import type { QueryLimits } from "../query/limits.ts";
import { QuerySession } from "../query/query_session.ts";
import type { Principal } from "../session/permissions.ts";
import type { Credential } from "../wire/handshake_payload.ts";
import { SqpError } from "../wire/errors.ts";
import type { AssociationFacts, Authenticator } from "./authenticator.ts";
import type { EndpointClient, EndpointEvent, ServerEndpoint } from "./endpoint.ts";
import type { Logger } from "./log.ts";
import { SERVER_LIMITS } from "./limits.ts";
import { type TracedCommand, TraceLog } from "./trace_log.ts";

/** RFC 9266 section 2: the label of the exporter, with no context and 32 bytes. */
const EXPORTER_LABEL = "EXPORTER-Channel-Binding";
const EXPORTER_BYTES = 32;

/** What a service is made of. */
export interface ServiceOptions {
  readonly endpoint: ServerEndpoint;
  readonly engine: Engine;
  readonly authenticator: Authenticator;
  readonly log: Logger;
  /** What one session may have open in the query layer. */
  readonly queries?: Partial<QueryLimits>;
  /** The present time. */
  readonly now: () => Milliseconds;
  /** Called when the endpoint was used outside of a turn, so that what it has to send is sent. */
  readonly wake: () => void;
}

/** What runs for one client. */
interface ClientWork {
  readonly queries: QuerySession;
  readonly requests: Map<number, RunningCommand>;
  readonly writable: Map<number, () => void>;
}

/** Serves the clients of one endpoint. */
export class Service {
  readonly #options: ServiceOptions;
  readonly #work = new Map<EndpointClient, ClientWork>();
  readonly #traces: TraceLog;
  #authentications = 0;

  constructor(options: ServiceOptions) {
    this.#options = options;
    const { log, now } = options;
    this.#traces = new TraceLog(log, now, SERVER_LIMITS.tracedLinesPerSecondMax);
  }

  /** How many requests run. */
  get runningRequests(): number {
    let running = 0;
    for (const { requests } of this.#work.values()) running += requests.size;
    return running;
  }

  /** Handles all events that the endpoint has. */
  drainEvents(): void {
    for (let next; (next = this.#options.endpoint.pollEvent()) !== undefined;) this.#onEvent(next);
  }

  #onEvent({ client, event }: EndpointEvent): void {
    switch (event.kind) {
      case "authenticate":
        return this.#authenticate(client, event.credential);
      case "request":
        return this.#onRequest(client, event.requestId, event.payload);
      case "cancel":
        return this.#work.get(client)?.requests.get(event.requestId)?.cancel();
      case "stream-writable":
        return this.#work.get(client)?.writable.get(event.requestId)?.();
      case "ended":
        return this.#onEnded(client, event.error);
    }
  }

  // Letting in

  #authenticate(client: EndpointClient, credential: Credential | null): void {
    const { association } = client.stack;
    const facts: AssociationFacts = {
      peerChain: association.peerChain,
      exporter: () =>
        association.exportKeyingMaterial(EXPORTER_LABEL, new Uint8Array(0), EXPORTER_BYTES),
    };
    try {
      const principal = this.#options.authenticator.authenticate(credential, facts);
      if (!(principal instanceof Promise)) return this.#admit(client, principal);
      this.#authenticateLater(client, principal);
    } catch (error) {
      this.#refuse(client, error);
    }
  }

  #authenticateLater(client: EndpointClient, pending: Promise<Principal>): void {
    if (this.#authentications >= SERVER_LIMITS.authenticationsMax) {
      pending.catch(() => {});
      return this.#refuse(client, new SqpError("overloaded"));
    }
    this.#authentications++;
    pending.then(
      (principal) => this.#admit(client, principal),
      (error) => this.#refuse(client, error),
    ).finally(() => {
      this.#authentications--;
      this.#options.wake();
    });
  }

  #admit(client: EndpointClient, principal: Principal): void {
    const { endpoint, log, now } = this.#options;
    endpoint.admit(client, principal, now());
    if (client.stack.session?.principal === principal) {
      log.info("session opened", { address: client.address, principal: principal.name });
    }
  }

  #refuse(client: EndpointClient, error: unknown): void {
    const { endpoint, log, now } = this.#options;
    const refusal = error instanceof SqpError ? error : new SqpError("internal", { cause: error });
    if (refusal !== error) {
      log.error("credential check failed", { address: client.address, error: String(error) });
    }
    log.info("client refused", { address: client.address, error: refusal.codeName });
    endpoint.refuse(client, refusal, now());
  }

  #onEnded(client: EndpointClient, error: SqpError | undefined): void {
    const work = this.#work.get(client);
    this.#work.delete(client);
    for (const request of work?.requests.values() ?? []) request.cancel();
    work?.queries.close();
    const principal = client.stack.session?.principal?.name;
    if (principal === undefined) return;
    this.#options.log.info("session ended", {
      address: client.address,
      principal,
      ...(error !== undefined && { error: error.codeName }),
    });
  }

  // Requests

  /** The server is about to stop: what would not end by itself is ended. */
  drain(): void {
    for (const { queries } of this.#work.values()) queries.endFeeds(new SqpError("draining"));
  }

  #onRequest(client: EndpointClient, requestId: number, payload: Uint8Array): void {
    const principal = client.stack.session?.principal;
    if (principal === undefined) return;
    let work = this.#work.get(client);
    if (work === undefined) {
      const caller = { principal: principal.name, permissions: new Set(principal.permissions) };
      const { engine, queries: limits } = this.#options;
      const queries = new QuerySession(engine, caller, limits);
      work = { queries, requests: new Map(), writable: new Map() };
      this.#work.set(client, work);
    }
    const responder = new RequestResponder(this.#options, client, work, requestId, this.#traces);
    const running = work.queries.run(payload, responder);
    if (!responder.isOver) work.requests.set(requestId, running);
  }
}

/** Where the answer to one request goes: into its session, as long as there is one. */
class RequestResponder implements Responder, StreamWriter {
  readonly #options: ServiceOptions;
  readonly #client: EndpointClient;
  readonly #work: ClientWork;
  readonly #requestId: number;
  readonly #traces: TraceLog;
  #traced: TracedCommand | undefined;
  /** Whether the request was answered to its end. */
  isOver = false;

  constructor(
    options: ServiceOptions,
    client: EndpointClient,
    work: ClientWork,
    requestId: number,
    traces: TraceLog,
  ) {
    this.#options = options;
    this.#traces = traces;
    this.#client = client;
    this.#work = work;
    this.#requestId = requestId;
  }

  setTrace(command: string, traceparent: string): void {
    const principal = this.#client.stack.session?.principal;
    if (principal === undefined) return;
    this.#traced = this.#traces.begin(traceparent, command, principal.name);
  }

  setUrgency(urgency: number): void {
    this.#client.stack.session?.setUrgency(this.#requestId, urgency);
  }

  respond(payload: Uint8Array): void {
    this.#use((session) => session.respond(this.#requestId, payload));
    this.#finished(undefined);
  }

  error(error: SqpError): void {
    this.#use((session) => session.fail(this.#requestId, error));
    this.#finished(error);
  }

  openStream(headFor: (streamId: number) => Uint8Array): StreamWriter {
    this.#use((session) => session.openStream(this.#requestId, headFor));
    return this;
  }

  write(bytes: Uint8Array): void {
    this.#use((session) => session.writeStream(this.#requestId, bytes));
  }

  bufferedBytes(): number {
    return this.#client.stack.session?.streamBufferedBytes(this.#requestId) ?? 0;
  }

  onWritable(callback: () => void): void {
    this.#work.writable.set(this.#requestId, callback);
  }

  finish(): void {
    this.#use((session) => session.finishStream(this.#requestId));
    this.#finished(undefined);
  }

  abort(error: SqpError): void {
    this.error(error);
  }

  #use(action: Parameters<ServerEndpoint["use"]>[2]): void {
    const { endpoint, now, wake } = this.#options;
    endpoint.use(this.#client, now(), action);
    wake();
  }

  #finished(error: SqpError | undefined): void {
    this.isOver = true;
    this.#traced?.onAnswered(error);
    this.#work.requests.delete(this.#requestId);
    this.#work.writable.delete(this.#requestId);
  }
}
