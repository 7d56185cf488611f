// Every limit of a server's endpoint that is not of one session, with its default.

/** Limits of a server; each may be set by an option of the same name. */
export interface ServerLimits {
  /** Sessions in total. */
  readonly sessionsMax: number;
  /** Sessions of one network address. */
  readonly sessionsPerHostMax: number;
  /** Sessions of one principal. */
  readonly sessionsPerPrincipalMax: number;
  /** Checks of credentials that are under way at one time. */
  readonly authenticationsMax: number;
  /** Lines of the log a second for commands that their callers trace; what is beyond is counted. */
  readonly tracedLinesPerSecondMax: number;
  /** How long requests that are open may take when the server stops. */
  readonly drainMs: number;
}

/** The defaults. */
export const SERVER_LIMITS: ServerLimits = {
  sessionsMax: 16_384,
  sessionsPerHostMax: 4_096,
  sessionsPerPrincipalMax: 4_096,
  authenticationsMax: 1_024,
  tracedLinesPerSecondMax: 100,
  drainMs: 5_000,
};
