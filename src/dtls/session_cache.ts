// A server's sessions of DTLS 1.2 by their IDs, for clients that know no tickets (RFC 5246 appendix F.1.4).

import { toHex } from "../base/bytes.ts";
import type { Milliseconds } from "../base/core.ts";
import { type ResumableState, SESSION_LIFETIME_MS_MAX } from "./session.ts";

/** RFC 5246 appendix F.1.4: "an upper limit of 24 hours is suggested for session ID lifetimes". */
export const CACHED_SESSION_LIFETIME_MS: Milliseconds = 86_400_000;

/** Sessions that a cache holds by default. */
export const CACHED_SESSIONS_MAX = 4_096;

/** Limits of a {@linkcode SessionCache}. */
export interface SessionCacheOptions {
  /** The oldest give way. Default: `CACHED_SESSIONS_MAX`. */
  readonly sessionsMax?: number;
  /** How long a session is kept. Default: `CACHED_SESSION_LIFETIME_MS`, a day. */
  readonly lifetimeMs?: Milliseconds;
}

interface CachedSession {
  readonly state: ResumableState;
  readonly addedAt: Milliseconds;
}

/** Keeps sessions in memory. One object may serve several endpoints. */
export class SessionCache {
  readonly #sessionsMax: number;
  readonly #lifetimeMs: Milliseconds;
  /** In the order in which they came, and so in which they expire. */
  readonly #sessions = new Map<string, CachedSession>();

  /** An empty cache. */
  constructor(options: SessionCacheOptions = {}) {
    this.#sessionsMax = options.sessionsMax ?? CACHED_SESSIONS_MAX;
    this.#lifetimeMs = options.lifetimeMs ?? CACHED_SESSION_LIFETIME_MS;
  }

  /** How many sessions there are. */
  get size(): number {
    return this.#sessions.size;
  }

  /** Keeps a session, whose secret is this object's from then on. */
  put(sessionId: Uint8Array, state: ResumableState, now: Milliseconds): void {
    this.remove(sessionId);
    for (const [oldest, { addedAt }] of this.#sessions) {
      const isAlive = now - addedAt < this.#lifetimeMs;
      if (isAlive && this.#sessions.size < this.#sessionsMax) break;
      this.#remove(oldest);
    }
    this.#sessions.set(toHex(sessionId), { state, addedAt: now });
  }

  /** The session of an ID, if it is alive. Its secret is a copy, the caller's to zero. */
  get(sessionId: Uint8Array, now: Milliseconds): ResumableState | undefined {
    const found = this.#sessions.get(toHex(sessionId));
    if (found === undefined) return undefined;
    const { state, addedAt } = found;
    const isAlive = now - addedAt < this.#lifetimeMs &&
      now - state.authenticatedAt < SESSION_LIFETIME_MS_MAX;
    if (isAlive) return { ...state, secret: state.secret.slice() };
    this.remove(sessionId);
    return undefined;
  }

  /** Forgets a session. Harmless where it is not there. */
  remove(sessionId: Uint8Array): void {
    this.#remove(toHex(sessionId));
  }

  #remove(key: string): void {
    this.#sessions.get(key)?.state.secret.fill(0);
    this.#sessions.delete(key);
  }

  /** Forgets all sessions. */
  clear(): void {
    for (const key of [...this.#sessions.keys()]) this.#remove(key);
  }
}
