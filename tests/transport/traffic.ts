// A session's traffic in small: queries, answers and streams whose bytes follow from the request's id.

import { assertEquals } from "@std/assert";
import { concatBytes } from "../../src/base/bytes.ts";
import type { TransportEvent } from "../../src/transport/events.ts";
import { MessageType } from "../../src/wire/frame.ts";
import { Random } from "../harness/random.ts";
import { DEFAULT_TRANSPORT_LIMITS } from "../../src/transport/limits.ts";
import { type End, type Pair, SESSION_ID } from "./fixture.ts";

/** The Query with this id. */
export function queryOf(requestId: number): Uint8Array {
  const random = new Random(-requestId);
  return random.bytes(random.pick([0, 80, 300, 1_200, 9_000]));
}

/** What the server answers with. */
export function answerOf(requestId: number): { message: Uint8Array; stream?: Uint8Array } {
  const random = new Random(requestId);
  const message = random.bytes(random.pick([0, 20, 900, 1_000, 1_001, 5_000, 40_000]));
  if (random.chance(0.5)) return { message };
  return { message, stream: random.bytes(random.pick([0, 1, 4_096, 90_000])) };
}

/** Answers each Query once, a stream in pieces of random length and with back-pressure. */
export class Answering {
  /** Ids of the queries, in the order of their arrival. */
  readonly seen: number[] = [];
  readonly #end: End;
  readonly #random: Random;
  readonly #feeding = new Map<number, { requestId: number; left: Uint8Array }>();

  constructor(end: End, random: Random) {
    this.#end = end;
    this.#random = random;
    end.onEvent = (event) => this.#onEvent(event);
  }

  #onEvent(event: TransportEvent): void {
    const { transport } = this.#end;
    if (event.kind === "fault" || event.kind === "dead") throw new Error(`event ${event.kind}`);
    if (event.kind === "stream-writable") this.#feed(event.streamId);
    if (event.kind === "message" && event.type === MessageType.HANDSHAKE_REQUEST) {
      transport.setSession(SESSION_ID, DEFAULT_TRANSPORT_LIMITS);
      transport.sendMessage(MessageType.HANDSHAKE_RESPONSE, 0, event.payload);
    }
    if (event.kind !== "message" || event.type !== MessageType.QUERY) return;
    const { requestId } = event;
    this.seen.push(requestId);
    assertEquals(event.payload, queryOf(requestId));
    const { message, stream } = answerOf(requestId);
    transport.sendMessage(MessageType.RESPONSE, requestId, message);
    if (stream === undefined) return transport.finishRequest(requestId);
    const streamId = transport.openStream(requestId);
    this.#feeding.set(streamId, { requestId, left: stream });
    this.#feed(streamId);
  }

  #feed(streamId: number): void {
    const state = this.#feeding.get(streamId);
    if (state === undefined) return;
    const { transport } = this.#end;
    while (state.left.length > 0) {
      if (transport.streamBufferedBytes(streamId) >= 200_000) return;
      const length = this.#random.integer(1, 9_000);
      transport.writeStream(streamId, state.left.slice(0, length));
      state.left = state.left.subarray(length);
    }
    transport.finishStream(streamId);
    transport.finishRequest(state.requestId);
    this.#feeding.delete(streamId);
  }
}

/** Sends queries and checks the answers: each once, each byte. */
export class Asking {
  /** Requests answered in full. */
  readonly answered = new Set<number>();
  /** Every Response that was told, in order. */
  readonly responses: number[] = [];
  readonly #end: End;
  readonly #streams = new Map<number, Uint8Array[]>();
  readonly #finished = new Set<number>();

  constructor(end: End) {
    this.#end = end;
    end.onEvent = (event) => this.#onEvent(event);
  }

  /** Sends a HandshakeRequest of some packets. */
  shakeHands(): void {
    const payload = new Random(0).bytes(3_000);
    this.#end.transport.sendMessage(MessageType.HANDSHAKE_REQUEST, 0, payload);
  }

  /** Sends a Query. */
  ask(requestId: number): void {
    this.#end.transport.sendMessage(MessageType.QUERY, requestId, queryOf(requestId));
  }

  #onEvent(event: TransportEvent): void {
    if (event.kind === "stream-readable") this.#read(event.requestId, event.streamId);
    else if (event.kind === "stream-finished") this.#finished.add(event.requestId);
    else if (event.kind === "message" && event.type === MessageType.HANDSHAKE_RESPONSE) {
      this.#end.transport.setSession(SESSION_ID, DEFAULT_TRANSPORT_LIMITS);
      return;
    } else if (event.kind === "message") {
      assertEquals(event.type, MessageType.RESPONSE);
      this.responses.push(event.requestId);
      assertEquals(event.payload, answerOf(event.requestId).message);
    } else if (event.kind !== "stream-opened") throw new Error(`event ${event.kind}`);
    if ("requestId" in event) this.#checkComplete(event.requestId);
  }

  #read(requestId: number, streamId: number): void {
    const parts = this.#streams.get(requestId) ?? [];
    this.#streams.set(requestId, parts);
    for (let bytes; (bytes = this.#end.transport.readStream(streamId)) !== undefined;) {
      parts.push(bytes);
    }
  }

  #checkComplete(requestId: number): void {
    const { stream } = answerOf(requestId);
    if (!this.responses.includes(requestId)) return;
    if (stream !== undefined && !this.#finished.has(requestId)) return;
    if (stream !== undefined) {
      assertEquals(concatBytes(...(this.#streams.get(requestId) ?? [])), stream);
    }
    assertEquals(this.answered.has(requestId), false);
    this.answered.add(requestId);
    this.#end.transport.finishRequest(requestId);
  }
}

/** Sends bytes from server to client; returns the virtual time that it took, `Infinity` where it does not end. */
export function sendStream(pair: Pair, totalBytes: number): number {
  const { client, server, simulation } = pair;
  const begin = simulation.now;
  client.transport.sendMessage(MessageType.QUERY, 1, new Uint8Array(1));
  let left = totalBytes;
  let finished = false;
  const feed = (streamId: number) => {
    for (; left > 0 && server.transport.streamBufferedBytes(streamId) < 400_000; left -= 10_000) {
      server.transport.writeStream(streamId, new Uint8Array(10_000));
    }
    if (left <= 0) server.transport.finishStream(streamId);
  };
  server.onEvent = (event) => {
    const isQuery = event.kind === "message" && event.type === MessageType.QUERY;
    if (isQuery) feed(server.transport.openStream(event.requestId));
    if (event.kind === "stream-writable") feed(event.streamId);
  };
  client.onEvent = (event) => {
    if (event.kind === "stream-readable") {
      while (client.transport.readStream(event.streamId) !== undefined);
    }
    finished ||= event.kind === "stream-finished";
  };
  const arrived = simulation.runUntil(() => finished, { durationMs: 600_000 });
  return arrived ? simulation.now - begin : Infinity;
}
