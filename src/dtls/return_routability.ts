// The return routability check: a peer's new address counts once the peer was shown to be there, and the old one to be
// given up (RFC 9853).

import { ByteReader } from "../base/byte_reader.ts";
import { ByteWriter } from "../base/byte_writer.ts";
import { equalBytes } from "../base/bytes.ts";
import { type Entropy, type Milliseconds, NEVER } from "../base/core.ts";
import type { Counters } from "../base/counters.ts";
import { Queue } from "../base/queue.ts";
import { AMPLIFICATION_MAX } from "./limits.ts";

/** Types of return_routability_check messages (RFC 9853 section 4). */
export const RoutabilityType = { PATH_CHALLENGE: 0, PATH_RESPONSE: 1, PATH_DROP: 2 } as const;
type RoutabilityType = typeof RoutabilityType[keyof typeof RoutabilityType];

/** RFC 9853 section 4: "an 8-byte field containing 64 bits of entropy". */
const COOKIE_BYTES = 8;

/** Bytes of a message. */
export const ROUTABILITY_MESSAGE_BYTES: number = 1 + COOKIE_BYTES;

/**
 * RFC 9853 section 5.5: "If an implementation has no way to obtain information regarding the RTT of the active path, T
 * SHOULD be set to 1s."
 */
const DEFAULT_TIMER_MS = 1_000;

/** RFC 9853 section 5.5: "implementations SHOULD use T = 3xRTT". */
const TIMER_ROUND_TRIPS = 3;

/** T is no shorter, however short the round trip: timers and peers are not that exact. */
const TIMER_MS_MIN = 30;

/** Challenges of one path: one for each round trip until T is over. */
const CHALLENGES_MAX = 3;

/** Answers that wait to be sent; the oldest gives way. */
const ANSWERS_MAX = 8;

/** A return_routability_check message. */
export interface RoutabilityMessage {
  readonly type: RoutabilityType;
  readonly cookie: Uint8Array;
}

/** Encodes a message. */
export function encodeRoutabilityMessage({ type, cookie }: RoutabilityMessage): Uint8Array {
  return new ByteWriter(ROUTABILITY_MESSAGE_BYTES).u8(type).bytes(cookie).finish();
}

/** Decodes a message; `undefined` for one of unknown type. Throws `DecodeError` where it is malformed. */
export function decodeRoutabilityMessage(content: Uint8Array): RoutabilityMessage | undefined {
  const reader = new ByteReader(content);
  const type = reader.u8();
  // RFC 9853 section 4: "implementations MUST be able to parse and gracefully ignore messages with an unknown
  // `msg_type`."
  if (type > RoutabilityType.PATH_DROP) return undefined;
  const cookie = reader.bytes(COOKIE_BYTES);
  reader.expectEnd();
  return { type: type as RoutabilityType, cookie };
}

/**
 * How a new address of the peer is checked: `basic` asks at the new address alone, `enhanced` first at the old one,
 * against an attacker who forwards copies of records faster than the network.
 */
export type RoutabilityCheck = "basic" | "enhanced";

/** What came of checks. */
export type RoutabilityCount =
  /** The peer's address changed. */
  | "moved"
  /** The old address was the right one: somebody forwarded a record. */
  | "kept"
  /** Nobody answered at the new address. */
  | "unanswered"
  /** An answer that belongs to no challenge: too late, for the second time, or from elsewhere. */
  | "unmatched-answer";

/** A message to be sealed, and the path that it is for. */
export interface PathMessage {
  readonly path: string;
  readonly content: Uint8Array;
}

/** An authenticated record, as far as the path is concerned. */
export interface PathRecord {
  readonly path: string;
  /** Bytes of the record. */
  readonly lengthBytes: number;
  /** Newer (epoch, number) than all before it. */
  readonly isNewest: boolean;
  /** A return_routability_check message. */
  readonly isCheck: boolean;
}

/** A challenge that was sent. */
interface Challenge {
  readonly cookie: Uint8Array;
  readonly sentAt: Milliseconds;
}

/** An address that the peer may be reached at. */
interface Candidate {
  readonly path: string;
  /** Where the peer is asked: at the path that is in use, then at the new one. */
  phase: "old" | "new";
  readonly timerMs: number;
  /** The challenges of this phase. */
  readonly challenges: Challenge[];
  /** A challenge is to be sent now. */
  isDue: boolean;
  nextAt: Milliseconds;
  deadline: Milliseconds;
  receivedBytes: number;
  sentBytes: number;
}

