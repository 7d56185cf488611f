// What the SQLite engine counts.

/** The names of its counters. */
export type CounterName =
  | "executed"
  | "inPlace"
  | "handedOff"
  | "killed"
  | "crashed"
  | "moved"
  | "overloaded"
  | "deadlines"
  | "cancelled"
  | "transactions";
