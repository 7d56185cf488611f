// Traffic in which either side gives up at any time: cancelled requests, stopped and aborted streams, uploads
// nobody reads.

import { MessageType } from "../../src/wire/frame.ts";
import type { TransportEvent } from "../../src/transport/events.ts";
import type { Random } from "../harness/random.ts";
import type { End, Pair } from "./fixture.ts";

const RESPONSE_ONLY = 0;
const RESPONSE_AND_STREAM = 1;

/** Reads what there is of a stream, or gives it up. */
function readOrStop(end: End, streamId: number, random: Random): boolean {
  if (random.chance(0.15)) {
    end.transport.stopStream(streamId);
    return false;
  }
  while (end.transport.readStream(streamId) !== undefined);
  return true;
}

/** Writes a stream and ends it, with FIN or without. */
function sendStream(end: End, requestId: number, random: Random, pair: Pair): void {
  const { transport } = end;
  const streamId = transport.openStream(requestId);
  transport.writeStream(streamId, random.bytes(random.pick([0, 10, 5_000, 150_000])));
  if (random.chance(0.6)) return transport.finishStream(streamId);
  pair.simulation.after(random.integer(0, 400), () => {
    if (random.chance(0.5)) transport.finishStream(streamId);
    transport.abortStream(streamId, random.bytes(random.integer(0, 80)));
  });
}

/** A server that answers each Query after a while, with an Error where it was cancelled by then. */
export function answerUnsteadily(pair: Pair, random: Random): void {
  const { transport } = pair.server;
  const cancelled = new Set<number>();
  const answer = (requestId: number) => {
    const size = random.pick([1, 500, 3_000, 40_000]);
    if (cancelled.has(requestId)) {
      transport.sendMessage(MessageType.ERROR, requestId, random.bytes(size));
    } else {
      const payload = random.bytes(size);
      payload[0] = random.chance(0.6) ? RESPONSE_AND_STREAM : RESPONSE_ONLY;
      transport.sendMessage(MessageType.RESPONSE, requestId, payload);
      if (payload[0] === RESPONSE_AND_STREAM) sendStream(pair.server, requestId, random, pair);
    }
    transport.finishRequest(requestId);
  };
  pair.server.onEvent = (event) => {
    if (event.kind === "stream-readable") readOrStop(pair.server, event.streamId, random);
    if (event.kind === "fault" || event.kind === "dead") throw new Error(event.kind);
    if (event.kind !== "message") return;
    const { type, requestId } = event;
    if (type === MessageType.CANCEL) cancelled.add(requestId);
    if (type === MessageType.QUERY) {
      pair.simulation.after(random.integer(0, 200), () => answer(requestId));
    }
  };
}

/** A client that sends a Query with this id, perhaps uploads something, and perhaps changes its mind. */
export function askUnsteadily(pair: Pair, requestId: number, random: Random): void {
  const { transport } = pair.client;
  transport.sendMessage(MessageType.QUERY, requestId, random.bytes(random.pick([5, 4_000])));
  if (random.chance(0.3)) sendStream(pair.client, requestId, random, pair);
  if (random.chance(0.4)) {
    pair.simulation.after(random.integer(0, 400), () => {
      transport.sendMessage(MessageType.CANCEL, requestId, new Uint8Array(0));
      transport.finishRequest(requestId);
    });
  }
}

/** What such a client does with events. */
export function listenUnsteadily(pair: Pair, random: Random): void {
  const { transport } = pair.client;
  pair.client.onEvent = (event: TransportEvent) => {
    switch (event.kind) {
      case "stream-readable":
        if (readOrStop(pair.client, event.streamId, random)) return;
        return transport.finishRequest(event.requestId);
      case "stream-finished":
      case "stream-ended":
        return transport.finishRequest(event.requestId);
      case "message":
        // Not waiting for the stream is one more way to give up.
        if (event.payload[0] !== RESPONSE_AND_STREAM || random.chance(0.2)) {
          transport.finishRequest(event.requestId);
        }
        return;
      case "fault":
      case "dead":
        throw new Error(event.kind);
      default:
        return;
    }
  };
}