/** The path of one association, and the checks that it takes to change it. Paths are opaque texts. */
export class PathValidation {
  readonly #counts: Counters<RoutabilityCount>;
  readonly #check: RoutabilityCheck;
  readonly #entropy: Entropy;
  readonly #answers = new Queue<PathMessage>();
  #path: string;
  #candidate: Candidate | undefined;
  #roundTripMs: Milliseconds | undefined;
  /** This side has changed its own path. */
  #hasLeft = false;
  /** After a check that kept the path, the next one begins no earlier. */
  #quietUntil: Milliseconds = -Infinity;

  /**
   * Begins on a path that the handshake has validated. RFC 9853 section 7.1 advises statistics about checks that did
   * not succeed.
   */
  constructor(
    path: string,
    check: RoutabilityCheck,
    entropy: Entropy,
    counts: Counters<RoutabilityCount>,
  ) {
    this.#counts = counts;
    this.#path = path;
    this.#check = check;
    this.#entropy = entropy;
  }

  /** The path that everything is sent on, apart from this check's own messages. */
  get path(): string {
    return this.#path;
  }

  /** The time that the answer from the path in use took, where it was checked. */
  get roundTripMs(): Milliseconds | undefined {
    return this.#roundTripMs;
  }

  /** The path that is being checked. */
  get candidate(): string | undefined {
    return this.#candidate?.path;
  }

  /** An authenticated record arrived. `roundTripMs` is that of the path in use, where it is known. */
  onRecord(record: PathRecord, roundTripMs: Milliseconds | undefined, now: Milliseconds): void {
    const candidate = this.#candidate;
    if (record.path === candidate?.path) candidate.receivedBytes += record.lengthBytes;
    if (!record.isNewest || this.#hasLeft) return;
    if (record.path === this.#path) {
      // RFC 9853 section 8.1.2: "A data packet received on the original path that increases the maximum received packet
      // number will cause the endpoint to move back to that path." Answers to a challenge come there in any case.
      if (candidate !== undefined && !record.isCheck) this.#keep(candidate, now);
      return;
    }
    // RFC 9853 section 5: "the presented algorithms are not designed to handle nested rebindings": one at a time.
    if (candidate !== undefined || now < this.#quietUntil) return;
    this.#begin(record.path, this.#check === "enhanced" ? "old" : "new", roundTripMs, now);
    this.#candidate!.receivedBytes = record.lengthBytes;
  }

  /**
   * This side has changed its path: from now on it sends on another, and says so to whoever asks on the one before. A
   * challenge tells the peer, in case nothing else does.
   */
  changePath(path: string, roundTripMs: Milliseconds | undefined, now: Milliseconds): void {
    this.#path = path;
    this.#hasLeft = true;
    this.#begin(path, "new", roundTripMs, now);
    // The peer's address is what it was before, and validated.
    this.#candidate!.receivedBytes = Infinity;
  }

  #begin(
    path: string,
    phase: Candidate["phase"],
    roundTripMs: Milliseconds | undefined,
    now: Milliseconds,
  ): void {
    const timerMs = roundTripMs === undefined
      ? DEFAULT_TIMER_MS
      : Math.max(TIMER_ROUND_TRIPS * roundTripMs, TIMER_MS_MIN);
    const candidate: Candidate = {
      path,
      phase,
      timerMs,
      challenges: [],
      isDue: true,
      nextAt: NEVER,
      deadline: NEVER,
      receivedBytes: 0,
      sentBytes: 0,
    };
    this.#candidate = candidate;
    this.#ask(candidate, phase, now);
  }

  #ask(candidate: Candidate, phase: Candidate["phase"], now: Milliseconds): void {
    candidate.phase = phase;
    candidate.challenges.length = 0;
    candidate.isDue = true;
    candidate.nextAt = NEVER;
    // RFC 9853 section 5.5: "implementations are cautioned that the new path could have a longer RTT than the
    // original."
    const timerMs = phase === "old"
      ? candidate.timerMs
      : Math.max(candidate.timerMs, DEFAULT_TIMER_MS);
    candidate.deadline = now + timerMs;
  }

