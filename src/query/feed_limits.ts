// The limits of change feeds with their defaults, in one table.

/** Limits of the server's side of feeds. Sizes are bytes and times milliseconds. */
export const FEED_LIMITS = {
  /** Feeds that are open at the same time. More: `overloaded`. */
  feedsMax: 1_024,
  /** The newest changes that all feeds share in memory. */
  recentBytesMax: 4 * 1024 * 1024,
  /** Changes that one feed holds in memory, one row of the log more or less, on their way to its client. */
  partBytesMax: 256 * 1024,
  /** Feeds that read older changes from the log at the same time; the others wait. */
  behindMax: 4,
  /** How often the log is looked at although nothing was written here. */
  pollMs: 1_000,
  /** How often an idle feed is told that nothing has happened. */
  resolvedMs: 5_000,
} as const;

/** Limits that a configuration may replace. */
export type FeedLimits = { readonly [Name in keyof typeof FEED_LIMITS]: number };
