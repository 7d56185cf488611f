// Heartbeats and silence: whether the peer is still there (PROTOCOL.md, "Heartbeat").

import { type Entropy, type Milliseconds, NEVER } from "../base/core.ts";
import { ByteReader } from "../base/byte_reader.ts";
import { decodeHeartbeat, encodeHeartbeat, HeartbeatKind } from "../wire/heartbeat_payload.ts";

/** What a timeout asks for. */
export type LivenessOutcome = "nothing" | "send-heartbeat" | "dead";

/** Asks a silent peer for a sign of life, and gives it up in the end. */
export class Liveness {
  readonly #entropy: Entropy;
  #heartbeatMs: number;
  #idleMs: number;
  #heardAt: Milliseconds;
  #askedAt: Milliseconds;

  constructor(entropy: Entropy, heartbeatMs: number, idleMs: number, now: Milliseconds) {
    this.#entropy = entropy;
    this.#heartbeatMs = heartbeatMs;
    this.#idleMs = idleMs;
    this.#heardAt = now;
    this.#askedAt = now;
  }

  /** Sets the times that the handshake agreed on. */
  setTimes(heartbeatMs: number, idleMs: number): void {
    this.#heartbeatMs = heartbeatMs;
    this.#idleMs = idleMs;
  }

  /** Something authenticated of the peer arrived. */
  onHeard(now: Milliseconds): void {
    this.#heardAt = now;
  }

  /** When {@linkcode Liveness.onTimeout} has something to say. */
  deadline(): Milliseconds {
    const ask = Math.max(this.#heardAt, this.#askedAt) + this.#heartbeatMs;
    return Math.min(ask, this.#heardAt + this.#idleMs, NEVER);
  }

  /** What is due. */
  onTimeout(now: Milliseconds): LivenessOutcome {
    if (now >= this.#heardAt + this.#idleMs) return "dead";
    if (now < Math.max(this.#heardAt, this.#askedAt) + this.#heartbeatMs) return "nothing";
    this.#askedAt = now;
    return "send-heartbeat";
  }

  /** A request, with a token that the peer cannot predict. */
  request(): Uint8Array {
    const token = new ByteReader(this.#entropy(8)).u64();
    return encodeHeartbeat({ kind: HeartbeatKind.REQUEST, token, paddingBytes: 0 });
  }

  /** The reply to a request, or `undefined` for a reply. Throws `DecodeError` for a malformed payload. */
  replyTo(payload: Uint8Array): Uint8Array | undefined {
    const { kind, token } = decodeHeartbeat(payload);
    if (kind === HeartbeatKind.REPLY) return undefined;
    return encodeHeartbeat({ kind: HeartbeatKind.REPLY, token, paddingBytes: 0 });
  }
}
