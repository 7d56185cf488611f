// Every limit of gate and session that is not of the wire (those are in wire/limits.ts), with its default.

/** Limits of one session; each may be set by an option of the same name. */
export interface SessionSettings {
  /** How long the last messages of a session may take to arrive before its association is closed. */
  readonly lingerMs: number;
  /** Queries that a client sends before it knows that it is let in ... */
  readonly earlyQueriesMax: number;
  /** ... and their bytes: what the server's gate keeps, with some room for headers. */
  readonly earlyQueryBytesMax: number;
  /** Requests that wait in a client for a free place among the open ones. */
  readonly queuedRequestsMax: number;
  /** How long a client waits for the answer to its HandshakeRequest. */
  readonly handshakeMsMax: number;
}

/** The defaults. */
export const SESSION_SETTINGS: SessionSettings = {
  lingerMs: 3_000,
  earlyQueriesMax: 8,
  earlyQueryBytesMax: 8_192,
  queuedRequestsMax: 65_536,
  handshakeMsMax: 30_000,
};
