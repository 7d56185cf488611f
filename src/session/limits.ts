// Every limit of gate and session that is not of the wire (those are in wire/limits.ts), with its default.

/** Limits of one session; each may be set by an option of the same name. */
export interface SessionSettings {
  /** How long the last messages of a session may take to arrive before its association is closed. */
  readonly lingerMs: number;
  /** Queries that a client sends before it knows that it is let in ... */
  readonly earlyQueriesMax: number;
  /** ... and their bytes: what the server's gate keeps, with some room for headers. */
  readonly earlyQueryBytesMax: number;
  /** Requests that a client has open at the same time, however many the server allows. */
  readonly openRequestsMax: number;
  /** Requests that wait in a client for a free place among the open ones ... */
  readonly queuedRequestsMax: number;
  /** ... and their bytes. */
  readonly queuedBytesMax: number;
  /** Answers of a server that the client has not acknowledged; beyond, the session ends with `overloaded`. */
  readonly unackedAnswersMax: number;
  /** The shortest silence after which a client asks for a sign of life, whatever the server announces. */
  readonly heartbeatMsMin: number;
  /** How long a client waits for its association, and then for the answer to its HandshakeRequest. */
  readonly handshakeMsMax: number;
  /** Associations that a client tries where noise spoils their handshake before anything of it is protected ... */
  readonly associationAttemptsMax: number;
  /** ... the time after which the first one is given up, where each later one takes twice as long ... */
  readonly associationAttemptMs: number;
  /** ... up to this ... */
  readonly associationAttemptMsMax: number;
  /** ... and the time from the failure of the first one to the next, which doubles in the same way ... */
  readonly associationPauseMs: number;
  /** ... up to this. */
  readonly associationPauseMsMax: number;
  /** So many failures of the same kind in a row are no noise. */
  readonly sameFailuresMax: number;
  /** Records that the keys of a handshake do not open, before one does, after which the keys count as spoilt. */
  readonly unopenedRecordsMax: number;
}

/** The defaults. */
export const SESSION_SETTINGS: SessionSettings = {
  lingerMs: 3_000,
  earlyQueriesMax: 8,
  earlyQueryBytesMax: 8_192,
  openRequestsMax: 1_024,
  queuedRequestsMax: 65_536,
  queuedBytesMax: 67_108_864,
  unackedAnswersMax: 4_096,
  heartbeatMsMin: 250,
  handshakeMsMax: 30_000,
  associationAttemptsMax: 48,
  associationAttemptMs: 5_000,
  associationAttemptMsMax: 8_000,
  associationPauseMs: 100,
  associationPauseMsMax: 400,
  sameFailuresMax: 3,
  unopenedRecordsMax: 3,
};