  /** Takes an authenticated message that arrived on a path. Throws `DecodeError` where it is malformed. */
  onMessage(content: Uint8Array, path: string, now: Milliseconds): void {
    const message = decodeRoutabilityMessage(content);
    if (message === undefined) return;
    if (message.type === RoutabilityType.PATH_CHALLENGE) return this.#onChallenge(message, path);
    const candidate = this.#candidate;
    const challenge = candidate?.challenges.find((one) => equalBytes(one.cookie, message.cookie));
    // RFC 9853 section 5.4: "The initiator MUST silently discard any invalid `path_response` or `path_drop`".
    if (candidate === undefined || challenge === undefined) {
      return this.#counts.add("unmatched-answer");
    }
    const isDrop = message.type === RoutabilityType.PATH_DROP;
    if (candidate.phase === "old") {
      // RFC 9853 section 5.2: on a path_response "the initiator MUST continue using the previously valid address", on a
      // path_drop it "MUST perform a return routability check on the observed new address". Whoever forwards records
      // may have forwarded the answer as well, so it counts from wherever it came.
      return isDrop ? this.#ask(candidate, "new", now) : this.#keep(candidate, now);
    }
    // RFC 9853 section 5.4: the answer goes "to the address from which the corresponding `path_challenge` was received.
    // This ensures that the path is functional in both directions."
    if (isDrop || path !== candidate.path) return this.#counts.add("unmatched-answer");
    if (this.#path !== candidate.path) this.#counts.add("moved");
    this.#path = candidate.path;
    this.#roundTripMs = now - challenge.sentAt;
    this.#candidate = undefined;
  }

  /** RFC 9853 section 5.4: "exactly one `path_response` or `path_drop` message for each valid `path_challenge`". */
  #onChallenge({ cookie }: RoutabilityMessage, path: string): void {
    // RFC 9853 section 5.2: "the responder must have initiated a voluntary path migration in order to know that this
    // path is no longer the preferred one."
    const type = this.#hasLeft && path !== this.#path
      ? RoutabilityType.PATH_DROP
      : RoutabilityType.PATH_RESPONSE;
    if (this.#answers.length >= ANSWERS_MAX) this.#answers.shift();
    this.#answers.push({ path, content: encodeRoutabilityMessage({ type, cookie }) });
  }

  /** The path in use is the right one. */
  #keep(candidate: Candidate, now: Milliseconds): void {
    this.#counts.add("kept");
    this.#quietUntil = now + candidate.timerMs;
    this.#candidate = undefined;
  }

  /** When {@linkcode PathValidation.handleTimeout} is due. */
  pollTimeout(): Milliseconds {
    const candidate = this.#candidate;
    return candidate === undefined ? NEVER : Math.min(candidate.nextAt, candidate.deadline);
  }

  /** Runs what was due. */
  handleTimeout(now: Milliseconds): void {
    const candidate = this.#candidate;
    if (candidate === undefined) return;
    if (now >= candidate.deadline) {
      // RFC 9853 section 5.2: "If T expires the peer address binding is not updated. In this case, the initiator MUST
      // perform a return routability check on the observed new address".
      if (candidate.phase === "old") return this.#ask(candidate, "new", now);
      this.#counts.add("unanswered");
      this.#candidate = undefined;
    } else if (now >= candidate.nextAt) {
      candidate.isDue = true;
      candidate.nextAt = NEVER;
    }
  }

  /** The next message to be sent, in a record of `recordBytes` bytes. */
  poll(recordBytes: number, now: Milliseconds): PathMessage | undefined {
    return this.#pollAnswer(recordBytes) ?? this.#pollChallenge(recordBytes, now);
  }

  #pollAnswer(recordBytes: number): PathMessage | undefined {
    const answer = this.#answers.shift();
    const candidate = this.#candidate;
    // A challenge is as long as its answer, so this is never more than was received.
    if (answer !== undefined && answer.path === candidate?.path) candidate.sentBytes += recordBytes;
    return answer;
  }

  #pollChallenge(recordBytes: number, now: Milliseconds): PathMessage | undefined {
    const candidate = this.#candidate;
    if (candidate === undefined || !candidate.isDue) return undefined;
    if (candidate.phase === "new") {
      // RFC 9853 section 5.3: "the initiator can send a `path_challenge` message once per round-trip time (RTT), up to
      // the anti-amplification limit": "three times the amount of data received from an unvalidated address".
      const allowed = AMPLIFICATION_MAX * candidate.receivedBytes - candidate.sentBytes;
      if (recordBytes > allowed) return undefined;
      candidate.sentBytes += recordBytes;
    }
    // RFC 9853 section 5.3: "Each `path_challenge` message MUST contain random data."
    const cookie = this.#entropy(COOKIE_BYTES);
    candidate.challenges.push({ cookie, sentAt: now });
    candidate.isDue = false;
    // RFC 9853 section 5.3: "The transmission of subsequent `path_challenge` messages SHOULD be paced".
    const isLast = candidate.challenges.length >= CHALLENGES_MAX;
    candidate.nextAt = isLast ? NEVER : now + candidate.timerMs / CHALLENGES_MAX;
    const path = candidate.phase === "old" ? this.#path : candidate.path;
    const message = { type: RoutabilityType.PATH_CHALLENGE, cookie };
    return { path, content: encodeRoutabilityMessage(message) };
  }
}
